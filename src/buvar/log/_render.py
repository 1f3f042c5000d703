"""Render events as lines; shared by native and standard library loggers."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import orjson

from buvar.secret import MASK

Event = MutableMapping[str, Any]
#: A structlog processor: (logger, method name, event) -> event or line.
Processor = Callable[[Any, str, Any], Any]

#: Types of values without contents.
_FLAT: Final = frozenset({str, int, float, bool, type(None)})

_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))} | {
    10: "\\n",
    13: "\\r",
}


def add_os_pid(_logger: Any, _name: str, event: Event) -> Event:
    """A processor that adds the process id as ``pid``."""
    event["pid"] = os.getpid()
    return event


def stringify_dict_keys(value: Any) -> Any:
    """A copy of a nested value in which all dictionary keys are text; tuples stay tuples."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): stringify_dict_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(map(stringify_dict_keys, value))
    return value


class ExtractLogExtra:
    """A processor that copies attributes of the standard library record under ``_record`` into the event.

    Args:
        attrs: Names of the attributes; those that a record lacks are skipped.
    """

    def __init__(self, *attrs: str) -> None:
        self.attrs = attrs

    def __call__(self, _logger: Any, _name: str, event: Event) -> Event:
        """Process an event."""
        record = event.get("_record")
        for attr in self.attrs:
            if hasattr(record, attr):
                event[attr] = getattr(record, attr)
        return event


def to_json(value: Any) -> bytes:
    """Render any value as JSON; what JSON cannot express is replaced by its `repr`."""
    try:
        return orjson.dumps(value, default=_repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS)
    except Exception:  # noqa: BLE001 - orjson rejects huge integers, odd keys, lone surrogates and cycles
        try:
            return json.dumps(stringify_dict_keys(value), default=_repr).encode()
        except Exception as error:  # noqa: BLE001 - a line about the failure is better than a failing log call
            return json.dumps({"event": _repr(value), "log_error": _repr(error)}).encode()


def _repr(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (list, set, frozenset)):
        return list(value)
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__ must not break a log call
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


class JsonRenderer:
    """The last processor when output is not for a terminal: renders one JSON object."""

    def __call__(self, _logger: Any, _name: str, event: Event) -> bytes:
        """Render an event."""
        return to_json(event if type(event) is dict else dict(event))


class Redact:
    """A processor that masks the values of keys that look like secrets, at any depth.

    Args:
        words: Regular expressions to search for in the keys.
    """

    def __init__(self, words: Iterable[str]) -> None:
        pattern = re.compile("|".join(f"(?:{word})" for word in words) or r"(?!)", re.IGNORECASE)
        self._is_hidden = functools.lru_cache(maxsize=4096)(lambda key: pattern.search(key) is not None)
        #: the hidden keys for a set of keys; most events have the same keys as an earlier one
        self._hidden = functools.lru_cache(maxsize=1024)(
            lambda keys: frozenset(key for key in keys if key != "event" and self._is_hidden(key))
        )

    def __call__(self, _logger: Any, _name: str, event: Event) -> Event:
        """Process an event."""
        hidden = self._hidden(tuple(event))
        for key, value in event.items():
            if type(value) in _FLAT:
                if key in hidden and value is not None:
                    event[key] = MASK
            elif key != "exc_info":
                event[key] = MASK if key in hidden else self._inside(value, 0)
        return event

    def _inside(self, value: Any, depth: int) -> Any:
        if depth > 8:  # limits the depth, and ends cycles
            return value
        if isinstance(value, Mapping):
            return {
                key: MASK if isinstance(key, str) and self._is_hidden(key) else self._inside(item, depth + 1)
                for key, item in value.items()
            }
        if type(value) in (list, tuple):
            return type(value)([self._inside(item, depth + 1) for item in value])
        return value


def escape_controls(_logger: Any, _name: str, event: Event) -> Event:
    """A processor that escapes control characters in texts, so that nobody can forge lines on a terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable() and key not in ("exception", "stack"):
            event[key] = value.translate(_CONTROL)
    return event


class Levels:
    """A processor that drops events below the level of their logger.

    Args:
        levels: Levels of loggers and their descendants, by dotted name.
        default: Level of all others.
    """

    def __init__(self, levels: Mapping[str, int], default: int) -> None:
        self._levels = levels
        self._default = default

    def __call__(self, _logger: Any, name: str, event: Event) -> Event:
        """Process an event."""
        import structlog

        level = logging.getLevelNamesMapping().get(str(event.get("level", name)).upper(), self._default)
        if level < self._of(str(event.get("logger") or "")):
            raise structlog.DropEvent
        return event

    def _of(self, name: str) -> int:
        while name:
            if name in self._levels:
                return self._levels[name]
            name = name.rpartition(".")[0]
        return self._default
