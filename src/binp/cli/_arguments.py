"""Read arguments that were typed, by the schema of the form that they are for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from binp.errors import UsageError

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}

#: types of a value that is written as JSON and in no other way
_OBJECT = {"object", "null"}


def read_arguments(pairs: Iterable[str], given: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for an action.

    A value is JSON where that fits the parameter's schema, else it is text; whether the text fits is for the form to
    say. A list may be given as JSON, or item by item with the same key.

    Args:
        pairs: Each ``key=value``.
        given: A JSON object; the pairs win over it.
        schema: JSON Schema of the arguments.

    Raises:
        UsageError: a pair has no ``=``, what must be an object is no JSON, or *given* is no JSON object.
    """
    texts: dict[str, list[str]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"{pair!r} is no argument", fix="write it as key=value")
        texts.setdefault(key, []).append(text)
    arguments = _read_object(given)
    for key, values in texts.items():
        arguments[key] = _read(key, values, schema.get("properties", {}).get(key, {}), schema.get("$defs", {}))
    return arguments


def _read_object(given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    try:
        value = json.loads(given)
    except ValueError as error:
        raise UsageError(f"--json is no JSON: {error}", fix="""write it like --json '{"key": "value"}'""") from None
    if not isinstance(value, dict):
        raise UsageError("--json is no object", fix="""write it like --json '{"key": "value"}'""")
    return value


def _read(key: str, texts: list[str], schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    types = _types(schema, definitions)
    if len(texts) == 1:
        value = _read_one(key, texts[0], types)
        if "array" not in types or not isinstance(value, str) or "string" in types:
            return value
    items = _items(schema, definitions)
    return [_read_one(key, text, _types(items, definitions)) for text in texts]


def _read_one(key: str, text: str, types: set[str]) -> Any:
    """*text* as JSON if that is of one of *types*, else as it is; no types stand for any."""
    if types == {"string"}:
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        if types and types <= _OBJECT:
            raise UsageError(
                f"{key} takes an object, and what is given is no JSON: {error}",
                fix=f"""write it like {key}='{{"field": "value"}}'""",
            ) from None
        return text
    kind = _TYPES[type(value)]
    if kind == "number" and "string" in types and repr(value) != text:
        # a Decimal, which keeps the digits that a float would lose
        return text
    if not types or kind in types or (kind == "integer" and "number" in types):
        return value
    return text


def _types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> set[str]:
    """The types of JSON that *schema* lets through; none stands for any."""
    schema = _resolved(schema, definitions)
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if "const" in schema or "enum" in schema:
        return {_TYPES[type(value)] for value in schema.get("enum", [schema.get("const")])}
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    found = [_types(choice, definitions) for choice in choices]
    return set().union(*found) if all(found) else set()


def _items(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Schema of the items of the list that *schema* lets through."""
    schema = _resolved(schema, definitions)
    for choice in (schema, *schema.get("anyOf", ())):
        resolved = _resolved(choice, definitions)
        if isinstance(resolved.get("items"), Mapping):
            return dict(resolved["items"])
    return {}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return definitions.get(name, {}) if name else schema
