// The newest runs of each operation, out of two readings: rare ones that know all of it, and often ones of the newest.
interface Known {
  id: number;
  operation: string;
  ended_at: string | null;
}

/**
 * The runs of each operation, newest first.
 *
 * @param known Of each operation its newest, as they were a while ago.
 * @param newest The newest of all, as they are now.
 */
export function merged<R extends Known>(known: Readonly<Record<string, readonly R[]>>, newest: readonly R[]): Map<string, R[]> {
  const runs = new Map<number, R>();
  for (const run of [...Object.values(known).flat(), ...newest]) {
    // what has ended does not go on: that reading is the newer one, whichever it is
    if (run.ended_at !== null || !runs.get(run.id)?.ended_at) runs.set(run.id, run);
  }
  return Map.groupBy(
    [...runs.values()].sort((one, other) => other.id - one.id),
    (run) => run.operation,
  );
}
