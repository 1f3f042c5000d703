import assert from "node:assert/strict";
import { test } from "node:test";

import { condition, toggled, valuesOf, within, withValues } from "./query.ts";

test("a value is quoted where it has to be", () => {
  assert.equal(condition("action", "long/one"), "action:long/one");
  assert.equal(condition("label", 'a "b", c', "d\\e"), String.raw`label:"a \"b\", c","d\\e"`);
});

test("the values of a key are found, quoted or not, but not those that are refused", () => {
  const query = String.raw`timeout state:failed,cancelled "state:not" -state:running label:"a \"b\", c",d State:queued`;
  assert.deepEqual(valuesOf(query, "state"), ["failed", "cancelled", "queued"]);
  assert.deepEqual(valuesOf(query, "label"), ['a "b", c', "d"]);
});

test("what is written can be read", () => {
  const values = ["plain", "a b", "x,y", 'q"q', "b\\", ""];
  assert.deepEqual(valuesOf(`word ${condition("label", ...values)} "more words"`, "label"), values);
});

test("values take the place of those before them", () => {
  assert.equal(withValues("a state:failed b", "state", ["running", "queued"]), "a state:running,queued b");
  assert.equal(withValues("a state:failed b state:queued", "state", []), "a b");
  assert.equal(withValues("", "state", ["failed"]), "state:failed");
  assert.equal(withValues('a "b c"', "action", ["d e"]), 'a "b c" action:"d e"');
});

test("a value is put in and taken out", () => {
  assert.equal(toggled("x state:failed", "state", "queued"), "x state:failed,queued");
  assert.equal(toggled("x state:failed,queued", "state", "failed"), "x state:queued");
  assert.equal(toggled("x state:failed", "state", "failed"), "x");
});

test("a part of time goes up to the end of what is named last", () => {
  assert.equal(within("a since:2h b", "2026-11-21T06:00:00Z", 900), "a b since:2026-11-21T06:00 until:2026-11-21T06:14");
  assert.equal(within("until:today", "2026-11-20T00:00:00Z", 2 * 86_400), "since:2026-11-20 until:2026-11-21");
});
