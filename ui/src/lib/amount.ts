// Amounts in words: bytes, days, and retention rules.
import type { Keeping } from "./api.ts";

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** A number with thousands separators. */
export function count(number: number): string {
  return whole.format(number);
}

/** A number of bytes, in the largest fitting unit. */
export function bytes(number: number): string {
  let unit = 0;
  for (; number >= 999.5 && unit < UNITS.length - 1; unit++) number /= 1000;
  return `${short.format(number)} ${UNITS[unit]}`;
}

/** A duration in whole minutes, hours or days, in the largest unit that divides it. */
export function stretch(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  return seconds % 3600 === 0 ? `${seconds / 3600} h` : `${Math.round(seconds / 60)} min`;
}

/** A retention rule in words. */
export function kept({ days, failed_days, runs }: Keeping): string {
  const parts = [];
  if (days !== null) parts.push(`${short.format(days)} days${failed_days === null ? "" : ` (${short.format(failed_days)} where it failed)`}`);
  if (runs !== null) parts.push(`the newest ${whole.format(runs)} runs`);
  return parts.join(", ") || "for ever";
}
