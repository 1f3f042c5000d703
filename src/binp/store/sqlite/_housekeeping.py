"""What the writer does between two batches: index runs, sync commits, remove expired keys."""

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

#: maximum seconds until a commit is synced
_ON_DISK = 1.0

#: maximum number of expired keys per step, seconds until a retry after a failure, and the longest time without a look
#: at the clock
_EXPIRED, _AGAIN, _NAP = 500, 1.0, 60.0


class Housekeeping:
    """Work on the file that nobody waits for; only used by the writer's thread.

    It never raises: failures are logged, reported to *fitness*, and retried later.

    Args:
        path: The database file.
        file: The file; no transaction is open.
        committer: Explains errors, and rolls back.
        fitness: Receives reports of damage.
        clock: Returns microseconds since the epoch.
    """

    def __init__(
        self, path: Path, file: File, committer: Committer, fitness: Fitness, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._file = file
        self._committer = committer
        self._fitness = fitness
        self._clock = clock
        #: adds ended runs to the index
        self.indexing = Indexing(file, lambda error: fitness.notice(committer.explain(error)))

    def step(self, seq: int, *, is_idle: bool) -> tuple[float | None, list[Change]]:
        """Do a bounded piece of the due work.

        Args:
            seq: Number of the last change.
            is_idle: No write is waiting.

        Returns:
            The seconds until there is more to do (None if nothing is planned), and the changes.
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
                # limited, because the clock may be set forward meanwhile
                waits.append(min(left, _NAP))
            else:
                wait, changes = self._expire(seq)
                waits.append(wait)
        return min(waits, default=None), changes

    def sync(self) -> None:
        """Sync committed transactions that are not on disk yet."""
        try:
            self._file.sync()
        except OSError as error:
            # a caller that needs a sync gets the error from the next commit
            _logger.error("the last writes may not be on the disk: %s", explain(error, self._path))  # noqa: TRY400 - the message has the reason
            self._file.unsynced = None

    def _expire(self, seq: int) -> tuple[float, list[Change]]:
        """Remove some expired keys; returns the seconds until the next step, and the changes."""
        now = self._clock()
        work = Batch(self._file, seq, (), now)
        try:
            # not synced: after a power failure the keys simply expire again
            self._file.begin(durable=False)
            work.expire(self._file.keys.expired(now, _EXPIRED))
            self._file.keys.look()
            self._file.commit()
        except Exception as error:  # noqa: BLE001 - nobody can see these keys, and it is retried
            self._committer.roll_back()
            explained = self._committer.explain(error)
            _logger.warning("keys that have expired could not be removed: %s", explained)
            self._fitness.notice(explained)
            return _AGAIN, []
        return 0.0, work.changes
