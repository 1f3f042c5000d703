"""Describe the form of an action: what each parameter accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["models", "parameters"]

_FORMATS = {"binary": "file", "password": "secret", "date-time": "date and time"}


def parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    """One line per parameter: ``port: integer = 8000``. An optional one is followed by its default.

    Args:
        schema: JSON Schema of the arguments.
    """
    required = schema.get("required", ())
    for name, parameter in schema.get("properties", {}).items():
        kind = f"{name}: {_kind(parameter, schema.get('$defs', {}))}"
        if name in required:
            yield kind
        else:
            # secret defaults are not in the schema
            default = json.dumps(parameter["default"], ensure_ascii=False) if "default" in parameter else "..."
            yield f"{kind} = {default}"


def models(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The models in parameters, also nested ones: names of their fields, described like parameters.

    Args:
        schema: JSON Schema of the arguments.
    """
    definitions = schema.get("$defs", {})
    names = list(dict.fromkeys(_mentioned(schema.get("properties", {}))))
    # the list grows meanwhile; models may be recursive
    for name in names:
        model = definitions.get(name, {})
        names += [one for one in dict.fromkeys(_mentioned(model)) if one not in names]
        for text in parameters({**model, "$defs": definitions}):
            yield name, text


def _mentioned(node: Any) -> Iterator[str]:
    """The names of the definitions that *node* refers to."""
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix("#/$defs/")
        for inner in node.values():
            yield from _mentioned(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _mentioned(inner)


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name:
        found = definitions.get(name, {})
        # a model is only named; its fields are listed after the parameters
        return name if "properties" in found else _kind(found, definitions)
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema.get("enum", [schema.get("const")]))
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if choices:
        return " | ".join(dict.fromkeys(_kind(one, definitions) for one in choices))
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {_kind(schema['items'], definitions)}"
    if schema.get("x-has-zone"):
        return "date and time with zone"
    kind = schema.get("format", schema.get("type", "any JSON"))
    return str(_FORMATS.get(kind, kind))
