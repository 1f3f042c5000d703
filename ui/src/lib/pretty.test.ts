import assert from "node:assert/strict";
import { test } from "node:test";

import { pretty } from "./pretty.ts";

const LONG = '{"a": [1.0, 12345678901234567890, {}], "b": "x, {\\"y\\": [ ]}", "c": NaN, "d": []}';

test("what is short stays on its line", () => {
  assert.equal(pretty('{"a": [1, 2]}'), '{"a": [1, 2]}');
});

test("items stand on lines of their own, numbers stay as they are", () => {
  assert.equal(
    pretty(LONG),
    `{
  "a": [
    1.0,
    12345678901234567890,
    {}
  ],
  "b": "x, {\\"y\\": [ ]}",
  "c": NaN,
  "d": []
}`,
  );
});

test("a text that was laid out stays as it is", () => {
  assert.equal(pretty(pretty(LONG)), pretty(LONG));
});

test("a string that ends in a bracket is none", () => {
  assert.equal(pretty('["x["]', 0), '[\n  "x["\n]');
});
