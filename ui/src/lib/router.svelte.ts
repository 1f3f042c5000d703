// The present view: path and query after the # of the URL, so that every view can be linked, and Back works.
interface Route {
  /** decoded segments: #/actions/a%2Fb is ["actions", "a/b"]; a segment may be empty, for example the name of a key */
  path: string[];
  query: URLSearchParams;
}

type Patch = Record<string, string | string[] | null>;

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path ? path.split("/").map(decode) : [], query: new URLSearchParams(query) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route: Route = $state(read());

function sync(): void {
  Object.assign(route, read());
}

addEventListener("hashchange", sync);
addEventListener("popstate", sync);

/** The URL of a view. */
export function href(path: readonly (string | number)[], query?: Record<string, string>): string {
  const search = query ? new URLSearchParams(query).toString() : "";
  return `#/${path.map((part) => encodeURIComponent(part)).join("/")}${search && `?${search}`}`;
}

/** Go to a view. */
export function go(to: string, { replace = false } = {}): void {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  sync();
}

/** The URL of this view with other query parameters: null removes a parameter, a list repeats it. */
export function withQuery(patch: Patch): string {
  const query = new URLSearchParams(route.query);
  for (const [name, value] of Object.entries(patch)) {
    query.delete(name);
    for (const one of value === null ? [] : [value].flat()) query.append(name, one);
  }
  const search = query.toString();
  return href(route.path) + (search && `?${search}`);
}
