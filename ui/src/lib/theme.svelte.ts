// Light, dark, or like the system; stored on this device. public/theme.js applies it before the first paint.
export type Theme = "system" | "light" | "dark";

const KEY = "binp.theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

export const theme = $state({ chosen: (document.documentElement.dataset["theme"] ?? "system") as Theme });

/** Switch to the next theme. */
export function nextTheme(): void {
  theme.chosen = ORDER[(ORDER.indexOf(theme.chosen) + 1) % ORDER.length] ?? "system";
  const root = document.documentElement;
  if (theme.chosen === "system") delete root.dataset["theme"];
  else root.dataset["theme"] = theme.chosen;
  try {
    localStorage.setItem(KEY, theme.chosen);
  } catch {
    // storage is forbidden: the choice only lasts for this page
  }
}
