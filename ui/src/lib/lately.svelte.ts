// What ran recently: the newest runs of all at each change, and the newest runs of each operation now and then.
import { api, type RunGlance, type RunInfo } from "./api.ts";
import { merged } from "./latest.ts";
import { resource } from "./resource.svelte.ts";
import type { Change } from "./live.svelte.ts";

/** milliseconds between two reads of the runs per operation */
const PAUSE = 15_000;

export interface Lately {
  /** the newest runs of all, newest first; undefined until there is a response */
  readonly newest: RunInfo[] | undefined;
  /** the runs of each operation, newest first */
  readonly byOperation: Map<string, RunGlance[]>;
  /** whether operations that are not in it have no runs */
  readonly isWhole: boolean;
}

/**
 * Read what ran recently, while the component lives. Must be called during its set-up.
 *
 * @param limit Number of newest runs to read at each change.
 */
export function lately(limit: number): Lately {
  const isOfRun = (change: Change): boolean => change.topic === "run";
  const newest = resource((signal) => api.get("/runs", { query: { limit }, signal }), isOfRun);
  // frequent operations must not hide the one that ran last night
  const known = resource((signal) => api.get("/runs/latest", { signal }), isOfRun, PAUSE);
  const byOperation = $derived(merged<RunGlance>(known.value ?? {}, newest.value?.runs ?? []));

  return {
    get newest() {
      return newest.value?.runs;
    },
    get byOperation() {
      return byOperation;
    },
    get isWhole() {
      return known.value !== undefined;
    },
  };
}
