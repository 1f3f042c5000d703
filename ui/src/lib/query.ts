// The language of searches, as far as the page writes in it; the server alone reads it.

/** words and conditions, each as far as the next space that no quotes hold */
const PARTS = /(?:"(?:\\.|[^"\\])*"?|\S)+/g;
const VALUES = /"((?:\\.|[^"\\])*)"|[^,"]+/g;
const PLAIN = /^[^\s,"\\]+$/;

function quoted(value: string): string {
  return PLAIN.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** The condition that something has one of these values. */
export function condition(key: string, ...values: string[]): string {
  return `${key}:${values.map(quoted).join(",")}`;
}

function isOf(key: string): (part: string) => boolean {
  return (part) => part.toLowerCase().startsWith(`${key}:`);
}

/** The values that a query demands of *key*. */
export function valuesOf(query: string, key: string): string[] {
  return (query.match(PARTS) ?? [])
    .filter(isOf(key))
    .flatMap((part) => [...part.slice(key.length + 1).matchAll(VALUES)])
    .map(([whole, inner]) => inner?.replace(/\\(.)/g, "$1") ?? whole);
}

/** The query with these values of *key* in place of those that it has; without any it has no such condition. */
export function withValues(query: string, key: string, values: readonly string[]): string {
  const parts: string[] = query.match(PARTS) ?? [];
  const place = parts.findIndex(isOf(key));
  const rest = parts.filter((part) => !isOf(key)(part));
  if (values.length) rest.splice(place < 0 ? rest.length : place, 0, condition(key, ...values));
  return rest.join(" ");
}

/** The query with one more value of *key*, or without it if it has it. */
export function toggled(query: string, key: string, value: string): string {
  const values = valuesOf(query, key);
  return withValues(query, key, values.includes(value) ? values.filter((one) => one !== value) : [...values, value]);
}

/** The query for what came into being within a part of time. */
export function within(query: string, from: string, seconds: number): string {
  const start = Date.parse(from);
  const isDays = seconds % 86_400 === 0;
  // a moment names all of its day or minute
  const named = (at: number): string => new Date(at).toISOString().slice(0, isDays ? 10 : 16);
  const end = start + Math.max(0, seconds - (isDays ? 86_400 : 60)) * 1000;
  return withTime(query, named(start), named(end));
}

function withTime(query: string, since: string, until: string): string {
  // not as values, which would be quoted for their colons in no need of it
  return [withValues(withValues(query, "since", []), "until", []), `since:${since}`, `until:${until}`].filter(Boolean).join(" ");
}
