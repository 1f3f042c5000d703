"""Describe the fields of a class: environment variables, help, and a commented file."""

from __future__ import annotations

import json
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from buvar.config._environ import variable_names
from buvar.config._shapes import Shape, get_fields, has, shapes_of, unwrap
from buvar.secret import MASK, Secret


def traverse_attrs(
    cls: type,
    target: dict[str, Any] | None = None,
    get_type_hints: Callable[[Any], Mapping[str, Any]] | None = None,
) -> Iterator[tuple[dict[str, Any], tuple[str, ...], Any, Any]]:
    """Walk all leaves of a class and its nested classes.

    Args:
        cls: An attrs, dataclass or pydantic class.
        target: Filled with an empty dictionary for each nested class.
        get_type_hints: Resolves the annotations of a class; None for the default, which knows local names.

    Yields:
        The dictionary for the class of the leaf, the path of the leaf, its field as described by its own library, and
        its type.
    """
    yield from _walk(cls, {} if target is None else target, (), get_type_hints, ())


def _walk(
    cls: type,
    target: dict[str, Any],
    path: tuple[str, ...],
    get_type_hints: Callable[[Any], Mapping[str, Any]] | None,
    above: tuple[type, ...],
) -> Iterator[tuple[dict[str, Any], tuple[str, ...], Any, Any]]:
    shapes = {shape.name: shape for shape in shapes_of(cls)}
    described = {getattr(field, "name", name): field for name, field in _described(cls)}
    hints = get_type_hints(cls) if get_type_hints else {}
    for name, shape in shapes.items():
        tp = hints.get(name, shape.type)
        inner, _ = unwrap(tp)
        where = (*path, shape.key)
        if has(inner):
            if inner not in (*above, cls):
                yield from _walk(inner, target.setdefault(shape.key, {}), where, get_type_hints, (*above, cls))
        else:
            yield target, where, described[name], tp


def _described(cls: type) -> Iterator[tuple[str, Any]]:
    names = getattr(cls, "__pydantic_fields__", None) or [field.name for field in get_fields(cls)]
    return zip(names, get_fields(cls), strict=True)


def create_env_config(cls: type, *prefix: str) -> dict[str, Any]:
    """The configuration for *cls* from the environment, as nested dictionaries of text."""
    found: dict[str, Any] = {}
    for target, path, _field, _type in traverse_attrs(cls, found):
        for name in variable_names(prefix, path):
            if name in os.environ:
                target[path[-1]] = os.environ[name]
                break
    return _without_empty(found)


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    pruned = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in tree.items()}
    return {key: value for key, value in pruned.items() if value != {}}


def generate_env_help(cls: type, env_prefix: str = "") -> str:
    """A table of the variables that set the fields of *cls*, one per line: name, type, default and help."""
    prefix = (env_prefix,) if env_prefix else ()
    rows = [
        (variable_names(prefix, path)[0], _type_name(shape.type), _default_text(shape, default), shape.help or "")
        for path, shape, default in _leaves(cls, (), None, ())
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows)


def generate_toml_help(cls: type, section: str | None = None) -> str:
    """A commented TOML file for *cls*, with required keys to fill in, and defaults of the others.

    Args:
        cls: An attrs, dataclass or pydantic class.
        section: The table from which it is loaded; None for the root.
    """
    lines: list[str] = []
    table: tuple[str, ...] = ()
    for path, shape, default in _leaves(cls, tuple(section.split(".")) if section else (), None, ()):
        if path[:-1] != table:
            table = path[:-1]
            lines += [*([""] if lines else []), f"[{'.'.join(table)}]"]
        comment = f"{_type_name(shape.type)}{', required' if _is_required(shape, default) else ''}"
        lines.append(f"# {f'{shape.help} ({comment})' if shape.help else comment}")
        lines.append(f"# {path[-1]} = {'' if shape.secret else _toml(default)}")
    return "\n".join(lines) + "\n"


#: means that a leaf has no default to show
_NOTHING = object()


def _leaves(
    cls: type, path: tuple[str, ...], base: Any, above: tuple[type, ...]
) -> Iterator[tuple[tuple[str, ...], Shape, Any]]:
    """All leaves with their effective defaults; those of a class come before those of its nested classes."""
    nested = []
    for shape in shapes_of(cls):
        default = getattr(base, shape.name) if base is not None else shape.default() if shape.default else _NOTHING
        inner, _ = unwrap(shape.type)
        if not has(inner):
            yield (*path, shape.key), shape, default
        elif inner not in (*above, cls):
            nested.append((inner, (*path, shape.key), default if isinstance(default, inner) else None))
    for inner, where, default in nested:
        yield from _leaves(inner, where, default, (*above, cls))


def _is_required(shape: Shape, default: Any) -> bool:
    return shape.required and default is _NOTHING


def _default_text(shape: Shape, default: Any) -> str:
    if _is_required(shape, default):
        return "required"
    if default is _NOTHING:
        return ""
    return MASK if shape.secret and default else repr(default)


def _type_name(tp: Any) -> str:
    if typing.get_origin(tp) is Secret:
        return "secret"
    return tp.__name__ if isinstance(tp, type) and not typing.get_args(tp) else str(tp).replace("typing.", "")


def _toml(value: Any) -> str:
    if value is _NOTHING or value is None or isinstance(value, Secret):
        return ""
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)
