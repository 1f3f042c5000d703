// Puts the chosen colour scheme on the page before its first paint, so that nothing flashes.
try {
  const theme = localStorage.getItem("binp.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is forbidden: the system's scheme is used
}
