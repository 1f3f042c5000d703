"""What is known of all keys together, and their care: what expired is removed, what is too much is forgotten."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ._executor import Executor

__all__ = ["KeyCare"]

#: past versions that are added, and keys that are removed, before it is looked which old ones are too many
_ROUND = 256
#: removed keys that are remembered with their versions
_REMEMBERED = 10_000


class KeyCare:
    """The numbers that all keys share, and what is done for all of them within the transactions that change some.

    What is too much goes bit by bit: for each row that is added two are looked at, round and round. So the care never
    takes longer than what made it necessary, and there are never many more rows than there should be.

    Args:
        executor: Of the file that they are in.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._added = self._buried = 0
        self._place = 0
        self.read()
        # a program that is started often and writes little must not begin with the same rows each time
        self._place = random.randrange(self.newest + 1)  # noqa: S311 - spreads work, protects nothing

    def read(self) -> None:
        """Read the numbers: they are not known, or what was done was undone."""
        (newest,) = self._executor.one("newest_past")
        #: the largest id of a past version
        self.newest: int = newest or 0
        (soonest,) = self._executor.one("next_expiry")
        #: when the next key expires, or earlier, in microseconds since the epoch; None if none does
        self.soonest: int | None = soonest
        floor = self._executor.one("get_floor")
        #: versions of keys that are not remembered go on from here
        self.floor: int = floor[0] if floor else 0

    def grow(self, newest: int) -> None:
        """Past versions were added, the last one with the id *newest*."""
        self._added += newest - self.newest
        self.newest = newest
        if self._added >= _ROUND:
            self._drop_past(2 * self._added)
            self._added = 0

    def note(self, expiries: Sequence[int | None], changed: int) -> None:
        """Of so many keys that were changed some have a value, and expire then; the others were removed."""
        for expires in expiries:
            if expires is not None and (self.soonest is None or expires < self.soonest):
                self.soonest = expires
        self._buried += changed - len(expiries)
        if self._buried >= _ROUND:
            self._forget_removed(2 * self._buried)
            self._buried = 0

    def expired(self, now: int, most: int) -> list[tuple[str, str]]:
        """Some of the keys that have expired by now, as pairs of namespace and name."""
        found = self._executor.json("expired_keys", {"now": now, "most": most})
        return [(namespace, name) for namespace, name in found]

    def look(self) -> None:
        """Find out when the next key expires."""
        (self.soonest,) = self._executor.one("next_expiry")

    def _drop_past(self, count: int) -> None:
        """Look at the next *count* past versions."""
        last = self._executor.one("find_past", {"after": self._place, "count": count})
        until = self.newest if last is None else last[0]
        self._executor.run("drop_past", {"after": self._place, "until": until})
        self._place = 0 if last is None else until

    def _forget_removed(self, count: int) -> None:
        """Forget up to *count* of the keys that were removed longest ago."""
        oldest = self._executor.one("oldest_kept", {"count": _REMEMBERED})
        if oldest is None:
            return
        versions = self._executor.run("forget_removed", {"until": oldest[0], "most": count}).fetchall()
        self.floor = max([self.floor, *(version for (version,) in versions)])
        self._executor.run("raise_floor", {"version": self.floor})
