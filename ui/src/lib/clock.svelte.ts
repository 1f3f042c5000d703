// Time as people say it: "3 minutes ago", "1 m 12 s", without a library.
export const clock = $state({ now: Date.now() });

setInterval(() => {
  if (!document.hidden) clock.now = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => (clock.now = Date.now()));

// the words of the page are English, whatever the language of the browser; dates and hours are written as the reader does
const relative = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto", style: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];


/** How long ago it was; the date when that is weeks. */
export function ago(time: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  if (seconds < 5) return "just now";
  if (seconds > 14 * 86_400) return day.format(new Date(time));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  return relative.format(-Math.floor(seconds / size), unit);
}

/** How soon it will be; the date when that is weeks. */
export function until(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000;
  if (seconds < 1) return "now";
  if (seconds > 14 * 86_400) return day.format(new Date(time));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  return relative.format(Math.floor(seconds / size), unit);
}

const DAY = { weekday: "short", day: "numeric", month: "short" } as const;

/** Day and time of a moment on the clock of the reader. */
export function near(time: string): string {
  return written(new Date(time), DAY);
}

/** The time on the clock of another place, with the day if that is another one; null if it is what the reader's shows. */
export function there(time: string, local: string): string | null {
  const [here, wall] = [new Date(time), `${local.slice(0, 19)}Z`];
  // that language writes a date like ISO 8601
  const isSameDay = here.toLocaleDateString("sv") === local.slice(0, 10);
  if (isSameDay && here.toLocaleTimeString("sv") === local.slice(11, 19)) return null;
  return written(new Date(wall), { ...(isSameDay ? {} : DAY), timeZone: "UTC" });
}

function written(date: Date, options: Intl.DateTimeFormatOptions): string {
  // most have no seconds worth reading
  const second = date.getUTCSeconds() ? ({ second: "2-digit" } as const) : {};
  return date.toLocaleString(undefined, { ...options, hour: "2-digit", minute: "2-digit", ...second });
}

/** The exact moment, here and in UTC. */
export function exact(time: string): string {
  return `${full.format(new Date(time))}\n${time}`;
}

/** Seconds, in two units at most. */
export function span(seconds: number): string {
  if (Number.isInteger(seconds) && seconds < 60) return `${seconds} s`;
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${whole % 60} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} m`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}
