// Data that is read from the server, and read again when it changes.
import { untrack } from "svelte";

import { Problem } from "./api.ts";
import { connection, subscribe, type Change } from "./live.svelte.ts";

/** default milliseconds between two reads */
const PAUSE = 250;

export interface Resource<T> {
  /** the data read last; undefined until there is a response */
  readonly value: T | undefined;
  /** why the last read failed */
  readonly problem: Problem | undefined;
  /** it is being read, and the present value belongs to another subject */
  readonly isStale: boolean;
  /** read it now */
  refresh(): void;
}

/**
 * Read something while the component lives. Must be called during its set-up.
 *
 * @param read Reads it. State that it uses before its first await identifies the subject; if it changes, read at once.
 * @param concerns Whether a change may affect it.
 * @param pause Minimum milliseconds between two reads, however much changes.
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

    // a hidden page does not read: it is updated when it is shown
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

  // after the server was unreachable, read again when it is back
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
