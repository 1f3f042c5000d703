// Moments in a field that knows no zone: they are on the clock of the reader there, and have an offset everywhere else.

/** A moment as it stands in the field: without its offset, on the clock of the reader. What has none stays as it is. */
export function onClock(moment: string): string {
  const date = hasOffset(moment) ? new Date(moment) : null;
  if (!date || Number.isNaN(date.getTime())) return moment;
  const milliseconds = date.getMilliseconds() ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "";
  const [hour, minute, second] = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two);
  const year = String(date.getFullYear()).padStart(4, "0");
  return `${year}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${hour}:${minute}:${second}${milliseconds}`;
}

/** What stands in the field, with the offset that the clock of the reader has then. What is not a moment stays as it is. */
export function withOffset(text: string): string {
  const date = new Date(text);
  if (hasOffset(text) || Number.isNaN(date.getTime())) return text;
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${text}${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** The name of the reader's zone. */
export function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function hasOffset(moment: string): boolean {
  return /T.*(Z|[+-]\d\d:?\d\d)$/i.test(moment);
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
