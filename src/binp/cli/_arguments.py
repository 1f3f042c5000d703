"""Parse arguments from the command line by the schema of an action's form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from binp.errors import UsageError
from buvar.names import did_you_mean

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}

#: types of values that must be written as JSON
_OBJECT = {"object", "null"}

#: maximum depth of examples: models may be recursive
_DEPTH = 4


def read_arguments(pairs: Iterable[str], given: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the arguments of an action.

    A value is parsed as JSON if that fits the schema of the parameter, otherwise it is text; the form validates it. A
    list may be given as JSON, or item by item with the same key; an object as JSON, or field by field with keys such as
    ``customer.address.street``.

    Args:
        pairs: ``key=value`` pairs. If one is inside another, the deeper one takes precedence.
        given: A JSON object; the pairs take precedence over it.
        schema: JSON Schema of the arguments.

    Raises:
        UsageError: a pair has no ``=`` or names no field, what must be an object is not JSON, or *given* is not a JSON
            object.
    """
    texts: dict[str, list[str]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"{pair!r} is not an argument", fix="write it as key=value")
        texts.setdefault(key, []).append(text)
    arguments = _read_object(given)
    for key in sorted(texts, key=lambda each: each.count(".")):
        _put(arguments, key, texts[key], schema)
    return arguments


def _put(arguments: dict[str, Any], key: str, texts: list[str], schema: Mapping[str, Any]) -> None:
    """Set *texts* at the path *key*, creating objects on the way."""
    definitions = schema.get("$defs", {})
    node, place = schema, arguments
    *outer, last = _path(key, schema, definitions)
    for name in outer:
        node = _field(node, name, definitions) or {}
        inner = place.get(name)
        # keep the other fields of an object given as JSON
        place[name] = dict(inner) if isinstance(inner, dict) else {}
        place = place[name]
    field = _field(node, last, definitions)
    if field is None and outer:
        known = sorted(_fields(node, definitions))
        near = did_you_mean(last, known)
        raise UsageError(
            f"{'.'.join(outer)} has no field {last!r}",
            fix=f"did you mean {near!r}?" if near else f"it has {', '.join(known)}",
        )
    place[last] = _read(key, texts, field or {}, definitions)


def _path(key: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[str]:
    """The parts of *key*: the parameter, and fields as far as there are objects; the rest is one name."""
    names, node = key.split("."), schema
    for index, name in enumerate(names[:-1]):
        found = _field(node, name, definitions)
        if found is None or "object" not in _types(found, definitions):
            return [*names[:index], ".".join(names[index:])]
        node = found
    return names


def _fields(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The known fields of objects in *schema*, in all its variants."""
    schema = _resolved(schema, definitions)
    found: dict[str, Mapping[str, Any]] = {}
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= _fields(choice, definitions)
    found.update(schema.get("properties", {}))
    return found


def _field(schema: Mapping[str, Any], name: str, definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a field of an object; None if it cannot have a field of that name."""
    if (found := _fields(schema, definitions).get(name)) is not None:
        return found
    schema = _resolved(schema, definitions)
    for choice in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        further = _resolved(choice, definitions).get("additionalProperties", False)
        if further is not False:
            return further if isinstance(further, Mapping) else {}
    return None


def _read_object(given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    try:
        value = json.loads(given)
    except ValueError as error:
        raise UsageError(f"--json is not JSON: {error}", fix="""write it like --json '{"key": "value"}'""") from None
    if not isinstance(value, dict):
        raise UsageError("--json is no object", fix="""write it like --json '{"key": "value"}'""")
    return value


def _read(key: str, texts: list[str], schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    types = _types(schema, definitions)
    if len(texts) == 1:
        value = _read_one(key, texts[0], types, schema, definitions)
        if "array" not in types or not isinstance(value, str) or "string" in types:
            return value
    items = _items(schema, definitions)
    kinds = _types(items, definitions)
    return [_read_one(key, text, kinds, items, definitions, is_item=True) for text in texts]


def _read_one(
    key: str,
    text: str,
    types: set[str],
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
    *,
    is_item: bool = False,
) -> Any:
    """*text* as JSON if that has one of *types*, otherwise as text; empty *types* mean any."""
    if types == {"string"}:
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        if types and types <= _OBJECT:
            raise UsageError(
                f"{key} takes an object, and what is given is not JSON: {error}",
                fix=f"write it like {key}='{_sample(schema, definitions)}'"
                # fields inside list items cannot be given by key
                + ("" if is_item else f", or each field like {key}.{_first(schema, definitions)}"),
            ) from None
        return text
    kind = _TYPES[type(value)]
    if kind == "number" and "string" in types and repr(value) != text:
        # keep the text: a Decimal has digits that a float would lose
        return text
    if not types or kind in types or (kind == "integer" and "number" in types):
        return value
    return text


def _sample(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """An example of an object of *schema*, with its required fields."""
    return json.dumps(_example(schema, definitions, _DEPTH) or {"field": "value"}, ensure_ascii=False)


def _first(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """An example of a single field of an object of *schema*."""
    return f"{next(iter(_fields(schema, definitions)), 'field')}=..."


def _example(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    schema = _resolved(schema, definitions)
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])[0]
    if choices := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        return _example(choices[0], definitions, depth)
    if schema.get("type") != "object":
        return {"integer": 0, "number": 0.0, "boolean": False, "array": []}.get(schema.get("type", ""), "...")
    fields = schema.get("properties", {})
    if depth == 0:
        return {}
    return {name: _example(fields.get(name, {}), definitions, depth - 1) for name in schema.get("required", ())}


def _types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> set[str]:
    """The JSON types that *schema* accepts; empty for any."""
    schema = _resolved(schema, definitions)
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if "const" in schema or "enum" in schema:
        return {_TYPES[type(value)] for value in schema.get("enum", [schema.get("const")])}
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    found = [_types(choice, definitions) for choice in choices]
    return set().union(*found) if all(found) else set()


def _items(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the items of a list in *schema*."""
    schema = _resolved(schema, definitions)
    for choice in (schema, *schema.get("anyOf", ())):
        resolved = _resolved(choice, definitions)
        if isinstance(resolved.get("items"), Mapping):
            return dict(resolved["items"])
    return {}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return definitions.get(name, {}) if name else schema
