// The part of JSON Schema, as pydantic generates it, that a form has to understand.
export interface Schema {
  $ref?: string;
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  format?: string;
  writeOnly?: boolean;
  /** accepted file extensions and media types, and the maximum size in bytes */
  "x-accept"?: string[];
  "x-max-bytes"?: number;
  /** for a datetime: an offset is required */
  "x-has-zone"?: boolean;
  examples?: unknown[];
  pattern?: string;
  maxLength?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  prefixItems?: Schema[];
  minItems?: number;
  maxItems?: number;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  discriminator?: { propertyName: string };
  $defs?: Record<string, Schema>;
}

/** The schema that a reference points to; keywords beside the reference take precedence. */
export function resolve(schema: Schema, root: Schema): Schema {
  let found = schema;
  for (let depth = 0; found.$ref && depth < 20; depth++) {
    const { $ref, ...beside } = found;
    const target = root.$defs?.[decodeURIComponent($ref.split("/").pop() ?? "").replace(/~1/g, "/").replace(/~0/g, "~")];
    found = { ...target, ...beside };
  }
  const only = found.allOf?.length === 1 ? found.allOf[0] : undefined;
  if (!only) return found;
  const { allOf: _, ...beside } = found;
  return { ...resolve(only, root), ...beside };
}

/** The alternatives except null, with nested unions flattened: an optional union is a union in a union. */
export function alternatives(schema: Schema, root: Schema): Schema[] {
  return (schema.anyOf ?? schema.oneOf ?? [])
    .map((one) => resolve(one, root))
    .filter((one) => one.type !== "null")
    .flatMap((one) => (one.anyOf || one.oneOf ? alternatives(one, root) : [one]));
}

/** Whether null is accepted. */
export function isNullable(schema: Schema): boolean {
  return typesOf(schema).includes("null") || (schema.anyOf ?? schema.oneOf ?? []).some((one) => one.type === "null");
}

/** The discriminator: the member that tells the alternatives apart. */
export function tagOf(schema: Schema): string | undefined {
  const inner = [schema, ...(schema.anyOf ?? [])].find((one) => one.discriminator);
  return inner?.discriminator?.propertyName;
}

export function typesOf(schema: Schema): string[] {
  return [schema.type ?? []].flat();
}

/** Whether *value* looks as if it fits the schema; good enough to choose between alternatives. */
export function looksLike(schema: Schema, value: unknown, tag: string | undefined): boolean {
  if (schema.const !== undefined) return schema.const === value;
  if (schema.enum) return schema.enum.includes(value);
  if (Array.isArray(value)) return schema.type === "array";
  if (value !== null && typeof value === "object") {
    if (schema.type !== "object") return false;
    const members = value as Record<string, unknown>;
    if (tag) return schema.properties?.[tag]?.const === members[tag];
    return (schema.required ?? []).every((name) => name in members);
  }
  if (typeof value === "number") return schema.type === "number" || (schema.type === "integer" && Number.isInteger(value));
  return schema.type === typeof value;
}
