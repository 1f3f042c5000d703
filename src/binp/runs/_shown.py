"""Represent values in a traceback: short, without secrets, and without calling user code."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import re
import types
import uuid
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from buvar.secret import MASK, Secret

from ._masks import field_names

__all__ = ["show", "show_locals"]

#: maximum length of one value, and of a text in it; maximum number of items of a container; maximum depth
_LONGEST, _TEXT, _ITEMS, _DEPTH = 400, 120, 10, 3

#: maximum number of variables of one frame
_VARIABLES = 25

#: larger integers are not converted to decimal, which may be slow or refused; in bits
_BITS = 512

#: types whose repr is short and implemented by Python itself
_PLAIN = (bool, float, complex, dt.date, dt.time, dt.timedelta, dt.tzinfo, Decimal, uuid.UUID, PurePath, range, slice)

#: types of variables that usually say nothing about a failure
_DULL = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


def show_locals(variables: Iterable[tuple[str, Any]], secret: re.Pattern[str]) -> dict[str, str]:
    """The variables of a frame as text; functions, classes and modules are left out. Never raises.

    Args:
        variables: Names and values.
        secret: Values whose name matches this are masked, also nested ones.
    """
    shown: dict[str, str] = {}
    left = 0
    for name, value in variables:
        # names with a double underscore or a dot belong to the interpreter
        if name.startswith(("__", ".")) or issubclass(type(value), _DULL):
            continue
        if len(shown) >= _VARIABLES:
            left += 1
            continue
        shown[name] = show(value, secret, name=name)
    if left:
        shown["…"] = f"{left} more variables"
    return shown


def show(value: Any, secret: re.Pattern[str], *, name: str = "") -> str:
    """A short representation of *value*, a variable called *name*. Never raises.

    Calls none of its methods: a ``repr`` may be slow, fail, query a database or reveal a secret. A value that is not a
    plain one, a container, or of a class with declared fields is represented by its type.
    """
    try:
        text = _named(name, value, secret, _DEPTH)
    except Exception as error:  # noqa: BLE001 - an object may do anything when accessed; recording must not fail on it
        text = f"<{type(value).__qualname__}: {type(error).__name__} while looking at it>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _named(name: Any, value: Any, secret: re.Pattern[str], depth: int) -> str:
    # None and booleans reveal no secret
    if type(name) is str and value is not None and type(value) is not bool and secret.search(name):
        return MASK
    return _show(value, secret, depth)


def _show(value: Any, secret: re.Pattern[str], depth: int) -> str:
    kind = type(value)
    if issubclass(kind, Secret):
        return MASK
    if value is None or value is ...:
        return repr(value)
    if issubclass(kind, enum.Enum):
        # an attribute of the instance, so reading it calls nothing
        return f"{kind.__qualname__}.{object.__getattribute__(value, '_name_')}"
    if issubclass(kind, str):
        return _shown_text(str.__getitem__(value, slice(_TEXT)), str.__len__(value))
    if issubclass(kind, bytes | bytearray):
        base: Any = bytes if issubclass(kind, bytes) else bytearray
        return _shown_text(base.__getitem__(value, slice(_TEXT)), base.__len__(value))
    if kind in _PLAIN or (issubclass(kind, _PLAIN) and kind.__module__ in _STANDARD):
        return repr(value)
    if issubclass(kind, int):
        bits = int.bit_length(value)
        return int.__repr__(value) if bits <= _BITS else f"<int of {bits} bits>"
    if issubclass(kind, BaseException):
        return f"{kind.__qualname__}({_joined(value.args, secret, depth)})"
    return _shown_container(kind, value, secret, depth)


#: modules of the plain classes
_STANDARD = frozenset({"builtins", "datetime", "decimal", "uuid", "pathlib", "pathlib._local", "zoneinfo"})


def _shown_container(kind: type, value: Any, secret: re.Pattern[str], depth: int) -> str:
    if issubclass(kind, dict):
        inside = _pairs(dict.items(value), dict.__len__(value), secret, depth)
        return f"{{{inside}}}"
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return f"{kind.__qualname__}({_fields(zip(kind._fields, tuple.__iter__(value), strict=False), secret, depth)})"
    for base, begin, end in _CONTAINERS:
        if issubclass(kind, base):
            items = list(_first(base.__iter__(value)))
            return f"{begin}{_joined(items, secret, depth, base.__len__(value))}{end}"
    names = field_names(kind)
    if names:
        found = ((name, object.__getattribute__(value, name)) for name in names)
        return f"{kind.__qualname__}({_fields(found, secret, depth)})"
    return f"<{kind.__module__}.{kind.__qualname__} object>"


_CONTAINERS: tuple[tuple[Any, str, str], ...] = (
    (list, "[", "]"),
    (tuple, "(", ")"),
    (set, "{", "}"),
    (frozenset, "frozenset({", "})"),
    (collections.deque, "deque([", "])"),
)


def _shown_text(beginning: Any, size: int) -> str:
    return repr(beginning) if size <= _TEXT else f"{beginning!r}… ({size})"


def _first(items: Iterable[Any]) -> Iterator[Any]:
    for position, item in enumerate(items):
        if position >= _ITEMS:
            return
        yield item


def _joined(items: Any, secret: re.Pattern[str], depth: int, size: int | None = None) -> str:
    size = len(items) if size is None else size
    if depth <= 0 and size:
        return "…"
    shown = [_show(item, secret, depth - 1) for item in _first(items)]
    return ", ".join([*shown, f"… {size - _ITEMS} more"] if size > _ITEMS else shown)


def _pairs(items: Iterable[tuple[Any, Any]], size: int, secret: re.Pattern[str], depth: int) -> str:
    if depth <= 0 and size:
        return "…"
    shown = [f"{_show(key, secret, 0)}: {_named(key, value, secret, depth - 1)}" for key, value in _first(items)]
    return ", ".join([*shown, f"… {size - _ITEMS} more"] if size > _ITEMS else shown)


def _fields(items: Iterable[tuple[str, Any]], secret: re.Pattern[str], depth: int) -> str:
    if depth <= 0:
        return "…"
    return ", ".join(f"{name}={_named(name, value, secret, depth - 1)}" for name, value in _first(items))
