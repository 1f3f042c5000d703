"""Convert values to JSON and back, and report where a value is not JSON."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

from binp.errors import BinpError
from binp.operations import mentions_secret
from buvar.secret import Secret

__all__ = ["NotJson", "decode", "encode"]

#: skips the whitespace checks of json.loads: text written by `encode` has none around it
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # its stub leaves it out

_PLAIN = (str, int, float, bool, type(None))


class NotJson(BinpError, TypeError):
    """A value holds something that JSON cannot express. Nothing was written.

    Attributes:
        key: The key that the value was for.
        path: The place inside the value, such as ``plan.rooms[2].since``; the key itself for the whole value.
    """

    def __init__(self, key: str, path: str, problem: str, *, fix: str | None = None) -> None:
        super().__init__(f"the value of {key!r} is not JSON: {path} {problem}", key, path, fix=fix)
        self.key = key
        self.path = path


def encode(key: str, value: Any) -> str:
    """The JSON text of *value*, to be stored under *key*. A pydantic model serialises itself.

    Raises:
        NotJson: *value* is not JSON; the message names the place.
    """
    dump = getattr(type(value), "model_dump_json", None)
    if dump is not None:
        if mentions_secret(type(value)):
            raise NotJson(
                key,
                key,
                "has a Secret inside, which would be kept as its mask",
                fix="keep what it reveals under a key of its own, if that is meant",
            )
        try:
            return str(dump(value))
        except (TypeError, ValueError) as error:
            raise NotJson(key, key, f"fails with {error}") from None
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _explain(key, value, error) from None


def decode(text: str) -> Any:
    """The value of a JSON text."""
    try:
        return _scan(text, 0)[0]
    except StopIteration:
        # the text was not written by `encode`
        return json.loads(text)


def _explain(key: str, value: Any, error: Exception) -> NotJson:
    if not isinstance(error, RecursionError):
        for path, problem, fix in _problems(key, value, ()):
            return NotJson(key, path, problem, fix=fix)
    return NotJson(key, key, "is nested too deeply" if isinstance(error, RecursionError) else f"fails with {error}")


def _problems(path: str, value: Any, outer: tuple[int, ...]) -> Iterator[tuple[str, str, str | None]]:
    """The places in *value* that JSON cannot express: path, problem, and fix."""
    if isinstance(value, _PLAIN):
        return
    if not isinstance(value, dict | list | tuple):
        kind = type(value)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        yield path, f"is of type {name}", _remedy(value)
    elif id(value) in outer:
        yield path, "holds itself", None
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, _PLAIN):
                yield path, f"has the key {name!r}, which is not text", "make the key a text"
            yield from _problems(f"{path}{_step(name)}", item, (*outer, id(value)))
    else:
        for index, item in enumerate(value):
            yield from _problems(f"{path}[{index}]", item, (*outer, id(value)))


def _step(name: Any) -> str:
    return f".{name}" if isinstance(name, str) and name.isidentifier() else f"[{name!r}]"


def _remedy(value: Any) -> str | None:
    if isinstance(value, Secret):
        return "secrets are not kept"
    if isinstance(value, dt.timedelta):
        return "write its total_seconds()"
    if isinstance(value, dt.date | dt.time):
        return "write its isoformat()"
    if isinstance(value, bytes | bytearray | memoryview):
        return "decode it, or write it as base64"
    if isinstance(value, set | frozenset):
        return "make it a list: sorted(...)"
    if isinstance(value, Mapping):
        return "make it a dict"
    if hasattr(type(value), "model_dump"):
        return 'write its model_dump(mode="json")'
    if hasattr(type(value), "__dataclass_fields__"):
        return "write dataclasses.asdict(...) of it"
    return "write its text, or the parts of it"
