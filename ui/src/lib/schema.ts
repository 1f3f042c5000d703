// JSON Schema, as pydantic writes it, as far as a form needs to understand it.
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
  /** endings and media types of the files that are taken, and the most bytes of one */
  "x-accept"?: string[];
  "x-max-bytes"?: number;
  /** of a moment: it must have an offset */
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

/** The schema that a reference means; what stands beside the reference wins. */
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

/** The alternatives but null, unions inside unions laid flat: an optional union is a union inside of another. */
export function alternatives(schema: Schema, root: Schema): Schema[] {
  return (schema.anyOf ?? schema.oneOf ?? [])
    .map((one) => resolve(one, root))
    .filter((one) => one.type !== "null")
    .flatMap((one) => (one.anyOf || one.oneOf ? alternatives(one, root) : [one]));
}

/** Whether null fits. */
export function isNullable(schema: Schema): boolean {
  return typesOf(schema).includes("null") || (schema.anyOf ?? schema.oneOf ?? []).some((one) => one.type === "null");
}

/** The member by which the alternatives are told apart. */
export function tagOf(schema: Schema): string | undefined {
  const inner = [schema, ...(schema.anyOf ?? [])].find((one) => one.discriminator);
  return inner?.discriminator?.propertyName;
}

export function typesOf(schema: Schema): string[] {
  return [schema.type ?? []].flat();
}

/** Whether *value* looks as if it was made for the schema; good enough to choose between alternatives. */
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
