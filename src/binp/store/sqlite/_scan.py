"""Find rows by their position, in a table in which searching by key fails."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ._probe import Key, Place, place_of

__all__ = ["Scan"]

#: number of keys per remembered key
_STEP = 1000

#: number of keys per step
_CHUNK = 200


class Scan:
    """The keys of a table from its start to the first damage.

    In a search, SQLite compares the key with whole rows, and fails at a row that continues on a damaged page. Near the
    root of the tree, one such row hides all others. Going from row to row does not need it.

    Args:
        ask: Returns up to so many keys from a position on, and whether reading them failed.
    """

    def __init__(self, ask: Callable[[int, int], tuple[Sequence[Any], bool]]) -> None:
        self._ask = ask
        #: every so-many-th key
        self._marks: list[Place] = []
        self._count = 0
        #: the last key before the first damage, or of all
        self.last: Key | None = None
        #: whether there is damage
        self.is_torn = False
        self._learn()

    def between(self, low: Place | None, high: Place | None) -> Iterator[tuple[int, list[Key]]]:
        """Keys after *low* and before *high*, a few at a time, with the position of the first of them."""
        number = 0 if low is None else max(0, bisect.bisect_right(self._marks, low) - 1) * _STEP
        while number < self._count:
            found, has_failed = self._ask(number, _CHUNK)
            keys = [key for key in found if _is_between(key, low, high)]
            if keys:
                yield number + found.index(keys[0]), keys
            if has_failed or not found or (high is not None and place_of(found[-1]) >= high):
                return
            number += len(found)

    def _learn(self) -> None:
        while not self.is_torn:
            found, self.is_torn = self._ask(self._count, _STEP)
            if found:
                self._marks.append(place_of(found[0]))
                self._count += len(found)
                self.last = found[-1]
            if len(found) < _STEP:
                return


def _is_between(key: Key, low: Place | None, high: Place | None) -> bool:
    place = place_of(key)
    return (low is None or place > low) and (high is None or place < high)
