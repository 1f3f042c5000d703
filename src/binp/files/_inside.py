"""Find the files inside of what a function returned, and their descriptions inside of what is kept of it."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ._file import MARK, File

__all__ = ["PLAIN", "described_in", "files_in"]

#: what has nothing inside; most of what is returned is one of these, or holds nothing else
PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def files_in(value: Any) -> list[File]:
    """The files in *value*, at any depth: in lists, dictionaries, sets, dataclasses and pydantic models.

    Never raises: what cannot be looked into has none.
    """
    if type(value) in PLAIN:
        return []
    found: dict[int, File] = {}
    # held, so that no other object gets the same identity meanwhile
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
            except Exception:  # noqa: BLE001, S112 - a user's object may raise anything while it is looked at
                continue
    return list(found.values())


def described_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """The descriptions of files in *value*, which is JSON."""
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
