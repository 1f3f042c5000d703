"""Describe what is missing in the export of a damaged database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["losses_text"]

#: maximum number of lines to print
_MOST = 20

_PARTS = {
    "text": "some characters of {what}, which are U+FFFD now",
    "past": "some of what {what} was before",
}
_NAMES = {
    "run": "runs",
    "record": "records",
    "kv": "keys",
    "kv_removed": "removed keys",
    "kv_floor": "the version at which keys begin",
    "service": "services",
    "schedule": "schedules",
    "once": "idempotency keys",
    "step": "steps",
    "name": "names",
    "kv_past": "what keys were before",
}


def losses_text(lost: Sequence[dict[str, Any]]) -> str:
    """The losses in the last line of an export, one per line, with the maximum number of rows."""
    lines = [f"  lost:  {text}" for text in map(_text, lost[:_MOST])]
    if len(lost) > _MOST:
        lines.append(f"  lost:  {len(lost) - _MOST:,} more, which the last line of the export tells")
    return "\n".join(lines)


def _text(loss: dict[str, Any]) -> str:
    kind = str(loss.get("kind"))
    if kind == "name" and "key" in loss:
        (number,) = loss["key"]
        return f"a name that other rows have, which is 'unreadable-{number}' in them"
    if kind == "migration":
        return "the version of the schema"
    name = _NAMES.get(kind, kind)
    if loss.get("part") == "unknown":
        return f"perhaps some of {name}: {loss.get('why')}"
    if "part" in loss:
        return _PARTS.get(loss["part"], "{what}").format(what=f"{name} {_key(loss['key'])}")
    if "key" in loss:
        return f"1 of {name}: {_key(loss['key'])}"
    rows = loss.get("rows")
    much = "an unknown number" if rows is None else f"{rows:,} at most"
    return " ".join((f"{much} of {name}", *_ends(loss)))


def _ends(loss: dict[str, Any]) -> Iterator[str]:
    if loss.get("after") is not None:
        yield f"after {_key(loss['after'])}"
    if loss.get("before") is not None:
        yield f"before {_key(loss['before'])}"


def _key(key: Sequence[Any]) -> str:
    return "/".join(map(str, key))
