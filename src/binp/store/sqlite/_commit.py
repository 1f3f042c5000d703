"""Commit batches of writes, and find out whether a failure is due to one of the writes or to the file."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from binp.store.contract import Change, StoreDamaged, StoreError

from ._batch import Batch
from ._clock import wall_clock
from ._connect import explain_use, is_about_the_file, is_passing
from ._file import File
from ._nodes import BEAT
from ._outbox import LEISURELY
from ._people import People
from ._receipt import Failure, Receipt

__all__ = ["Committer", "FileTrouble"]

_logger = logging.getLogger("binp.store")

#: interval between two heartbeats of this process in the file, in microseconds
_SIGN_OF_LIFE = int(BEAT * 1_000_000)

#: two changes of a folder within this time may have the same timestamp on coarse file systems, in nanoseconds
_TICK = 3_000_000_000

#: seconds for which a folder's timestamps are trusted: some folders have none, and mounts do not change them
_TRUSTED = 1.0

#: by topic, the statement that finds the revision of a change in the file
_EVIDENCE = {"run": "find_run", "cancel": "find_run", "record": "find_record"}


class FileTrouble(Exception):
    """The file, the disk or another program has a problem. Nothing of the batch is committed.

    Attributes:
        error: The error for the writes.
        is_passing: It may be over soon.
    """

    def __init__(self, error: StoreError, *, is_passing: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.is_passing = is_passing

    @property
    def is_final(self) -> bool:
        """Whether the file must not be written to any more."""
        return isinstance(self.error, StoreDamaged)


class Committer:
    """Commits batches. An invalid write fails alone.

    Args:
        path: The database file.
        file: The file as the writer sees it.
        people: The processes that write.
        name: This process.
        clock: Returns microseconds since the epoch.
    """

    def __init__(self, path: Path, file: File, people: People, name: str, clock: Callable[[], int]) -> None:
        #: number of transactions so far
        self.commits = 0
        #: whether other processes write through this one
        self.has_guests = False
        self._path = path
        self._file = file
        self._people = people
        self._name = name
        self._clock = clock
        self._seen = 0
        log = path.with_name(path.name + "-wal")
        #: the files and their identities
        self._identities = [(str(place), _identity(place)) for place in (path, log) if place == path or place.exists()]
        self._folder = str(path.parent)
        #: identity and timestamps of the folder when all files were last checked
        self._settled: tuple[int, int, int, int] | None = None
        #: the time of that check, in monotonic seconds
        self._settled_at = 0.0

    def commit(self, batch: Sequence[Receipt], seq: int) -> tuple[list[Any], list[Change]]:
        """Commit *batch*.

        Args:
            batch: The writes.
            seq: Number of the last change so far.

        Returns:
            The result or :class:`Failure` of each write, and the changes.

        Raises:
            FileTrouble: the failure is due to the file, not to one of the writes.
        """
        try:
            return self._transact(batch, seq)
        except FileTrouble:
            raise
        except Exception as error:  # noqa: BLE001 - becomes the failure of the writes
            self._give_up(error)
            if len(batch) == 1:
                return [Failure(self.explain(error))], []
        try:
            return self._one_by_one(batch, seq)
        except FileTrouble:
            raise
        except Exception as error:  # noqa: BLE001 - becomes the failure of the writes
            self._give_up(error)
            return [Failure(self.explain(error), len(batch))] * len(batch), []

    def finish(self, batch: Sequence[Receipt], outcomes: Sequence[Any], changes: Sequence[Change]) -> None:
        """Commit the open transaction, which contains all of *batch*.

        Args:
            batch: Its writes.
            outcomes: Their results.
            changes: Their changes.
        """
        now = wall_clock()
        if self.has_guests:
            self._people.count(batch, outcomes, now)
        if now - self._seen > _SIGN_OF_LIFE:
            self._people.see(self._name, now)
            self._seen = now
        try:
            self._file.commit()
        except (sqlite3.Error, OSError):
            # an error here does not say whether it was committed: the file does
            self.roll_back()
            if not self._has(changes):
                raise
            _logger.warning("a commit was reported to have failed, and has not")
        self.commits += 1
        self._check_place()

    def try_again(self) -> None:
        """Check whether the file accepts writes.

        Raises:
            FileTrouble: it does not.
        """
        try:
            self._check_place()
            self._file.begin()
            self._people.see(self._name, wall_clock())
            self._file.commit()
            self._check_place()
        except FileTrouble:
            raise
        except Exception as error:
            self._give_up(error)
            raise

    def roll_back(self) -> None:
        """Undo everything that is not committed."""
        with contextlib.suppress(sqlite3.Error):
            self._file.roll_back()

    def explain(self, error: Exception) -> StoreError:
        """The error for the writes that failed with *error*."""
        if isinstance(error, StoreError):
            return error
        _logger.debug("a write failed", exc_info=error)
        explained = explain_use(error, self._path)
        # break references: the frames hold the batch, and the waiting callers hold the error
        error.__context__ = None
        explained.__cause__ = error.with_traceback(None)
        return explained

    def _give_up(self, error: Exception) -> None:
        """Roll back after *error*.

        Raises:
            FileTrouble: it is due to the file.
        """
        self.roll_back()
        if is_about_the_file(error):
            raise FileTrouble(self.explain(error), is_passing=is_passing(error)) from None

    def _transact(self, batch: Sequence[Receipt], seq: int) -> tuple[list[Any], list[Change]]:
        self._file.begin(durable=_is_durable(batch), keeps=True)
        work = Batch(self._file, seq, [receipt.write for receipt in batch], self._clock())
        outcomes = work.apply()
        self.finish(batch, outcomes, work.changes)
        return outcomes, work.changes

    def _one_by_one(self, batch: Sequence[Receipt], seq: int) -> tuple[list[Any], list[Change]]:
        self._file.begin(durable=_is_durable(batch), keeps=True)
        outcomes: list[Any] = []
        changes: list[Change] = []
        for receipt in batch:
            work = Batch(self._file, seq + len(changes), [receipt.write], self._clock())
            self._file.save()
            try:
                outcomes += work.apply()
                changes += work.changes
            except Exception as error:
                if is_about_the_file(error):
                    raise
                self._file.back_to_save()
                outcomes.append(Failure(self.explain(error)))
            self._file.release_save()
        self.finish(batch, outcomes, changes)
        return outcomes, changes

    def _has(self, changes: Sequence[Change]) -> bool:
        """Whether *changes*, which are committed together or not at all, are in the file."""
        for change in changes:
            found = None
            if change.topic in _EVIDENCE:
                found = self._file.one(_EVIDENCE[change.topic], {"id": change.id, "rev": change.rev})
            elif change.topic == "kv":
                # both a namespace and a key may contain slashes
                parts = str(change.id).split("/")
                for end in range(1, len(parts)):
                    found = found or self._file.one("find_key", ("/".join(parts[:end]), "/".join(parts[end:])))
            else:
                continue
            return found is not None and found[0] >= change.rev
        return False

    def _check_place(self) -> None:
        """Check that commits go to the files with these names: SQLite continues to write to deleted files.

        As long as nothing was created or deleted in the folder, nothing can have happened to the log. So the folder is
        checked instead of the log: the file system would have to update the log's timestamps, which costs the writer
        more.

        Raises:
            FileTrouble: a file was replaced or deleted.
        """
        settled = self._look_at_folder()
        now = time.monotonic()
        is_settled = settled is not None and settled == self._settled and now - self._settled_at < _TRUSTED
        for place, identity in self._identities[:1] if is_settled else self._identities:
            try:
                found = _identity(place)
            except OSError:
                fix = "end the program, put the file back or restore a backup with `binp restore`, and start it again"
                break
            if found != identity:
                fix = "restart the program; whatever took the place of the file must not"
                break
        else:
            if not is_settled:
                self._settled, self._settled_at = settled, now
            return
        error = StoreError(
            "the database file was removed or replaced while it was open",
            where=place,
            fix=fix,
        )
        raise FileTrouble(error, is_passing=False)

    def _look_at_folder(self) -> tuple[int, int, int, int] | None:
        """Identity and time of change of the folder; None if it changed just now."""
        try:
            found = os.stat(self._folder)  # noqa: PTH116 - see below
        except OSError:
            return None
        # copying a folder back may restore mtime, but nobody can set ctime
        if max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - _TICK:
            return None
        return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns


def _is_durable(batch: Sequence[Receipt]) -> bool:
    """Whether any write of *batch* has to be on disk when it is acknowledged."""
    return any(receipt.write.kind not in LEISURELY and getattr(receipt.write, "durable", True) for receipt in batch)


def _identity(place: Path | str) -> tuple[int, int]:
    found = os.stat(place)  # noqa: PTH116 - called for each commit, and twice as fast as Path.stat
    return found.st_ino, found.st_dev
