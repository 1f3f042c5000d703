import assert from "node:assert/strict";
import { test } from "node:test";

import { merged } from "./latest.ts";

const run = (id: number, operation: string, ended: boolean) => ({ id, operation, ended_at: ended ? "2026-11-21T06:30:00Z" : null });

test("what has not run lately is known still, and what runs now is first", () => {
  const found = merged({ backup: [run(1, "backup", true)], poll: [run(8, "poll", true)] }, [run(9, "poll", false)]);

  assert.deepEqual(found.get("backup"), [run(1, "backup", true)]);
  assert.deepEqual(found.get("poll"), [run(9, "poll", false), run(8, "poll", true)]);
});

test("a run that is in both is there once, as it ended", () => {
  const [open, ended] = [run(3, "poll", false), run(3, "poll", true)];

  assert.deepEqual(merged({ poll: [open] }, [ended]).get("poll"), [ended]);
  assert.deepEqual(merged({ poll: [ended] }, [open]).get("poll"), [ended]);
});
