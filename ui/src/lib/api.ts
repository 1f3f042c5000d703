// Requests to the platform, typed by its OpenAPI document; a refused request throws a Problem.
import type { components, paths } from "./api.gen";

type Schemas = components["schemas"];
export type ActionInfo = Schemas["ActionInfo"];
export type ActionForm = Schemas["ActionForm"];
export type RunInfo = Schemas["RunInfo"];
export type RunDetail = Schemas["RunDetail"];
export type RunList = Schemas["RunList"];
export type RunNumbers = Schemas["RunNumbers"];
export type RecordInfo = Schemas["RecordInfo"];
export type RunGlance = Schemas["RunGlance"];
export type ServiceInfo = Schemas["Info"];
export type ScheduleInfo = Schemas["ScheduleInfo"];
export type Health = Schemas["DatabaseHealth"];
export type Retention = Schemas["RetentionInfo"];
export type Keeping = Schemas["Keeping"];
export type KeyInfo = Schemas["Key"];
export type KeyDetail = Schemas["KeyDetail"];
export type KeyState = Schemas["KeyState"];
export type State = Schemas["State"];

type Method = "get" | "post" | "put" | "delete";
type PathsWith<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, object> ? P : never }[keyof paths];
type Operation<P extends keyof paths, M extends Method> = M extends keyof paths[P] ? paths[P][M] : never;
type Part<O, K extends string> = O extends { parameters: { [N in K]?: infer T } } ? T : never;
type Body<O> = O extends { requestBody?: { content: { "application/json": infer T } } } ? T : never;
type Content<R> = R extends { content: { "application/json": infer T } } ? T : undefined;
type Answer<O> = O extends { responses: infer R } ? Content<R[keyof R & (200 | 202 | 204)]> : never;

interface Options<O> {
  path?: Part<O, "path">;
  query?: Part<O, "query">;
  body?: Body<O>;
  /** the body as JSON text, which may contain values that JavaScript cannot represent */
  text?: string;
  /** the version that must exist; 0 if none may exist */
  version?: number;
  /** idempotency key: a start that is repeated with the same key starts nothing further */
  key?: string;
  signal?: AbortSignal;
}

/** One error in the data that was sent. */
export interface FieldError {
  loc: (string | number)[];
  msg: string;
}

/** Why a request failed. */
export class Problem extends Error {
  /** HTTP status; 0 if there was no response at all */
  readonly status: number;
  readonly fix: string | null;
  readonly errors: FieldError[];
  /** position of the error in the text that was sent, in characters */
  place?: { start: number; stop: number };

  constructor(status: number, detail: string, fix: string | null | undefined = null, errors: FieldError[] = []) {
    super(detail);
    this.status = status;
    this.fix = fix ?? null;
    this.errors = errors;
  }

  static of(error: unknown): Problem {
    if (error instanceof Problem) return error;
    return new Problem(0, "The server does not answer", "It may be restarting. This page reconnects by itself.");
  }

  /** Whether it is temporary. */
  get passes(): boolean {
    return this.status === 0 || this.status >= 502;
  }
}

const listeners = new Set<() => void>();

/** Call *listener* whenever the server says that nobody is logged in. */
export function onLoggedOut(listener: () => void): void {
  listeners.add(listener);
}

const watchers = new Set<() => void>();

/** Call *watcher* whenever the server says that it cannot do something at present. */
export function onUnavailable(watcher: () => void): void {
  watchers.add(watcher);
}

/** The URL of a path below the root of the application, wherever that is mounted. */
export function address(path: string): URL {
  return new URL(`..${path}`, document.baseURI);
}

/** *value* without its files, which are added to *form* under their paths in *value*. */
function withoutFiles(value: unknown, form: FormData, path: string): unknown {
  if (value instanceof File) {
    form.append(path, value);
    return undefined;
  }
  const below = (name: string | number) => (path ? `${path}.${name}` : String(name));
  if (Array.isArray(value)) return value.map((one, index) => withoutFiles(one, form, below(index)));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withoutFiles(one, form, below(name))]));
}

async function send<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  options: Options<Operation<P, M>>,
): Promise<Answer<Operation<P, M>>> {
  const values = (options.path ?? {}) as Record<string, string | number>;
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
  const url = address(`/internal${filled}`);
  for (const [name, value] of Object.entries(options.query ?? {})) {
    for (const one of [value].flat()) if (one !== undefined && one !== null) url.searchParams.append(name, String(one));
  }
  const init: RequestInit = { method: method.toUpperCase(), headers: { accept: "application/json" } };
  if (options.signal) init.signal = options.signal;
  if (method !== "get") {
    // even without a body: by the content type, the server tells a program from a form on a foreign page (CSRF)
    init.headers = { ...init.headers, "content-type": "application/json" };
    if (options.key) init.headers = { ...init.headers, "idempotency-key": options.key };
    if (options.version) init.headers = { ...init.headers, "if-match": `"${options.version}"` };
    else if (options.version === 0) init.headers = { ...init.headers, "if-none-match": "*" };
    if (options.text !== undefined) init.body = options.text;
    else if (options.body !== undefined) {
      const form = new FormData();
      const text = JSON.stringify(withoutFiles(options.body, form, ""));
      if (form.keys().next().done) init.body = text;
      else {
        form.append("arguments", text);
        init.body = form;
        // the browser sets the content type, because only it knows the boundary
        delete (init.headers as Record<string, string>)["content-type"];
      }
    }
  }
  const response = await fetch(url, init);
  if (!response.ok) throw await problemOf(response);
  return (response.status === 204 ? undefined : await response.json()) as Answer<Operation<P, M>>;
}

/** The text of a refusal. */
export async function problemOf(response: Response): Promise<Problem> {
  if (response.status === 401) for (const listener of listeners) listener();
  if (response.status === 503) for (const watcher of watchers) watcher();
  const said = (await response.json().catch(() => ({}))) as { detail?: unknown; fix?: string; errors?: FieldError[]; start?: number; stop?: number };
  const detail = typeof said.detail === "string" ? said.detail : `${response.status} ${response.statusText}`;
  const problem = new Problem(response.status, detail, said.fix, said.errors);
  if (said.start !== undefined && said.stop !== undefined) problem.place = { start: said.start, stop: said.stop };
  return problem;
}

export const api = {
  get: <P extends PathsWith<"get">>(path: P, options: Options<Operation<P, "get">> = {}) => send("get", path, options),
  post: <P extends PathsWith<"post">>(path: P, options: Options<Operation<P, "post">> = {}) => send("post", path, options),
  remove: <P extends PathsWith<"delete">>(path: P, options: Options<Operation<P, "delete">> = {}) => send("delete", path, options),
  put: <P extends PathsWith<"put">>(path: P, options: Options<Operation<P, "put">> = {}) => send("put", path, options),
};
