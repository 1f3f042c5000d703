// Moments as they are shown: how long ago, how soon, and on whose clock.
import assert from "node:assert/strict";
import { before, test } from "node:test";

// what the module looks at, and what the compiler makes of its runes
Object.assign(globalThis, { $state: <T>(value: T): T => value, document: { hidden: true, addEventListener: () => undefined } });
process.env["TZ"] = "Europe/Berlin";

let clock: typeof import("./clock.svelte.ts");
before(async () => {
  const real = globalThis.setInterval;
  // its timer would keep the tests from ending
  globalThis.setInterval = ((work: () => void, time: number) => real(work, time).unref()) as typeof setInterval;
  clock = await import("./clock.svelte.ts");
  globalThis.setInterval = real;
});

test("what is to come is told as how soon it is, the further the coarser", () => {
  const now = Date.parse("2026-03-28T12:00:00Z");
  assert.equal(clock.until("2026-03-28T12:00:00.500Z", now), "now");
  assert.equal(clock.until("2026-03-28T11:00:00Z", now), "now");
  assert.match(clock.until("2026-03-28T12:00:20Z", now), /20/);
  assert.match(clock.until("2026-03-28T15:59:00Z", now), /3/);
  assert.match(clock.until("2027-03-28T12:00:00Z", now), /2027/);
});

test("words of time are those of the page, whatever the language of the browser", () => {
  const now = Date.parse("2026-03-28T12:00:00Z");
  assert.equal(clock.ago("2026-03-28T11:52:00Z", now), "8 min ago");
  assert.equal(clock.until("2026-03-29T12:00:01Z", now), "tomorrow");
});

test("the clock of a schedule is shown where it differs from the reader's", () => {
  assert.equal(clock.there("2026-03-28T01:30:00Z", "2026-03-28T02:30:00+01:00"), null);
  assert.match(clock.there("2026-03-28T01:30:00Z", "2026-03-28T01:30:00+00:00") ?? "", /^0?1:30( AM)?$/);
  assert.match(clock.there("2026-03-28T01:30:00Z", "2026-03-27T21:30:00-04:00") ?? "", /27.*30/);
  assert.match(clock.there("2026-03-28T01:30:07Z", "2026-03-28T01:30:07+00:00") ?? "", /30:07/);
});

test("both sides of a change of the clock are on the reader's clock", () => {
  assert.match(clock.near("2026-03-29T00:59:00Z"), /29.*1:59/);
  assert.match(clock.near("2026-03-29T01:00:00Z"), /29.*3:00/);
});
