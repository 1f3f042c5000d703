"""Detect types that contain a secret, so that their values are masked or rejected as a whole."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator
from typing import Any

from buvar.secret import Secret

__all__ = ["is_foreign", "mentions_secret"]


def mentions_secret(hint: Any) -> bool:
    """Whether *hint* is a ``Secret``, or a type that contains one in its type arguments or fields.

    Pydantic's ``SecretStr``, ``SecretBytes`` and ``Secret`` count as well. Searches dataclasses, attrs classes,
    pydantic models, typed dictionaries and named tuples, at any depth.
    """
    try:
        return _cached(hint)
    except TypeError:  # not every type hint is hashable
        return _mentions(hint, set())


def is_foreign(kind: type) -> bool:
    """Whether *kind* is one of pydantic's secret types."""
    return hasattr(kind, "get_secret_value")


@functools.lru_cache(maxsize=1024)
def _cached(hint: Any) -> bool:
    return _mentions(hint, set())


def _mentions(hint: Any, seen: set[int]) -> bool:
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    origin = typing.get_origin(hint)
    if any(isinstance(found, type) and (issubclass(found, Secret) or is_foreign(found)) for found in (hint, origin)):
        return True
    return any(_mentions(part, seen) for part in _parts(hint, origin))


def _parts(hint: Any, origin: Any) -> Iterator[Any]:
    yield from (part for part in typing.get_args(hint) if not isinstance(part, str | int | float))
    klass = origin or hint
    if isinstance(klass, type) and _has_fields(klass):
        try:
            yield from typing.get_type_hints(klass).values()
        except Exception:  # noqa: BLE001 - annotations that cannot be evaluated contain no known secret
            return


def _has_fields(klass: type) -> bool:
    return (
        dataclasses.is_dataclass(klass)
        or hasattr(klass, "__attrs_attrs__")
        or hasattr(klass, "model_fields")
        or hasattr(klass, "__total__")
        or hasattr(klass, "_fields")
    )
