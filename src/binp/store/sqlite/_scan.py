"""Find rows by how many are before them, where looking for their keys is what fails."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ._probe import Key, Place, place_of

__all__ = ["Scan"]

#: keys that are read, and kept in mind one of
_STEP = 1000

#: keys that are given out together
_CHUNK = 200


class Scan:
    """The keys of a table from its beginning up to where the table is torn.

    To look for a key SQLite compares it with whole rows, and fails at one that has its end on a damaged page: near the
    root of a table that one row hides all others. To go from row to row it needs none of them.

    Args:
        ask: Gives the keys that are left of so many from a number on, and whether reading them failed.
    """

    def __init__(self, ask: Callable[[int, int], tuple[Sequence[Any], bool]]) -> None:
        self._ask = ask
        #: every so many-th key
        self._marks: list[Place] = []
        self._count = 0
        #: the last key before the first tear, or of all
        self.last: Key | None = None
        #: there is a tear
        self.is_torn = False
        self._learn()

    def between(self, low: Place | None, high: Place | None) -> Iterator[tuple[int, list[Key]]]:
        """Keys behind *low* and before *high*, some at a time, with the number of the first of them."""
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
