// The pages: the first one is loaded with the frame, the others when they are first needed.
import type { Component } from "svelte";

import Actions from "../pages/Actions.svelte";

/** The subject of a page. */
export interface Names {
  /** name of an action or a key, or id of a run */
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

/** By the first segment of the path, and the number of further segments. */
const PAGES_AT: Record<string, readonly ((() => Promise<object>) | null)[]> = {
  "": [PAGES.actions],
  actions: [PAGES.actions, PAGES.action],
  runs: [PAGES.runs, PAGES.run],
  services: [PAGES.services],
  schedules: [PAGES.schedules],
  keys: [PAGES.keys, null, PAGES.key],
};

/** The view for a path. */
export function viewOf([head = "", ...names]: readonly string[]): View {
  const found = Object.hasOwn(PAGES_AT, head) ? PAGES_AT[head]?.[names.length] : undefined;
  return { load: (found ?? PAGES.missing) as () => Page, names: { name: names.at(-1) ?? "", within: names[0] ?? "" } };
}

/** The sheet about the platform. */
export const loadAbout = () => import("../parts/About.svelte");

/** Load the other pages when the browser is idle, so that opening them takes no time. */
export function preload(): void {
  // Safari has no requestIdleCallback
  const later = globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 500));
  later(() => {
    // a page that cannot be loaded now is requested again when it is needed
    for (const load of [...Object.values(PAGES), loadAbout]) load().catch(() => undefined);
  });
}
