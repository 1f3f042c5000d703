"""Decide when to write the index of runs: when nobody else writes, or when too many runs are waiting."""

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

#: seconds until an ended run is indexed, if there is nothing else to do
_SOON = 0.5
#: maximum number of waiting runs while there is other work; above it, indexing comes first
_MANY = 20_000
#: seconds until a retry after a failure
_AGAIN = 30.0
#: size of a batch that indicates heavy load, and the seconds after which the load is over
_CROWD, _GONE = 16, 0.05
#: maximum seconds to spend on indexing when the file is closed
_LEAVING = 0.25


class Indexing:
    """Schedules indexing between two batches. Waiting runs are still found, by scanning them.

    Args:
        file: The file; no transaction is open.
        notice: Called with the error if it could not be written.
    """

    def __init__(self, file: File, notice: Callable[[Exception], None] = lambda _error: None) -> None:
        self._file = file
        self._notice = notice
        #: when there is something to do next, in monotonic seconds; None if there is nothing
        self.due: float | None = time.monotonic() + _SOON
        #: whether the index could be merged further
        self._is_loose = True
        #: when heavy load was last seen, in monotonic seconds
        self._crowded = 0.0

    def expect(self, writes: int) -> None:
        """*writes* writes were committed: runs may have ended."""
        now = time.monotonic()
        if writes >= _CROWD:
            self._crowded = now
        if self.due is None:
            self.due = now + _SOON

    def step(self, *, is_idle: bool) -> None:
        """Index a slice if it is time: immediately if nobody else writes, otherwise only if too many runs are waiting.

        Under heavy load there are gaps between batches only because all writers are busy with their results. Indexing
        in such a gap would delay the next batch.
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
        except Exception as error:  # noqa: BLE001 - waiting runs are still found, only more slowly
            self._fail(error)

    def leave(self) -> None:
        """Before the file is closed: leave only a few runs to be scanned."""
        end = time.monotonic() + _LEAVING
        try:
            while time.monotonic() < end and self._waiting(SLICE) == SLICE:
                self._write()
        except Exception as error:  # noqa: BLE001 - the same, for the next process that opens the file
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
