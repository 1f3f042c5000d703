// Edit search queries. Only the parts that the page writes are understood here; the server parses the whole language.

/** matches a word or condition: up to the next space outside quotes */
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

/** The values that a query requires for *key*. */
export function valuesOf(query: string, key: string): string[] {
  return (query.match(PARTS) ?? [])
    .filter(isOf(key))
    .flatMap((part) => [...part.slice(key.length + 1).matchAll(VALUES)])
    .map(([whole, inner]) => inner?.replace(/\\(.)/g, "$1") ?? whole);
}

/** The query with these values for *key*; without values, it has no condition for *key*. */
export function withValues(query: string, key: string, values: readonly string[]): string {
  const parts: string[] = query.match(PARTS) ?? [];
  const place = parts.findIndex(isOf(key));
  const rest = parts.filter((part) => !isOf(key)(part));
  if (values.length) rest.splice(place < 0 ? rest.length : place, 0, condition(key, ...values));
  return rest.join(" ");
}

/** The query with one more value for *key*, or without it if it has it already. */
export function toggled(query: string, key: string, value: string): string {
  const values = valuesOf(query, key);
  return withValues(query, key, values.includes(value) ? values.filter((one) => one !== value) : [...values, value]);
}

/** The query for runs created in a period of time. */
export function within(query: string, from: string, seconds: number): string {
  const start = Date.parse(from);
  const isDays = seconds % 86_400 === 0;
  // a moment in the query language includes its whole day or minute
  const named = (at: number): string => new Date(at).toISOString().slice(0, isDays ? 10 : 16);
  const end = start + Math.max(0, seconds - (isDays ? 86_400 : 60)) * 1000;
  return withTime(query, named(start), named(end));
}

function withTime(query: string, since: string, until: string): string {
  // not through `condition`, which would quote the colons unnecessarily
  return [withValues(withValues(query, "since", []), "until", []), `since:${since}`, `until:${until}`].filter(Boolean).join(" ");
}
