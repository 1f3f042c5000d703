import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, kept, stretch } from "./amount.ts";

test("bytes are told in the unit in which they are few", () => {
  assert.deepEqual([0, 999, 1000, 118_784, 999_600, 2 * 1024 ** 3].map(bytes), ["0 bytes", "999 bytes", "1 kB", "119 kB", "1 MB", "2.15 GB"]);
});

test("minutes, hours and days are told in whole ones", () => {
  assert.deepEqual([60, 900, 3600, 43_200, 86_400, 172_800].map(stretch), ["1 min", "15 min", "1 h", "12 h", "1 d", "2 d"]);
});

test("what a rule keeps is told in words", () => {
  assert.equal(kept({ days: 30, failed_days: 365, runs: 1000 }), "30 days (365 where it failed), the newest 1,000 runs");
  assert.equal(kept({ days: null, failed_days: null, runs: null }), "for ever");
});
