// Whether the platform can save data and is sound. It cannot report that by itself, so it is polled.
import { address, onUnavailable, type Health } from "./api.ts";
import { connection } from "./live.svelte.ts";

/** polling intervals in milliseconds: while it is healthy, and while it is not */
const CALM = 20_000;
const ALERT = 3000;

export const health = $state<{ now?: Health }>({});

/** Poll until the returned function is called. Must be called during the set-up of a component. */
export function watchHealth(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isBusy = false;

  async function look(): Promise<void> {
    clearTimeout(timer);
    // a hidden page is not polled: it is updated when it is shown
    if (isBusy || document.hidden) return;
    isBusy = true;
    try {
      const response = await fetch(address("/internal/health"), { headers: { accept: "application/json" } });
      const said = (await response.json()) as Partial<Health>;
      // a server that is shutting down also responds with 503
      if (said.state) health.now = said as Health;
    } catch {
      // that the server is unreachable is shown elsewhere
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
