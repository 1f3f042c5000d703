// One press, one start: the key stays until there is an answer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Problem } from "./api.ts";
import { Press } from "./press.ts";

/** A server that gives these answers, one after the other, and notes the keys. */
function server(...answers: (number | Error)[]): { keys: string[]; request: (key: string) => Promise<number> } {
  const keys: string[] = [];
  return {
    keys,
    request: async (key) => {
      keys.push(key);
      const answer = answers[keys.length - 1] ?? 1;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
}

const away = (): Problem => new Problem(0, "away");

test("what is not answered is sent again with the same key", async () => {
  const { keys, request } = server(away(), new Problem(503, "not ready"), 7);
  assert.equal(await new Press().send({ a: 1 }, request, [0, 0]), 7);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("what is refused is not sent again, and the next press is another one", async () => {
  const { keys, request } = server(new Problem(422, "wrong"), 7);
  const press = new Press();
  await assert.rejects(press.send({}, request, [0]), /wrong/);
  assert.equal(await press.send({}, request, [0]), 7);
  assert.equal(new Set(keys).size, 2);
});

test("each press that was answered is followed by another one", async () => {
  const { keys, request } = server();
  const press = new Press();
  await press.send({}, request);
  await press.send({}, request);
  assert.equal(new Set(keys).size, 2);
});

test("when nobody answered the next press goes on with the key, unless it is for something else", async () => {
  const { keys, request } = server(away(), away(), away(), 7);
  const press = new Press();
  await assert.rejects(press.send({ a: 1 }, request, []), /away/);
  await assert.rejects(press.send({ a: 1 }, request, []), /away/);
  assert.equal(keys[0], keys[1]);
  await assert.rejects(press.send({ a: 2 }, request, []), /away/);
  assert.notEqual(keys[1], keys[2]);
});

test("where a browser has no randomUUID there is a key all the same", async () => {
  const { keys, request } = server();
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    await new Press().send({}, request);
  } finally {
    Reflect.deleteProperty(crypto, "randomUUID");
  }
  assert.match(keys[0] ?? "", /^[0-9a-f]{32}$/);
});
