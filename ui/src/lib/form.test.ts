// What a form makes of a schema, what is read from it, and where errors land.
import assert from "node:assert/strict";
import { test } from "node:test";

import { addItem, build, firstError, mark, pick, read, type Node } from "./form.ts";
import type { Schema } from "./schema.ts";

const object = (properties: Record<string, Schema>, required: string[] = [], $defs: Record<string, Schema> = {}): Schema => ({
  type: "object",
  properties,
  required,
  $defs,
});

function child(node: Node, name: string | number): Node {
  const found = node.items.find((item) => item.name === name);
  assert.ok(found, `no node ${name}`);
  return found;
}

test("defaults are filled in and read back as they were", () => {
  const schema = object({
    text: { type: "string", default: "a" },
    number: { type: "integer", default: 3 },
    flag: { type: "boolean", default: true },
    choice: { enum: ["x", "y"], default: "y" },
    list: { type: "array", items: { type: "integer" }, default: [1, 2] },
    pair: { type: "array", prefixItems: [{ type: "integer" }, { type: "string" }], default: [1, "a"] },
    maybe: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
    free: { default: { a: 1 } },
  });
  assert.deepEqual(read(build(schema, schema)), {
    text: "a",
    number: 3,
    flag: true,
    choice: "y",
    list: [1, 2],
    pair: [1, "a"],
    maybe: null,
    free: { a: 1 },
  });
});

test("what must be given and is not is left out, so that the server says so", () => {
  const schema = object({ a: { type: "string" }, b: { type: "integer" }, c: { enum: ["x"] } }, ["a", "b", "c"]);
  assert.deepEqual(read(build(schema, schema)), {});
});

test("what is not a number, or too large for one, travels as it was typed", () => {
  const schema = object({ a: { type: "integer" } }, ["a"]);
  for (const [typed, sent] of [["12", 12], ["1.5", 1.5], ["x1", "x1"], ["9007199254740993", "9007199254740993"]] as const) {
    const form = build(schema, schema);
    child(form, "a").text = typed;
    assert.deepEqual(read(form), { a: sent });
  }
});

test("a decimal keeps its digits", () => {
  const schema = object({ a: { anyOf: [{ type: "number" }, { type: "string" }], default: "0.5" } });
  for (const [typed, sent] of [["0.5", 0.5], ["0.10", "0.10"], ["0.12345678901234567890", "0.12345678901234567890"]] as const) {
    const form = build(schema, schema);
    assert.deepEqual(read(form), { a: 0.5 });
    child(form, "a").text = typed;
    assert.deepEqual(read(form), { a: sent });
  }
});

test("an optional union of objects is chosen by its tag, and its errors find their field", () => {
  const mail = object({ kind: { const: "mail" }, to: { type: "string" } }, ["to"]);
  const hook = object({ kind: { const: "hook" }, retries: { type: "integer", default: 3 } });
  const union: Schema = { oneOf: [{ $ref: "#/$defs/Mail" }, { $ref: "#/$defs/Hook" }], discriminator: { propertyName: "kind" } };
  const schema = object({ notify: { anyOf: [union, { type: "null" }], default: null } }, [], { Mail: mail, Hook: hook });
  const form = build(schema, schema);
  assert.deepEqual(read(form), { notify: null });

  const notify = child(form, "notify");
  pick(notify, schema, 1);
  assert.deepEqual(read(form), { notify: { kind: "hook", retries: 3 } });

  assert.deepEqual(mark(form, [{ loc: ["notify", "hook", "retries"], msg: "too many" }]), []);
  assert.equal(firstError(form)?.name, "retries");

  const filled = build(schema, schema, { notify: { kind: "hook", retries: 7 } });
  assert.deepEqual(read(filled), { notify: { kind: "hook", retries: 7 } });
});

test("an error in an item of a list stands at the item, and one of no field is handed back", () => {
  const schema = object({ list: { type: "array", items: { type: "integer" } } }, ["list"]);
  const form = build(schema, schema);
  addItem(child(form, "list"), schema, 1);
  addItem(child(form, "list"), schema, 2);
  const left = mark(form, [
    { loc: ["list", 1], msg: "wrong" },
    { loc: [], msg: "never" },
    { loc: ["other"], msg: "there is no such parameter" },
  ]);
  assert.equal(child(child(form, "list"), 1).error, "wrong");
  assert.deepEqual(left, ["never", "other: there is no such parameter"]);
});

test("a moment with an offset is shown on the reader's clock, and sent with an offset", () => {
  const schema = object({
    at: { type: "string", format: "date-time", "x-has-zone": true },
    then: { type: "string", format: "date-time", default: "2026-11-01T09:00:00.123456+00:00" },
    naive: { type: "string", format: "date-time", default: "2026-11-01T09:00:00" },
  });
  const form = build(schema, schema);
  child(form, "at").text = "2026-11-01T10:00:00";
  const then = child(form, "then");
  assert.match(then.text, /^2026-(10-31|11-01)T[\d:]+\.123$/);
  const sent = read(form) as Record<string, string>;
  assert.match(sent["at"] ?? "", /^2026-11-01T10:00:00[+-]\d\d:\d\d$/);
  assert.equal(sent["then"], "2026-11-01T09:00:00.123456+00:00");
  assert.equal(sent["naive"], "2026-11-01T09:00:00");
  then.text = "2026-11-02T10:00";

  assert.match((read(form) as Record<string, string>)["then"] ?? "", /^2026-11-02T10:00[+-]\d\d:\d\d$/);
});
