"""The numbers that all keys share, and their maintenance: expiry, and the limits on old versions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ._executor import Executor

__all__ = ["KeyCare"]

#: number of added past versions, and of removed keys, after which the limits are enforced
_ROUND = 256
#: maximum number of removed keys to remember with their versions
_REMEMBERED = 10_000


class KeyCare:
    """The numbers that all keys share, and maintenance within the transactions that change keys.

    Excess rows are deleted gradually: for each added row, two rows are checked, round-robin. So maintenance never takes
    longer than the writes that caused it, and there are never many more rows than allowed.

    Args:
        executor: Executes statements on the file.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._added = self._buried = 0
        self._place = 0
        self.read()
        # random, so that a program that starts often and writes little does not always check the same rows
        self._place = random.randrange(self.newest + 1)  # noqa: S311 - spreads work, protects nothing

    def read(self) -> None:
        """Read the numbers, initially or after a rollback."""
        (newest,) = self._executor.one("newest_past")
        #: the largest id of a past version
        self.newest: int = newest or 0
        (soonest,) = self._executor.one("next_expiry")
        #: a lower bound for the next expiry, in microseconds since the epoch; None if no key expires
        self.soonest: int | None = soonest
        floor = self._executor.one("get_floor")
        #: versions of forgotten keys continue from here
        self.floor: int = floor[0] if floor else 0

    def grow(self, newest: int) -> None:
        """Past versions were added, up to the id *newest*."""
        self._added += newest - self.newest
        self.newest = newest
        if self._added >= _ROUND:
            self._drop_past(2 * self._added)
            self._added = 0

    def note(self, expiries: Sequence[int | None], changed: int) -> None:
        """*changed* keys were changed; those in *expiries* have a value that expires then, the others were removed."""
        for expires in expiries:
            if expires is not None and (self.soonest is None or expires < self.soonest):
                self.soonest = expires
        self._buried += changed - len(expiries)
        if self._buried >= _ROUND:
            self._forget_removed(2 * self._buried)
            self._buried = 0

    def expired(self, now: int, most: int) -> list[tuple[str, str]]:
        """Some keys that have expired by *now*, as pairs of namespace and name."""
        found = self._executor.json("expired_keys", {"now": now, "most": most})
        return [(namespace, name) for namespace, name in found]

    def look(self) -> None:
        """Find the next expiry."""
        (self.soonest,) = self._executor.one("next_expiry")

    def _drop_past(self, count: int) -> None:
        """Check the next *count* past versions, and delete those that exceed the limit."""
        last = self._executor.one("find_past", {"after": self._place, "count": count})
        until = self.newest if last is None else last[0]
        self._executor.run("drop_past", {"after": self._place, "until": until})
        self._place = 0 if last is None else until

    def _forget_removed(self, count: int) -> None:
        """Forget up to *count* of the keys that were removed first."""
        oldest = self._executor.one("oldest_kept", {"count": _REMEMBERED})
        if oldest is None:
            return
        versions = self._executor.run("forget_removed", {"until": oldest[0], "most": count}).fetchall()
        self.floor = max([self.floor, *(version for (version,) in versions)])
        self._executor.run("raise_floor", {"version": self.floor})
