// Amounts as people say them: bytes, days, and what is kept of runs.
import type { Keeping } from "./api.ts";

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** A number of things, its thousands parted. */
export function count(number: number): string {
  return whole.format(number);
}

/** Bytes, in the unit in which they are few. */
export function bytes(number: number): string {
  let unit = 0;
  for (; number >= 999.5 && unit < UNITS.length - 1; unit++) number /= 1000;
  return `${short.format(number)} ${UNITS[unit]}`;
}

/** Whole minutes, hours or days, in the largest unit of which they are so many. */
export function stretch(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  return seconds % 3600 === 0 ? `${seconds / 3600} h` : `${Math.round(seconds / 60)} min`;
}

/** What a rule keeps. */
export function kept({ days, failed_days, runs }: Keeping): string {
  const parts = [];
  if (days !== null) parts.push(`${short.format(days)} days${failed_days === null ? "" : ` (${short.format(failed_days)} where it failed)`}`);
  if (runs !== null) parts.push(`the newest ${whole.format(runs)} runs`);
  return parts.join(", ") || "for ever";
}
