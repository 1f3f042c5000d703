// Files in results of runs, as the history describes them.

export interface Returned {
  name: string;
  size: number;
  type: string;
  sha256: string;
}

/** The file that *value* describes; undefined if it describes none. */
export function fileOf(value: unknown): Returned | undefined {
  if (value === null || typeof value !== "object" || !("$file" in value)) return undefined;
  const { $file: name, size, type, sha256 } = value as Record<string, unknown>;
  return { name: String(name), size: Number(size), type: String(type), sha256: String(sha256) };
}
