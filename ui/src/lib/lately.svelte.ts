// What ran lately: the newest runs of all at each change, and now and then the newest of each operation.
import { api, type RunGlance, type RunInfo } from "./api.ts";
import { merged } from "./latest.ts";
import { resource } from "./resource.svelte.ts";
import type { Change } from "./live.svelte.ts";

/** milliseconds between two readings of what each operation did */
const PAUSE = 15_000;

export interface Lately {
  /** the newest runs of all, newest first; undefined until there is an answer */
  readonly newest: RunInfo[] | undefined;
  /** the runs of each operation, newest first */
  readonly byOperation: Map<string, RunGlance[]>;
  /** whether what is missing in it has not run */
  readonly isWhole: boolean;
}

/**
 * Read what ran lately, while the component lives. To be called while it is set up.
 *
 * @param limit How many of the newest runs are read at each change.
 */
export function lately(limit: number): Lately {
  const isOfRun = (change: Change): boolean => change.topic === "run";
  const newest = resource((signal) => api.get("/runs", { query: { limit }, signal }), isOfRun);
  // what comes often must not hide what came last night
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
