"""Generate run ids: increasing within a process, and unique among the processes of a database."""

from __future__ import annotations

import threading
import time

__all__ = ["EPOCH", "SLOTS", "Ids", "first_id", "made_at", "slot_of"]

#: 2024-01-01 in milliseconds of Unix time
EPOCH = 1_704_067_200_000

#: maximum number of processes that can write to a database at once
SLOTS = 64

#: ids per process and millisecond; further ones are borrowed from the next millisecond
_PER_MILLISECOND = 64
#: the last millisecond of an id, since 2024
_LAST_MILLISECOND = 2**41 - 1


class Ids:
    """41 bits of milliseconds since 2024, 6 bits for the process, 6 bits for a counter within the millisecond.

    These 53 bits are exact in JavaScript, and last until 2093. The clock is a hybrid logical clock: it continues from
    the last id if the system clock is behind it, or if a millisecond is used up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slot = 0
        self._last = 0
        self._count = 0

    def start(self, slot: int, newest: int) -> None:
        """Generate ids for *slot* that are larger than *newest*, and than all earlier ones."""
        with self._lock:
            self._slot = slot
            self._last = max(self._last, newest >> 12)
            self._count = _PER_MILLISECOND

    def rise(self, above: int) -> None:
        """Generate ids that are larger than *above*, an id of another process."""
        with self._lock:
            if above >> 12 >= self._last:
                self._last, self._count = above >> 12, _PER_MILLISECOND

    def new(self) -> int:
        """The next id. May be called from any thread."""
        with self._lock:
            now = time.time_ns() // 1_000_000 - EPOCH
            if now > self._last:
                self._last, self._count = now, 0
            elif self._count >= _PER_MILLISECOND:
                self._last, self._count = self._last + 1, 0
            made = self._last << 12 | self._slot << 6 | self._count
            self._count += 1
            return made


def slot_of(run: int) -> int:
    """The slot of the process that generated the id *run*."""
    return run >> 6 & 63


def first_id(micros: int) -> int:
    """The smallest id for the millisecond that contains *micros*, microseconds since the epoch."""
    return max(0, micros // 1000 - EPOCH) << 12


def made_at(run: int) -> int:
    """The millisecond in which the id *run* was generated, in microseconds since the epoch."""
    return (min(run >> 12, _LAST_MILLISECOND) + EPOCH) * 1000
