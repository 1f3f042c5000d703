// Something that is read from the server, and read anew when it changed.
import { untrack } from "svelte";

import { Problem } from "./api.ts";
import { connection, subscribe, type Change } from "./live.svelte.ts";

/** milliseconds between two readings, where nothing else is said */
const PAUSE = 250;

export interface Resource<T> {
  /** what was read last; undefined until there is an answer */
  readonly value: T | undefined;
  /** why there is nothing newer */
  readonly problem: Problem | undefined;
  /** it is being read, and what is shown is of another place */
  readonly isStale: boolean;
  /** read it now */
  refresh(): void;
}

/**
 * Read something while the component lives. To be called while it is set up.
 *
 * @param read Reads it. What it looks at before its first await decides when it is another thing, read at once.
 * @param concerns Whether a change may have changed it.
 * @param pause Milliseconds between two readings, however much changes.
 */
export function resource<T>(
  read: (signal: AbortSignal) => Promise<T>,
  concerns: (change: Change) => boolean,
  pause = PAUSE,
): Resource<T> {
  let value = $state.raw<T>();
  let problem = $state.raw<Problem>();
  let isStale = $state(false);
  let refresh = (): void => {};

  $effect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isBusy = false;
    let isDirty = false;
    let wasLive = false;

    async function load(): Promise<void> {
      isBusy = true;
      isDirty = false;
      wasLive = untrack(() => connection.status === "live");
      try {
        const found = await read(stop.signal);
        if (stop.signal.aborted) return;
        value = found;
        problem = undefined;
      } catch (error) {
        if (stop.signal.aborted) return;
        problem = Problem.of(error);
      }
      isStale = false;
      timer = setTimeout(() => {
        isBusy = false;
        if (isDirty) want();
      }, pause);
    }

    // nobody looks at a hidden page: it catches up when it is shown
    function want(): void {
      isDirty = true;
      if (!isBusy && !document.hidden && !stop.signal.aborted) void load();
    }

    const onShown = (): void => {
      if (isDirty) want();
    };
    document.addEventListener("visibilitychange", onShown);
    const unsubscribe = subscribe((change) => {
      if (change ? concerns(change) : change === null || !wasLive) want();
    });
    refresh = want;
    isStale = true;
    void load();
    return () => {
      stop.abort();
      clearTimeout(timer);
      unsubscribe();
      document.removeEventListener("visibilitychange", onShown);
    };
  });

  // what could not be read while the server was away is read when it is back
  $effect(() => {
    if (connection.status === "live" && problem?.passes) refresh();
  });

  return {
    get value() {
      return value;
    },
    get problem() {
      return problem;
    },
    get isStale() {
      return isStale;
    },
    refresh: () => refresh(),
  };
}
