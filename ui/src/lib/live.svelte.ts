// Changes as they happen. One tab of a browser holds the stream and forwards it to the others: a browser opens at most
// six connections to a server, so the seventh tab would wait for ever.
import { onLoggedOut, Problem } from "./api.ts";
import { readStream, type Change, type Message } from "./stream.ts";

export type { Change } from "./stream.ts";

type Status = "connecting" | "live" | "lost" | "out";
/** a change; null: changes were missed; undefined: everything read before this moment may be outdated */
type News = Change | null | undefined;
type Listener = (news: News) => void;
type Told = { status: Status } | { message: Message } | { hello: true } | { refresh: true };

/** milliseconds that a page waits for the stream, so that no change falls between its first read and the stream */
const HEADSTART = 300;
/** milliseconds before the next attempt; randomised, so that many pages do not reconnect at the same moment */
const DELAYS = [300, 700, 1500, 3000, 5000];

export const connection = $state({
  status: "connecting" as Status,
  /** when it was lost */
  since: 0,
});

let settle: () => void = () => undefined;
/** Resolves when the stream is open, or will not be open soon. */
export const settled = new Promise<void>((resolve) => {
  settle = resolve;
  setTimeout(resolve, HEADSTART);
});

const listeners = new Set<Listener>();
const channel = new BroadcastChannel("binp.live");
let last = "";
let isLeader = false;

/** Call *listener* with every event. */
export function subscribe(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Start listening. */
export function connect(): void {
  channel.onmessage = (event: MessageEvent<Told>) => hear(event.data);
  onLoggedOut(() => setStatus("out"));
  if (navigator.locks) {
    channel.postMessage({ hello: true } satisfies Told);
    void navigator.locks.request("binp.live", async () => {
      isLeader = true;
      await hold(new AbortController().signal);
    });
    return;
  }
  // plain http to another machine has no Web Locks: each visible page holds a stream of its own
  let stop = new AbortController();
  isLeader = true;
  void hold(stop.signal);
  document.addEventListener("visibilitychange", () => {
    stop.abort();
    stop = new AbortController();
    if (!document.hidden) void hold(stop.signal);
  });
}

/** Reconnect after somebody has logged in in another tab. */
export function resume(): void {
  setStatus("connecting");
  emit(null);
  wake?.();
  channel.postMessage({ refresh: true } satisfies Told);
}

let wake: (() => void) | undefined;
addEventListener("online", () => wake?.());
addEventListener("offline", () => setStatus("lost"));

async function hold(signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const isNew = !last;
      await readStream(
        last,
        signal,
        () => {
          failures = 0;
          share({ status: "live" });
          if (isNew) emit(undefined);
        },
        (message) => share({ message }),
      );
    } catch (error) {
      if (signal.aborted) return;
      share({ status: error instanceof Problem && error.status === 401 ? "out" : "lost" });
    }
    if (signal.aborted) return;
    if (connection.status === "live") share({ status: "lost" });
    const delay = DELAYS[Math.min(failures, DELAYS.length - 1)] ?? 5000;
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, delay * (0.75 + Math.random() / 2));
    });
  }
}

/** Notify this tab and the others. */
function share(told: Told): void {
  hear(told);
  channel.postMessage(told);
}

function hear(told: Told): void {
  if ("hello" in told) {
    if (isLeader) channel.postMessage({ status: connection.status } satisfies Told);
  } else if ("refresh" in told) {
    emit(null);
    wake?.();
  } else if ("status" in told) {
    setStatus(told.status);
  } else {
    last = told.message.id || last;
    if (told.message.change !== undefined) emit(told.message.change);
  }
}

function setStatus(status: Status): void {
  if (status === connection.status) return;
  settle();
  if (status === "lost") connection.since = Date.now();
  connection.status = status;
}

function emit(news: News): void {
  for (const listener of listeners) listener(news);
}
