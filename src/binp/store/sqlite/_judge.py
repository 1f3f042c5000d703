"""Judge whether a row is plausible; implausible rows are neither exported nor imported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

__all__ = ["MANY", "fits", "flaw"]

_TYPES: dict[str, type | tuple[type, ...]] = {"INTEGER": int, "TEXT": str, "REAL": (int, float)}

#: limit for counters: integers below it are exact in JavaScript, also after adding one
MANY = 2**53

#: columns that are counters, by table
_COUNTS = {
    "run": ("attempt", "epoch", "records", "rev"),
    "record": ("seq",),
    "kv": ("version", "keep"),
    "kv_removed": ("version", "keep"),
    "kv_floor": ("version",),
    "service": ("rev",),
    "schedule": ("rev",),
}

#: columns that are moments, by table; and the first and the last possible moment, in microseconds since the epoch
_MOMENTS = {
    "run": ("due", "started", "ended", "cancelled_at"),
    "record": ("at",),
    "kv": ("updated", "expires"),
    "kv_removed": ("removed",),
    "service": ("desired_at", "updated"),
    "schedule": ("until", "paused_at", "updated"),
    "step": ("at",),
    "once": ("at",),
}
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


def fits(kind: str, value: object) -> bool:
    """Whether *value* can be in a column of the type *kind*."""
    if isinstance(value, bool) or not isinstance(value, _TYPES[kind]):
        return False
    return kind != "INTEGER" or (isinstance(value, int) and -(2**63) <= value < 2**63)


def flaw(table: str, row: Mapping[str, Any]) -> str | None:
    """What is implausible in *row* although it fits its columns, such as ``its rev is -1``; None if nothing is.

    Args:
        table: The table of the row.
        row: The columns; a missing one is null.
    """
    for column in _COUNTS.get(table, ()):
        value = row.get(column)
        if value is not None and not 0 <= value < MANY:
            return f"its {column} is {value}"
    for column in _MOMENTS.get(table, ()):
        value = row.get(column)
        if value is not None and not _FIRST <= value <= _LAST:
            return f"its {column} is no moment: {value}"
    if table == "run" and row.get("labels") is not None and not _is_list(row["labels"]):
        return "its labels are no list of texts in JSON"
    if table == "kv" and not _is_json(row["value"]):
        return "its value is not JSON"
    past = row.get("past") if table in {"kv", "kv_removed"} else None
    if isinstance(past, list) and not all(map(_is_version, past)):
        return "its past is no list of versions"
    return None


def _is_version(version: object) -> bool:
    """Whether *version* is a version of a key: version, value, module, at, run, actor, removed."""
    kinds = ("INTEGER", "TEXT", "TEXT", "INTEGER", "INTEGER", "TEXT", "INTEGER")
    if not isinstance(version, Sequence) or len(version) != len(kinds):
        return False
    number, value, _, at, _, _, removed = version
    return (
        all(part is None or fits(kind, part) for kind, part in zip(kinds, version, strict=True))
        and not any(part is None for part in (number, at, removed))
        and 0 <= number < MANY
        and _FIRST <= at <= _LAST
        and (value is None or _is_json(value))
    )


def _is_list(text: str) -> bool:
    """Whether *text* is a JSON list of texts."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            # Python's json also writes NaN and lone surrogates
            json.loads(text)
        except (ValueError, RecursionError):
            return False
    return True
