"""Decide when the index of runs is written: when nobody waits for the file, or very much waits for the index."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable

from ._connect import is_about_the_file
from ._file import File
from ._index import SLICE, merge, put_in

__all__ = ["Indexing"]

_logger = logging.getLogger("binp.store")

#: seconds after which a run that has ended gets into the index, when there is nothing else to do
_SOON = 0.5
#: runs that may wait for it while there is: above that they come first
_MANY = 20_000
#: seconds after which it is tried again when it could not be written
_AGAIN = 30.0
#: writes in one batch from which on a crowd is at work, and the seconds after which it has gone
_CROWD, _GONE = 16, 0.05
#: seconds that are spent on it when the file is closed
_LEAVING = 0.25


class Indexing:
    """What the writer does for the index between two batches. What waits is found nevertheless, by looking at each.

    Args:
        file: The file, when no transaction is open.
        notice: Told why it could not be written.
    """

    def __init__(self, file: File, notice: Callable[[Exception], None] = lambda _error: None) -> None:
        self._file = file
        self._notice = notice
        #: when there is something to do next, in monotonic seconds; None if there is nothing
        self.due: float | None = time.monotonic() + _SOON
        #: what is in the index could be brought together
        self._is_loose = True
        #: when a crowd was seen at work, in monotonic seconds
        self._crowded = 0.0

    def expect(self, writes: int) -> None:
        """So many writes were committed: runs may have ended."""
        now = time.monotonic()
        if writes >= _CROWD:
            self._crowded = now
        if self.due is None:
            self.due = now + _SOON

    def step(self, *, is_idle: bool) -> None:
        """Write a slice if it is time: at once if nobody else writes, else only if very many wait for it.

        Between two batches of a crowd nobody writes just because all of them are having their turn at what they do: a
        slice that is begun then gets no turn itself before the next batch is there, which has to wait for it.
        """
        now = time.monotonic()
        if self.due is None or now < self.due:
            return
        is_idle = is_idle and now - self._crowded > _GONE
        try:
            if not is_idle and self._waiting(_MANY) < _MANY:
                self.due = time.monotonic() + _SOON
            else:
                self._write()
        except Exception as error:  # noqa: BLE001 - what waits stays found, only not as quickly
            self._fail(error)

    def leave(self) -> None:
        """Before the file is closed: leave no more behind than is quickly looked through."""
        end = time.monotonic() + _LEAVING
        try:
            while time.monotonic() < end and self._waiting(SLICE) == SLICE:
                self._write()
        except Exception as error:  # noqa: BLE001 - the same, for the next one who opens the file
            self._fail(error)

    def _waiting(self, most: int) -> int:
        return int(self._file.one("count_waiting", (most,))[0])

    def _write(self) -> None:
        file = self._file
        has_more = self._waiting(1) > 0
        if has_more or self._is_loose:
            file.begin(durable=False, keeps=True)
            self._is_loose = bool(put_in(file)) if has_more else merge(file)
            file.commit()
        self.due = time.monotonic() if has_more or self._is_loose else None

    def _fail(self, error: Exception) -> None:
        is_ours = not is_about_the_file(error)
        _logger.warning("the index of runs could not be written: %s", error, exc_info=error if is_ours else None)
        with contextlib.suppress(sqlite3.Error):
            self._file.roll_back()
        self._notice(error)
        self.due = time.monotonic() + _AGAIN
