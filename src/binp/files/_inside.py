"""Find files in the result of a function, and descriptions of files in stored JSON."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ._file import MARK, File

__all__ = ["PLAIN", "described_in", "files_in"]

#: types without contents; most results are one of these
PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def files_in(value: Any) -> list[File]:
    """The files in *value*, at any depth: in lists, dictionaries, sets, dataclasses and pydantic models.

    Never raises: a value that cannot be inspected contains none.
    """
    if type(value) in PLAIN:
        return []
    found: dict[int, File] = {}
    # keeps the objects alive, so that no id is reused
    seen: dict[int, Any] = {}
    left = deque([value])
    while left:
        each = left.popleft()
        if isinstance(each, File):
            found[id(each)] = each
        elif type(each) not in PLAIN and id(each) not in seen:
            seen[id(each)] = each
            try:
                left.extend(one for one in _inside(each) if type(one) not in PLAIN)
            except Exception:  # noqa: BLE001, S112 - a user's object may raise anything when accessed
                continue
    return list(found.values())


def described_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """The descriptions of files in the JSON *value*."""
    if isinstance(value, Mapping):
        if MARK in value and isinstance(value.get("sha256"), str):
            yield value
        else:
            for inner in value.values():
                yield from described_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from described_in(inner)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return vars(value).values() if hasattr(type(value), "model_dump") else ()
