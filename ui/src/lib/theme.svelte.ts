// Light, dark, or as the system has it; kept on this device. public/theme.js puts it on the page before the first paint.
export type Theme = "system" | "light" | "dark";

const KEY = "binp.theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

export const theme = $state({ chosen: (document.documentElement.dataset["theme"] ?? "system") as Theme });

/** Go on to the next one. */
export function nextTheme(): void {
  theme.chosen = ORDER[(ORDER.indexOf(theme.chosen) + 1) % ORDER.length] ?? "system";
  const root = document.documentElement;
  if (theme.chosen === "system") delete root.dataset["theme"];
  else root.dataset["theme"] = theme.chosen;
  try {
    localStorage.setItem(KEY, theme.chosen);
  } catch {
    // storage is forbidden: it holds for this page
  }
}
