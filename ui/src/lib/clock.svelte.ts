// Times in words: "3 minutes ago", "1 m 12 s", without a library.
export const clock = $state({ now: Date.now() });

setInterval(() => {
  if (!document.hidden) clock.now = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => (clock.now = Date.now()));

// words are English, like the page, whatever the language of the browser; dates and hours follow the reader's locale
const relative = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto", style: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];


/** How long ago it was; if that is weeks, the date. */
export function ago(time: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  if (seconds < 5) return "just now";
  if (seconds > 14 * 86_400) return day.format(new Date(time));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  return relative.format(-Math.floor(seconds / size), unit);
}

/** How soon it will be; if that is weeks, the date. */
export function until(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000;
  if (seconds < 1) return "now";
  if (seconds > 14 * 86_400) return day.format(new Date(time));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  return relative.format(Math.floor(seconds / size), unit);
}

const DAY = { weekday: "short", day: "numeric", month: "short" } as const;

/** Day and time in the reader's time zone. */
export function near(time: string): string {
  return written(new Date(time), DAY);
}

/** The time in another time zone, with the day if it differs; null if it is the same as the reader's time. */
export function there(time: string, local: string): string | null {
  const [here, wall] = [new Date(time), `${local.slice(0, 19)}Z`];
  // Swedish dates are formatted like ISO 8601
  const isSameDay = here.toLocaleDateString("sv") === local.slice(0, 10);
  if (isSameDay && here.toLocaleTimeString("sv") === local.slice(11, 19)) return null;
  return written(new Date(wall), { ...(isSameDay ? {} : DAY), timeZone: "UTC" });
}

function written(date: Date, options: Intl.DateTimeFormatOptions): string {
  // leave out zero seconds
  const second = date.getUTCSeconds() ? ({ second: "2-digit" } as const) : {};
  return date.toLocaleString(undefined, { ...options, hour: "2-digit", minute: "2-digit", ...second });
}

/** The exact time, local and in UTC. */
export function exact(time: string): string {
  return `${full.format(new Date(time))}\n${time}`;
}

/** A duration in seconds, in at most two units. */
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
