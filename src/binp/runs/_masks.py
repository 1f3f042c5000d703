"""Mask the secrets that a run was given in everything that is stored about it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from binp.operations import as_json
from buvar.secret import MASK, Secret

__all__ = ["MASKED", "Masks", "field_names"]

#: replaces the value of a secret in recorded arguments, where it was found in one that is not secret: such a run cannot
#: be executed again
MASKED = "<masked>"

#: shorter values are not masked, because they would match everywhere; in characters
_SHORTEST = 4

#: the same for the single lines of a value with several lines
_SHORTEST_LINE = 8

#: maximum depth of the search for secrets, and maximum number of visited objects
_DEPTH, _MOST = 5, 1000


class Masks:
    """The values of the secrets that one run must not reveal.

    Args:
        above: The masks of the run in which it was started.
    """

    __slots__ = ("_pattern", "_texts")

    def __init__(self, above: Masks | None = None) -> None:
        self._texts: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        if above is not None:
            self._texts, self._pattern = above._texts, above._pattern  # noqa: SLF001 - of the class itself

    @classmethod
    def of(cls, values: Collection[Any], above: Masks | None = None) -> Masks | None:
        """The masks for *values* in addition to *above*; None if there is nothing to mask."""
        if not values:
            return above
        made = cls(above)
        made.add(values)
        return made if made._texts else None

    def add(self, values: Iterable[Any]) -> None:
        """Mask each :class:`~buvar.secret.Secret` in *values*, also inside containers and fields.

        Texts of less than four characters are not masked.
        """
        left = [_MOST]
        found = {form for value in values for text in _texts(value, _DEPTH, left) for form in _forms(text)}
        if found - self._texts:
            texts = self._texts | found
            # longest first, so that a secret that starts with another one is replaced completely
            ordered = sorted(texts, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))
            self._texts = texts

    def text(self, text: str) -> str:
        """*text* with the secrets masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def json(self, text: str, mask: str = MASK) -> str:
        """The JSON *text* with the secrets replaced by *mask*, as JSON."""
        if self._pattern is None:
            return text
        try:
            return orjson.dumps(self._tree(orjson.loads(text), mask)).decode()
        except (ValueError, TypeError, RecursionError):
            # integers of more than 64 bits need the slower json module
            return json.dumps(self._tree(json.loads(text), mask))

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """*fields*; if there is anything to mask, as JSON values with the secrets masked."""
        return fields if self._pattern is None else dict(orjson.loads(self.json(as_json(fields))))

    def _tree(self, value: Any, mask: str) -> Any:
        if isinstance(value, str):
            return value if self._pattern is None else self._pattern.sub(mask, value)
        if isinstance(value, dict):
            return {self.text(key): self._tree(item, mask) for key, item in value.items()}
        if isinstance(value, list):
            return [self._tree(item, mask) for item in value]
        if value is None or isinstance(value, bool):
            return value
        return mask if str(value) in self._texts else value


def _texts(value: Any, depth: int, left: list[int]) -> Iterator[str]:
    """The secret texts in *value*."""
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        return
    kind = type(value)
    # pydantic has secret types of its own
    reveal = Secret.reveal if issubclass(kind, Secret) else getattr(kind, "get_secret_value", None)
    if reveal is not None:
        yield from _leaves(reveal(value), depth, left)
        return
    for item in _inside(value):
        yield from _texts(item, depth - 1, left)


def _leaves(value: Any, depth: int, left: list[int]) -> Iterator[str]:
    """All texts and numbers in *value*, which is secret as a whole."""
    left[0] -= 1
    if depth < 0 or left[0] < 0 or value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield value.decode("utf-8", "backslashreplace")
    elif isinstance(value, int | float):
        yield str(value)
    else:
        for item in _inside(value):
            yield from _leaves(item, depth - 1, left)


def _inside(value: Any) -> Iterable[Any]:
    """The contents of *value*: a container, a dataclass, an attrs class or a pydantic model. Never raises."""
    try:
        if isinstance(value, Mapping):
            return list(value.values())
        if isinstance(value, list | tuple | set | frozenset):
            return list(value)
        return [getattr(value, name, None) for name in field_names(type(value))]
    except Exception:  # noqa: BLE001 - a user's object may raise anything when accessed; recording must not fail on it
        return ()


def field_names(kind: type) -> list[str]:
    """Names of the declared fields of the class *kind*; empty if it declares none."""
    declared: Any = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "model_fields", None)
    if isinstance(declared, Mapping):
        return list(declared)
    return [attribute.name for attribute in getattr(kind, "__attrs_attrs__", ())]


def _forms(text: str) -> Iterator[str]:
    """The forms in which *text* may occur: as it is, escaped by ``repr`` or JSON, in a URL, and line by line."""
    lines = [line for line in text.splitlines() if len(line.strip()) >= _SHORTEST_LINE] if "\n" in text else []
    for form in dict.fromkeys((text, text.strip(), *lines)):
        if len(form) >= _SHORTEST:
            yield form
            yield repr(form)[1:-1]
            yield json.dumps(form)[1:-1]
            yield json.dumps(form, ensure_ascii=False)[1:-1]
            yield quote(form.encode("utf-8", "replace"), safe="")
