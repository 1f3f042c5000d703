"""Convert any value to JSON, so that recording never fails because of a value."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque
from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any

import orjson

from binp.files import File
from buvar.secret import MASK, Secret

__all__ = ["CUT_KEY", "REPR_KEY", "as_json", "as_text", "cut_json", "shorten"]

#: key that marks a value that is not JSON: ``{"$repr": "<Foo object>", "$type": "shop.Foo"}``
REPR_KEY = "$repr"

#: key that marks a truncated text: ``{"$cut": 30000000, "$repr": "[1, 2..."}``
CUT_KEY = "$cut"

_BEGINNING = 10_000

#: types that are converted with ``str``
_TEXTS = (PurePath, Decimal, dt.timedelta, IPv4Address, IPv4Network, IPv6Address, IPv6Network)


def as_json(value: Any, limit: int | None = None) -> str:
    """The JSON text of *value*; a value that is not JSON is replaced by its marked ``repr``.

    Dataclasses, pydantic models, enums, dates, UUIDs, sets and tuples are converted to their usual JSON; paths,
    decimals, time spans, addresses and bytes to text; a :class:`~buvar.secret.Secret` to its mask, NaN to null. Never
    raises for any value.

    Args:
        value: The value.
        limit: A longer text is truncated and marked with its size, in characters.
    """
    text = _encode(value)
    return text if limit is None else cut_json(text, limit)


def cut_json(text: str, limit: int) -> str:
    """The JSON *text*; truncated and marked with its size if it has more than *limit* characters."""
    return text if len(text) <= limit else json.dumps({CUT_KEY: len(text), REPR_KEY: text[:_BEGINNING]})


def shorten(text: str, limit: int) -> str:
    """*text*; truncated and followed by its length if it has more than *limit* characters."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _encode(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except Exception:  # noqa: BLE001, S110 - a user's object may raise anything when accessed; there are slower ways
        pass
    # integers beyond 64 bits, lone surrogates, odd keys, cycles: the slower way, then the last resort
    try:
        return json.dumps(_tree(value, 0), allow_nan=False)
    except Exception:  # noqa: BLE001 - the same
        return json.dumps(_marked(value))


def as_text(value: object) -> str:
    """The text of *value*, or its ``repr`` if ``str`` fails. Never raises."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything; recording must not fail on it
        return _safe_repr(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, File):
        return value.described()
    if isinstance(value, set | frozenset):
        return sorted(value, key=_safe_repr)
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    dump: Callable[..., Any] | None = getattr(type(value), "model_dump", None)
    if dump is not None:
        try:
            return dump(value, mode="json", fallback=_marked)
        except Exception:  # noqa: BLE001 - a user's serializer may raise anything; recording must not fail on it
            return _marked(value)
    if isinstance(value, Mapping):
        return dict(value)
    # among the tuples those that have names for their places
    if isinstance(value, tuple | deque | KeysView | ValuesView | ItemsView):
        return list(value)
    return _marked(value)


def _tree(value: Any, depth: int) -> Any:
    if depth > 50:
        return _marked(value)
    if value is None or isinstance(value, bool | int | str):
        return value if not isinstance(value, str) else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _tree(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_tree(item, depth + 1) for item in value]
    try:
        return json.loads(orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, ValueError, RecursionError):
        return _marked(value)


def _marked(value: Any) -> dict[str, str]:
    kind = type(value)
    return {REPR_KEY: _safe_repr(value), "$type": f"{kind.__module__}.{kind.__qualname__}"}


def _safe_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything; recording must not fail on it
        text = f"<{type(value).__qualname__} whose repr raised {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()[:10_000]
