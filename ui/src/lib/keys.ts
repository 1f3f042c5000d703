// Keyboard shortcuts. They are off while somebody is typing, and never override those of the browser.
import { go, href } from "./router.svelte.ts";

/** The contents of the sheet behind "?". */
export const SHORTCUTS: readonly (readonly [keys: string, what: string])[] = [
  ["g a", "actions"],
  ["g r", "runs"],
  ["g s", "services"],
  ["g t", "schedules"],
  ["g k", "keys"],
  ["j  k", "next, previous"],
  ["Enter", "open"],
  ["/", "search or filter"],
  ["c", "cancel the run"],
  ["r", "run again"],
  ["e", "edit the value"],
  ["?", "this list"],
];

const PAGES: Record<string, string> = { a: "", r: "runs", s: "services", t: "schedules", k: "keys" };

/** milliseconds within which the second key of two must follow */
const PATIENCE = 1200;

let goesAt = 0;

/** Listen for keys; *help* shows the sheet. Returns a function that ends it. */
export function listen(help: () => void): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (act(event.key, help)) event.preventDefault();
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}

function act(key: string, help: () => void): boolean {
  const page = PAGES[key];
  if (page !== undefined && Date.now() - goesAt < PATIENCE) {
    goesAt = 0;
    go(href(page ? [page] : []));
    return true;
  }
  goesAt = key === "g" ? Date.now() : 0;
  if (key === "?") help();
  else if (key === "j" || key === "k") move(key === "j" ? 1 : -1);
  else return press(`[data-key="${CSS.escape(key)}"]`);
  return true;
}

/** Focus a field, or press a button. */
function press(selector: string): boolean {
  const found = document.querySelector<HTMLElement>(selector);
  if (!found) return false;
  if (found instanceof HTMLInputElement || found instanceof HTMLSelectElement) found.focus();
  else found.click();
  return true;
}

function move(step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const here = rows.findIndex((row) => row === document.activeElement);
  const next = rows[here < 0 ? (step > 0 ? 0 : rows.length - 1) : here + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}
