"""Format a JSON Schema for people: ``{name: string, times?: integer = 1}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["outline"]

#: maximum depth of nested objects; deeper ones are only named
_DEPTH = 3
_SHORT = 60


def outline(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> str:
    """*schema* as one expression; references are resolved in *schemas*, the components of the document."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if depth >= _DEPTH or name not in schemas:
            return name
        return outline(schemas[name], schemas, depth)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            joint = " & " if union == "allOf" else " | "
            return joint.join(dict.fromkeys(outline(one, schemas, depth) for one in schema[union]))
    return _plain(schema, schemas, depth)


def _plain(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(map(str, kind))
    if kind == "array":
        inner = outline(schema.get("items", {}), schemas, depth)
        return f"[{inner}, ...]"
    if kind == "object" and schema.get("properties"):
        return _object(schema, schemas, depth)
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"{{any name: {outline(values, schemas, depth + 1)}}}" if isinstance(values, Mapping) else "object"
    if kind is None:
        return "any"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _object(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> str:
    if depth >= _DEPTH:
        return str(schema.get("title", "object"))
    required = set(schema.get("required", ()))
    members = []
    for name, member in schema["properties"].items():
        text = f"{name}{'' if name in required else '?'}: {outline(member, schemas, depth + 1)}"
        if member.get("default") is not None:
            text += f" = {json.dumps(member['default'])}"
        members.append(text)
    line = f"{{{', '.join(members)}}}"
    if len(line) <= _SHORT and "\n" not in line:
        return line
    indented = "\n".join(f"  {line}" for member in members for line in f"{member},".split("\n"))
    return f"{{\n{indented}\n}}"
