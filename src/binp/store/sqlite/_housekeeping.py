"""What the writer does by itself, between two batches: index runs, bring commits to the disk, remove expired keys."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from binp.store.contract import Change

from ._batch import Batch
from ._commit import Committer
from ._connect import explain
from ._file import File
from ._fitness import Fitness
from ._indexing import Indexing

__all__ = ["Housekeeping"]

_logger = logging.getLogger("binp.store")

#: seconds after which what is committed is on the disk, if nothing brought it there before
_ON_DISK = 1.0

#: keys that are removed at once when they have expired, seconds to the next attempt if that failed, and the longest
#: time without a look at the clock
_EXPIRED, _AGAIN, _NAP = 500, 1.0, 60.0


class Housekeeping:
    """Work on the file that nobody asked for, and that can wait; used by the writer's thread alone.

    None of it raises: what could not be done is logged, told to *fitness*, and tried again later.

    Args:
        path: The database file.
        file: The same, when no transaction is open.
        committer: Puts errors into words, and rolls back.
        fitness: Told of damage.
        clock: Microseconds since the epoch.
    """

    def __init__(
        self, path: Path, file: File, committer: Committer, fitness: Fitness, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._file = file
        self._committer = committer
        self._fitness = fitness
        self._clock = clock
        #: when runs that have ended get into the index
        self.indexing = Indexing(file, lambda error: fitness.notice(committer.explain(error)))

    def step(self, seq: int, *, is_idle: bool) -> tuple[float | None, list[Change]]:
        """Do what is due, and a bounded piece of it at a time.

        Args:
            seq: Number of the last change.
            is_idle: No write is waiting.

        Returns:
            The seconds until there is more to do, None if nothing is foreseen; and what has changed.
        """
        waits, changes = [], list[Change]()
        self.indexing.step(is_idle=is_idle)
        if self.indexing.due is not None:
            waits.append(max(0.0, self.indexing.due - time.monotonic()))
        if self._file.unsynced is not None:
            left = self._file.unsynced + _ON_DISK - time.monotonic()
            if left > 0:
                waits.append(left)
            else:
                self.sync()
        if self._file.keys.soonest is not None:
            left = (self._file.keys.soonest - self._clock()) / 1e6
            if left > 0:
                # the clock may be put forward meanwhile
                waits.append(min(left, _NAP))
            else:
                wait, changes = self._expire(seq)
                waits.append(wait)
        return min(waits, default=None), changes

    def sync(self) -> None:
        """Bring to the disk what is committed and not there yet."""
        try:
            self._file.sync()
        except OSError as error:
            # whoever needs it on the disk is told by the next commit
            _logger.error("the last writes may not be on the disk: %s", explain(error, self._path))  # noqa: TRY400 - the reason is the message
            self._file.unsynced = None

    def _expire(self, seq: int) -> tuple[float, list[Change]]:
        """Remove some of the keys that have expired; the seconds after which to go on, and what has changed."""
        now = self._clock()
        work = Batch(self._file, seq, (), now)
        try:
            # a power cut brings back what expires again at once
            self._file.begin(durable=False)
            work.expire(self._file.keys.expired(now, _EXPIRED))
            self._file.keys.look()
            self._file.commit()
        except Exception as error:  # noqa: BLE001 - nobody sees these keys, and there will be another time
            self._committer.roll_back()
            explained = self._committer.explain(error)
            _logger.warning("keys that have expired could not be removed: %s", explained)
            self._fitness.notice(explained)
            return _AGAIN, []
        return 0.0, work.changes
