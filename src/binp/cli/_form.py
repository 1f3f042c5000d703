"""The form of an action in words: what each of its parameters takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["parameters"]

_FORMATS = {"binary": "file", "password": "secret", "date-time": "date and time"}


def parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    """A line for each parameter: ``port: integer = 8000``. One that need not be given has its default behind it.

    Args:
        schema: JSON Schema of the arguments.
    """
    required = schema.get("required", ())
    for name, parameter in schema.get("properties", {}).items():
        kind = f"{name}: {_kind(parameter, schema.get('$defs', {}))}"
        if name in required:
            yield kind
        else:
            # a secret one is not told
            default = json.dumps(parameter["default"], ensure_ascii=False) if "default" in parameter else "..."
            yield f"{kind} = {default}"


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name:
        found = definitions.get(name, {})
        # a model is named, and not told in full: it may have itself inside
        return name if "properties" in found else _kind(found, definitions)
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema.get("enum", [schema.get("const")]))
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if choices:
        return " | ".join(dict.fromkeys(_kind(one, definitions) for one in choices))
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {_kind(schema['items'], definitions)}"
    kind = schema.get("format", schema.get("type", "any JSON"))
    return str(_FORMATS.get(kind, kind))
