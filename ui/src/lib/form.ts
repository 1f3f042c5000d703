// A form as a tree of nodes: built from a schema, filled in by a person, read as JSON. Only the server validates it.
import { bytes } from "./amount.ts";
import { alternatives, isNullable, looksLike, resolve, tagOf, typesOf, type Schema } from "./schema.ts";
import { hasOffset, onClock, withOffset } from "./zone.ts";

export type Kind = "text" | "number" | "choice" | "flag" | "json" | "constant" | "file" | "object" | "list" | "union";

export interface Node {
  kind: Kind;
  /** unique in the document */
  id: string;
  /** member of the object, or index in the list */
  name: string | number;
  title: string;
  help: string;
  /** there is no default, and a value is required */
  isRequired: boolean;
  isNullable: boolean;
  error: string;
  schema: Schema;
  /** text, number and json: the content of the field; file: the name of the file of an earlier run */
  text: string;
  /** for a datetime with an offset: the original text, and its form in the field, which has no offset */
  moment?: { given: string; text: string } | undefined;
  /** file: the chosen files */
  file: File | null;
  flag: boolean;
  /** choice and union: the chosen index; -1 for null */
  index: number;
  /** choice: the values; union: the names of the alternatives */
  options: unknown[];
  /** object: one node per member; list: one per item; union: the chosen alternative */
  items: Node[];
}

/** The path of a node. */
export interface Place {
  id: string;
  name: string | number;
  isRequired: boolean;
}

const TOP: Place = { id: "f", name: "", isRequired: true };

/** Build the form of a schema, filled in with *value*; undefined leaves the defaults. */
export function build(given: Schema, root: Schema, value?: unknown, place: Place = TOP): Node {
  const schema = resolve(given, root);
  const others = alternatives(schema, root);
  const only = others.length === 1 ? others[0] : undefined;
  const core: Schema = only ? { ...only, ...beside(schema) } : schema;
  const filled = value !== undefined ? value : schema.default;
  const node: Node = {
    kind: kindOf(core, others, isNullable(schema)),
    id: place.id,
    name: place.name,
    title: given.title ?? schema.title ?? only?.title ?? String(place.name),
    help: schema.description ?? "",
    isRequired: place.isRequired,
    isNullable: isNullable(schema),
    error: "",
    schema: core,
    text: "",
    file: null,
    flag: false,
    index: -1,
    options: [],
    items: [],
  };
  fill(node, others, root, filled);
  return node;
}

/** The keywords beside the alternatives, which apply to all of them. */
function beside({ anyOf: _any, oneOf: _one, ...rest }: Schema): Schema {
  return rest;
}

function kindOf(schema: Schema, others: Schema[], nullable: boolean): Kind {
  const type = typesOf(schema).find((one) => one !== "null");
  if (isDecimal(others)) return "number";
  if (others.length > 1 || (others.length === 1 && nullable && type === "object" && schema.properties)) return "union";
  if (schema.const !== undefined) return nullable ? "choice" : "constant";
  if (schema.enum || (type === "boolean" && nullable)) return "choice";
  if (type === "boolean") return "flag";
  if (type === "integer" || type === "number") return "number";
  if (schema.format === "binary") return "file";
  if (type === "string") return "text";
  if (type === "object" && schema.properties) return "object";
  if (type === "array" && (schema.items || schema.prefixItems)) return "list";
  return "json";
}

/** A decimal, which may arrive as a number or as text. */
function isDecimal(others: Schema[]): boolean {
  const isPlain = (type: string) => others.some((one) => one.type === type && !one.format && !one.enum);
  return others.length === 2 && isPlain("number") && isPlain("string");
}

function fill(node: Node, others: Schema[], root: Schema, value: unknown): void {
  const { schema } = node;
  switch (node.kind) {
    case "object": {
      const members = (value ?? {}) as Record<string, unknown>;
      node.items = Object.entries(schema.properties ?? {}).map(([name, member]) =>
        build(member, root, members[name], childOf(node, name, schema.required?.includes(name) ?? false)),
      );
      break;
    }
    case "list": {
      const values = Array.isArray(value) ? value : Array.from({ length: schema.prefixItems?.length ?? schema.minItems ?? 0 });
      values.forEach((one) => addItem(node, root, one));
      break;
    }
    case "union": {
      node.options = others.map(nameOf);
      const tag = tagOf(schema);
      const found = others.findIndex((one) => looksLike(one, value, tag));
      const index = value === undefined || value === null ? -1 : Math.max(0, found);
      pick(node, root, index < 0 && !node.isNullable ? 0 : index, value);
      break;
    }
    case "choice":
      node.options = schema.enum ?? (schema.const !== undefined ? [schema.const] : [true, false]);
      node.index = node.options.indexOf(value);
      if (node.index < 0 && !node.isNullable && !node.isRequired) node.index = 0;
      break;
    case "flag":
      node.flag = value === true;
      break;
    case "json":
      // a default of null is the same as an empty field
      node.text = value === undefined || (value === null && (schema.default ?? null) === null) ? "" : JSON.stringify(value, null, 1);
      break;
    case "file":
      node.text = String((value as { $file?: unknown } | null | undefined)?.$file ?? "");
      break;
    case "number":
    case "text":
      node.text = value === undefined || value === null ? "" : String(value);
      if (schema.format === "date-time" && (schema["x-has-zone"] || hasOffset(node.text))) {
        node.moment = { given: node.text, text: onClock(node.text) };
        node.text = node.moment.text;
      }
      break;
    case "constant":
      break;
  }
}

function childOf(node: Node, name: string | number, isRequired: boolean): Place {
  return { id: `${node.id}-${name}`, name, isRequired };
}

function nameOf(schema: Schema): string {
  return schema.title ?? schema.format ?? typesOf(schema)[0] ?? (schema.const !== undefined ? String(schema.const) : "value");
}

/** Append an item to a list. */
export function addItem(node: Node, root: Schema, value?: unknown): void {
  const index = node.items.length;
  const schema = node.schema.prefixItems?.[index] ?? node.schema.items ?? {};
  const made = build({ title: `${index + 1}`, ...schema }, root, value, childOf(node, index, true));
  node.items.push(made);
}

/** Remove an item from a list. */
export function removeItem(node: Node, index: number): void {
  node.items.splice(index, 1);
}

/** Choose an alternative of a union; -1 is null. */
export function pick(node: Node, root: Schema, index: number, value?: unknown): void {
  node.index = index;
  const chosen = alternatives(node.schema, root)[index] ?? (index === 0 ? node.schema : undefined);
  node.items = chosen ? [build({ title: node.title, ...chosen }, root, value, childOf(node, `as${index}`, true))] : [];
}

/** The filled-in JSON; undefined means the default. Throws a SyntaxError for invalid JSON. */
export function read(node: Node): unknown {
  switch (node.kind) {
    case "object":
      return Object.fromEntries(
        node.items.map((item) => [item.name, read(item)] as const).filter(([, value]) => value !== undefined),
      );
    case "list":
      return node.items.map((item) => read(item) ?? null);
    case "union":
      return node.items[0] ? read(node.items[0]) : null;
    case "choice":
      return node.index >= 0 ? node.options[node.index] : node.isNullable ? null : undefined;
    case "flag":
      return node.flag;
    case "constant":
      return node.schema.const;
    case "json":
      return node.text.trim() ? (JSON.parse(node.text) as unknown) : node.isNullable ? null : undefined;
    case "file":
      return node.file ?? (node.isNullable ? null : undefined);
    case "number":
      return readNumber(node);
    case "text":
      return readText(node);
  }
}

/** Errors of the chosen files: a file that is too large is not sent just to be refused. */
export function tooLarge(node: Node, loc: (string | number)[] = []): { loc: (string | number)[]; msg: string }[] {
  const most = node.schema["x-max-bytes"];
  const isOver = node.file !== null && most !== undefined && node.file.size > most;
  const here = isOver ? [{ loc, msg: `has ${bytes(node.file?.size ?? 0)}, and at most ${bytes(most)} are taken` }] : [];
  return [...here, ...node.items.flatMap((item) => tooLarge(item, node.kind === "union" ? loc : [...loc, item.name]))];
}

/** Whether there is a file input anywhere, which cannot be written as JSON. */
export function hasFile(node: Node): boolean {
  return node.kind === "file" || node.schema.items?.format === "binary" || node.items.some(hasFile);
}

function readNumber(node: Node): unknown {
  const text = node.text.trim();
  if (!text) return node.isNullable ? null : undefined;
  const number = Number(text);
  // keep the text of a decimal, because a number would lose digits
  if (node.schema.type === undefined && String(number) !== text) return text;
  // send text that is not a number, or that JavaScript cannot represent exactly, as it was typed
  return Number.isFinite(number) && (!Number.isInteger(number) || Number.isSafeInteger(number)) ? number : text;
}

function readText(node: Node): unknown {
  // an unchanged datetime keeps its own offset and all its digits
  if (node.text && node.moment) return node.text === node.moment.text ? node.moment.given : withOffset(node.text);
  if (node.text) return node.text;
  if (node.isNullable) return null;
  // an empty required field counts as missing; one with a default was cleared on purpose, and is sent as ""
  return node.isRequired || node.schema.default === "" || node.schema.format ? undefined : "";
}

/** Assign errors to their nodes; returns those that belong to none. */
export function mark(form: Node, errors: readonly { loc: (string | number)[]; msg: string }[]): string[] {
  clear(form);
  const left: string[] = [];
  for (const { loc, msg } of errors) {
    const node = locate(form, loc);
    if (node === form) left.push(loc.length ? `${loc.join(".")}: ${msg}` : msg);
    else node.error = node.error || msg;
  }
  return left;
}

function clear(node: Node): void {
  node.error = "";
  node.items.forEach(clear);
}

/** The innermost node on the path; names of union alternatives in the path, which are not nodes, are skipped. */
function locate(form: Node, loc: readonly (string | number)[]): Node {
  let found = form;
  for (const step of loc) {
    while (found.kind === "union" && found.items[0]) found = found.items[0];
    found = found.items.find((item) => item.name === step) ?? found;
  }
  return found;
}

/** The first node with an error, in the order of the page. */
export function firstError(node: Node): Node | undefined {
  if (node.error) return node;
  for (const item of node.items) {
    const found = firstError(item);
    if (found) return found;
  }
  return undefined;
}

/** The arguments of a run without its secrets: these are stored as asterisks, which must not be sent. */
export function unmasked(value: unknown): unknown {
  if (typeof value === "string") return /^\*{3,}$/.test(value) ? undefined : value;
  if (Array.isArray(value)) return value.map(unmasked);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unmasked(one)]));
}

/** Whether anything in it is secret, so that an earlier run cannot fill it in completely. */
export function hasSecret(node: Node): boolean {
  return isSecret(node) || node.items.some(hasSecret);
}

export function isSecret({ schema }: Node): boolean {
  return schema.writeOnly === true || schema.format === "password";
}
