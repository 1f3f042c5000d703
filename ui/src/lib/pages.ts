// The pages: the first one comes with the frame, each other one is fetched when it is needed first.
import type { Component } from "svelte";

import Actions from "../pages/Actions.svelte";

/** What a page is about. */
export interface Names {
  /** of an action or a key, the number of a run */
  name: string;
  /** the namespace of a key */
  within: string;
}

type Page = Promise<{ default: Component<Names> }>;

interface View {
  load: () => Page;
  names: Names;
}

const PAGES = {
  actions: () => Promise.resolve({ default: Actions }),
  action: () => import("../pages/Action.svelte"),
  runs: () => import("../pages/Runs.svelte"),
  run: () => import("../pages/Run.svelte"),
  services: () => import("../pages/Services.svelte"),
  schedules: () => import("../pages/Schedules.svelte"),
  keys: () => import("../pages/Keys.svelte"),
  key: () => import("../pages/Key.svelte"),
  missing: () => import("../pages/Missing.svelte"),
};

/** By the first part of the path, and how many there are behind it. */
const PAGES_AT: Record<string, readonly ((() => Promise<object>) | null)[]> = {
  "": [PAGES.actions],
  actions: [PAGES.actions, PAGES.action],
  runs: [PAGES.runs, PAGES.run],
  services: [PAGES.services],
  schedules: [PAGES.schedules],
  keys: [PAGES.keys, null, PAGES.key],
};

/** The view at a path. */
export function viewOf([head = "", ...names]: readonly string[]): View {
  const found = Object.hasOwn(PAGES_AT, head) ? PAGES_AT[head]?.[names.length] : undefined;
  return { load: (found ?? PAGES.missing) as () => Page, names: { name: names.at(-1) ?? "", within: names[0] ?? "" } };
}

/** The sheet about the platform. */
export const loadAbout = () => import("../parts/About.svelte");

/** Fetch the others once there is nothing better to do, so that going there takes no time. */
export function preload(): void {
  // Safari knows no idle callback
  const later = globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 500));
  later(() => {
    // one that cannot be had now is asked for again when it is needed
    for (const load of [...Object.values(PAGES), loadAbout]) load().catch(() => undefined);
  });
}
