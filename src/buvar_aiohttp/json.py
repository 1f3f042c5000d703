"""JSON responses, also for objects that can describe themselves."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from buvar import context

from ._errors import require

if TYPE_CHECKING:
    import aiohttp.web

__all__ = ["Jsonify", "jsonify", "prepare", "response"]


class Jsonify(abc.ABC):
    """Converts objects to JSON; add your own to the context to replace the default."""

    @abc.abstractmethod
    def __call__(self, data: Any) -> bytes:
        """The JSON text of *data*.

        Raises:
            TypeError: it contains something that JSON cannot express.
        """


class _Default(Jsonify):
    """orjson, with ``__json__()``, dataclasses and attrs classes."""

    def __call__(self, data: Any) -> bytes:
        options = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
        return orjson.dumps(data, default=_describe, option=options)


_default = _Default()


def _describe(value: Any) -> Any:
    if hasattr(type(value), "__json__"):
        return value.__json__()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(type(value), "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in type(value).__attrs_attrs__}
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"an object of {type(value).__qualname__} has no JSON; give it a method __json__()")


def jsonify(data: Any) -> bytes:
    """The JSON text of *data*, from the `Jsonify` of the context or else the default.

    The default calls ``__json__()`` on objects that have it, and supports dataclasses, attrs classes, sets, dates,
    UUIDs and enums.

    Raises:
        TypeError: it contains something that JSON cannot express.
    """
    made: Jsonify = context.get(Jsonify, default=_default)
    return made(data)


def response(
    data: Any, status: int = 200, reason: str | None = None, headers: Mapping[str, str] | None = None
) -> aiohttp.web.Response:
    """A response with *data* as JSON.

    Raises:
        TypeError: it contains something that JSON cannot express.
    """
    require()
    import aiohttp.web

    return aiohttp.web.Response(
        body=jsonify(data), status=status, reason=reason, headers=headers, content_type="application/json"
    )


async def prepare() -> None:
    """Load as a plugin: add the default `Jsonify`, unless there is one."""
    if context.get(Jsonify, default=None) is None:
        context.add(_default)
