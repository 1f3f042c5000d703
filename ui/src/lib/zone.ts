// Datetimes in an input that has no time zone: local time in the input, with an offset everywhere else.

/** A datetime for the input: local time without offset. One without an offset is returned unchanged. */
export function onClock(moment: string): string {
  const date = hasOffset(moment) ? new Date(moment) : null;
  if (!date || Number.isNaN(date.getTime())) return moment;
  const milliseconds = date.getMilliseconds() ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "";
  const [hour, minute, second] = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two);
  const year = String(date.getFullYear()).padStart(4, "0");
  return `${year}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${hour}:${minute}:${second}${milliseconds}`;
}

/** The text of the input, with the local offset at that time. Text that is not a datetime is returned unchanged. */
export function withOffset(text: string): string {
  const date = new Date(text);
  if (hasOffset(text) || Number.isNaN(date.getTime())) return text;
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${text}${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** The name of the reader's time zone. */
export function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function hasOffset(moment: string): boolean {
  return /T.*(Z|[+-]\d\d:?\d\d)$/i.test(moment);
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
