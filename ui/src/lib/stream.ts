// One event stream over fetch. Unlike EventSource, it says why it failed, detects silence, and can continue from the
// position of another tab.
import { address, problemOf } from "./api.ts";

/** Something changed; whoever shows it reads it again. */
export interface Change {
  topic: "run" | "record" | "service" | "schedule" | "kv";
  id: number | string;
  rev: number;
}

export interface Message {
  /** position in the feed, to continue from */
  id: string;
  /** null: changes were lost, read everything again; undefined: only a heartbeat */
  change?: Change | null;
}

/** The server sends a heartbeat every 15 seconds. */
const SILENCE = 40_000;

/**
 * Read changes until the connection ends.
 *
 * @param last Position to continue from; empty for "now".
 * @throws Problem if the server refuses; anything else if the connection breaks.
 */
export async function readStream(
  last: string,
  signal: AbortSignal,
  opened: () => void,
  tell: (message: Message) => void,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const url = address("/internal/events?topics=run,record,service,schedule,kv");
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last) headers["last-event-id"] = last;
    const response = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.any([signal, silence.signal]) });
    if (!response.ok || !response.body) throw await problemOf(response);
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const message = parse(block);
        if (message) tell(message);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function parse(block: string): Message | null {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  const id = fields["id"] ?? "";
  if (fields["event"] === "reset") return { id, change: null };
  if (fields["data"]) return { id, change: JSON.parse(fields["data"]) as Change };
  // a heartbeat contains the position in the feed, which is worth remembering
  return id ? { id } : null;
}
