// The pages: the first one comes with the frame, each other one is fetched when it is needed first.
import type { Component } from "svelte";

import Actions from "../pages/Actions.svelte";

type Page = Promise<{ default: Component<{ name: string }> }>;

interface View {
  load: () => Page;
  /** what the page is about: the name of an action, the number of a run */
  name: string;
}

const PAGES = {
  actions: () => Promise.resolve({ default: Actions }),
  action: () => import("../pages/Action.svelte"),
  runs: () => import("../pages/Runs.svelte"),
  run: () => import("../pages/Run.svelte"),
  services: () => import("../pages/Services.svelte"),
  schedules: () => import("../pages/Schedules.svelte"),
  missing: () => import("../pages/Missing.svelte"),
};

/** By the first part of the path: the page of all, and the page of one. */
const PAGES_AT: Record<string, readonly (() => Promise<object>)[]> = {
  "": [PAGES.actions],
  actions: [PAGES.actions, PAGES.action],
  runs: [PAGES.runs, PAGES.run],
  services: [PAGES.services],
  schedules: [PAGES.schedules],
};

/** The view at a path. */
export function viewOf([head = "", name = ""]: readonly string[]): View {
  const found = Object.hasOwn(PAGES_AT, head) ? PAGES_AT[head]?.[name ? 1 : 0] : undefined;
  return { load: (found ?? PAGES.missing) as () => Page, name };
}

/** Fetch the others once there is nothing better to do, so that going there takes no time. */
export function preload(): void {
  // Safari knows no idle callback
  const later = globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 500));
  later(() => {
    // one that cannot be had now is asked for again when it is needed
    for (const load of Object.values(PAGES)) load().catch(() => undefined);
  });
}
