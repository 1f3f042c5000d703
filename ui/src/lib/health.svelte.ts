// Whether the platform can save anything, and is sound. It cannot tell by itself when not, so that it is asked now and then.
import { address, onUnavailable, type Health } from "./api.ts";
import { connection } from "./live.svelte.ts";

/** milliseconds between two questions: while all is well, and while it is not */
const CALM = 20_000;
const ALERT = 3000;

export const health = $state<{ now?: Health }>({});

/** Ask until the returned function is called. To be called while something is set up. */
export function watchHealth(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isBusy = false;

  async function look(): Promise<void> {
    clearTimeout(timer);
    // nobody looks at a hidden page: it catches up when it is shown
    if (isBusy || document.hidden) return;
    isBusy = true;
    try {
      const response = await fetch(address("/internal/health"), { headers: { accept: "application/json" } });
      const said = (await response.json()) as Partial<Health>;
      // 503 is also what a server says that is shutting down
      if (said.state) health.now = said as Health;
    } catch {
      // that the server is away is told elsewhere
    }
    isBusy = false;
    timer = setTimeout(look, health.now?.reason ? ALERT : CALM);
  }

  onUnavailable(look);
  document.addEventListener("visibilitychange", look);
  $effect(() => {
    if (connection.status === "live") void look();
  });
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}
