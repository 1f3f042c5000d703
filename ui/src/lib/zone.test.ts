// Moments on the clock of the reader, there and back.
import assert from "node:assert/strict";
import { test } from "node:test";

import { onClock, withOffset } from "./zone.ts";

process.env["TZ"] = "Europe/Berlin";

test("a moment stands on the clock of the reader, and is sent with its offset", () => {
  assert.equal(onClock("2026-11-01T09:00:00Z"), "2026-11-01T10:00:00");
  assert.equal(onClock("2026-07-01T09:00:00.250-04:00"), "2026-07-01T15:00:00.250");
  assert.equal(withOffset("2026-11-01T10:00:00"), "2026-11-01T10:00:00+01:00");
  assert.equal(withOffset("2026-07-01T10:00"), "2026-07-01T10:00+02:00");
});

test("what has no offset, has one, or is not a moment stays as it is", () => {
  assert.equal(onClock("2026-11-01T10:00:00"), "2026-11-01T10:00:00");
  assert.equal(onClock("soon"), "soon");
  assert.equal(withOffset("2026-11-01T10:00:00+05:30"), "2026-11-01T10:00:00+05:30");
  assert.equal(withOffset("soon"), "soon");
});
