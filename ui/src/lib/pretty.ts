// Format JSON text with one line per item. Only white space is changed, so that 1.0 and large numbers are preserved.
const TOKENS = /"(?:\\.|[^"\\])*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** Format JSON text; short values stay on one line. */
export function pretty(text: string, width = 60): string {
  if (text.length <= width) return text;
  const tokens = text.match(TOKENS) ?? [];
  let found = "";
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    const isEmpty = (token === "{" && next === "}") || (token === "[" && next === "]");
    const closes = token === "}" || token === "]";
    const wasEmpty = closes && /[[{]$/.test(found);
    if (closes && !wasEmpty) found += line(--depth);
    found += token;
    if (token === ":") found += " ";
    else if (token === ",") found += line(depth);
    else if ((token === "{" || token === "[") && !isEmpty) found += line(++depth);
  }
  return found;
}

function line(depth: number): string {
  return `\n${"  ".repeat(depth)}`;
}
