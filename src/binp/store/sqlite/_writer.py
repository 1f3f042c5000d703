"""Commit what is queued, in groups: the one thread that writes to the file."""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from binp.store.contract import Change, Import, StoreError

from ._batch import Batch
from ._connect import explain, is_about_the_file
from ._file import File
from ._import import take_in
from ._nodes import Join, Leave, Node
from ._outbox import LEISURELY, Outbox
from ._people import People
from ._receipt import Awaited, Failure, Receipt
from ._tend import TENDING, tend

__all__ = ["Writer"]

_logger = logging.getLogger("binp.store")

#: writes in one transaction
_BATCH = 4096

_COMING_OR_GOING = frozenset({Join.kind, Leave.kind})
_ALONE = _COMING_OR_GOING | TENDING | {Import.kind}

#: seconds after which what is committed is on the disk, if nothing brought it there before
_ON_DISK = 1.0

#: keys that are removed at once when they have expired, seconds to the next attempt if that failed, and the longest
#: time without a look at the clock
_EXPIRED, _AGAIN, _NAP = 500, 1.0, 60.0

#: microseconds after which this process gives another sign of life
_SIGN_OF_LIFE = 5_000_000

#: what the writer has to tell after a commit: who waits for it, and what has changed
Post = Callable[[Sequence[Awaited], Sequence[Change]], None]


class Writer:
    """The owner's thread.

    What is queued when a commit ends becomes the next transaction, so the more there is to do, the less each costs. A
    write that cannot be done fails alone; when the file is to blame, all of the transaction fail, and the next one is
    tried as if nothing had happened.

    Args:
        path: The database file.
        connection: The one that writes; closed at the end.
        outbox: Where the writes come from.
        node: This process.
        clock: Microseconds since the epoch.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, outbox: Outbox, node: Node, clock: Callable[[], int]
    ) -> None:
        #: identity of the changes that this writer tells
        self.feed = secrets.token_hex(8)
        #: number of the last change
        self.seq = 0
        #: transactions so far
        self.commits = 0
        self._path = path
        self._file = File(connection, path)
        self._outbox = outbox
        self._node = node
        self._clock = clock
        self._people = People(self._file)
        self._seen = 0
        #: other processes write through this one
        self._has_guests = False
        self._first_changes: list[Change] = []
        self._identity = path.stat()
        self._post: Post = lambda _awaited, _changes: None
        self._mark: Callable[[float], None] = lambda _since: None
        self._thread: threading.Thread | None = None

    @property
    def newest(self) -> int:
        """The largest id of a run in the file."""
        return self._file.newest

    @property
    def connection(self) -> sqlite3.Connection:
        """The one that writes."""
        return self._file.connection

    def enter(self) -> tuple[int, int, list[Any]]:
        """Note this process as one that writes, and end what gone ones left behind.

        Returns:
            Its slot, the number of its last numbered write that is committed, and those not acknowledged with True.

        Raises:
            StoreError: the file could not be written to.
        """
        try:
            self._file.begin()
            entry = self._people.join(self._node, _now())
            changes = self._people.interrupt_gone(self.seq)
            self._file.commit()
        except sqlite3.Error as error:
            self._roll_back()
            raise explain(error, self._path) from None
        self.seq += len(changes)
        self._first_changes = changes
        return entry

    def start(self, post: Post, mark: Callable[[float], None]) -> None:
        """Begin to commit.

        Args:
            post: Called after each commit.
            mark: Told when a batch is taken (monotonic seconds), and 0 when it is done.
        """
        self._post, self._mark = post, mark
        if self._first_changes:
            post([], self._first_changes)
        self._thread = threading.Thread(target=self._run, name="binp-store-writer", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until everything is committed after the outbox was closed; the connection is closed then."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._step():
                pass
            self._say_goodbye()
            self._sync()
        finally:
            self._file.connection.close()

    def _step(self) -> bool:
        # a scope of its own: a batch that is done is forgotten before the next one is waited for
        batch = self._outbox.take(_BATCH, self._do_what_is_due())
        if not batch:
            return batch is not None
        self._mark(time.monotonic())
        try:
            self._work(batch)
        except Exception as error:
            # nobody may wait for ever because of a mistake in here
            _logger.exception("%d writes ran into an error of the store itself", len(batch))
            self._roll_back()
            left = [receipt for receipt in batch if not receipt.is_settled]
            self._settle(left, [Failure(self._explain(error), len(left))] * len(left), [])
        self._mark(0.0)
        return True

    def _do_what_is_due(self) -> float | None:
        """Do what needs to be done by itself; returns the seconds until there is more of it, None if there is none."""
        waits = []
        if self._file.unsynced is not None:
            left = self._file.unsynced + _ON_DISK - time.monotonic()
            if left > 0:
                waits.append(left)
            else:
                self._sync()
        if self._file.keys.soonest is not None:
            left = (self._file.keys.soonest - self._clock()) / 1e6
            # the clock may be put forward meanwhile
            waits.append(min(left, _NAP) if left > 0 else self._expire())
        return min(waits, default=None)

    def _expire(self) -> float:
        """Remove some of the keys that have expired; returns the seconds after which to go on."""
        now = self._clock()
        work = Batch(self._file, self.seq, (), now)
        try:
            # a power cut brings back what expires again at once
            self._file.begin(durable=False)
            work.expire(self._file.keys.expired(now, _EXPIRED))
            self._file.keys.look()
            self._file.commit()
        except Exception as error:  # noqa: BLE001 - nobody sees these keys, and there will be another time
            self._roll_back()
            _logger.warning("keys that have expired could not be removed: %s", self._explain(error))
            return _AGAIN
        self._settle([], [], work.changes)
        return 0.0

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            # whoever needs it on the disk is told by the next commit
            _logger.error("the last writes may not be on the disk: %s", explain(error, self._path))  # noqa: TRY400 - the reason is the message
            self._file.unsynced = None

    def _work(self, batch: list[Receipt]) -> None:
        """Commit *batch*; coming, going and what is done for the file itself are transactions of their own."""
        if _ALONE.isdisjoint({receipt.write.kind for receipt in batch}):
            self._commit(batch)
            return
        start = 0
        for position, receipt in enumerate(batch):
            alone = self._tend if receipt.write.kind in TENDING else None
            if receipt.write.kind in _COMING_OR_GOING:
                alone = self._come_or_go
            elif receipt.write.kind == Import.kind:
                alone = self._take_in
            if alone is not None:
                self._commit(batch[start:position])
                alone(receipt)
                start = position + 1
        self._commit(batch[start:])

    def _commit(self, batch: list[Receipt]) -> None:
        if not batch:
            return
        outcomes: list[Any]
        try:
            outcomes, changes = self._transact(batch)
        except Exception as error:  # noqa: BLE001 - becomes the failure of those who wait
            self._roll_back()
            outcomes, changes = self._rescue(batch, error)
        self._settle(batch, outcomes, changes)

    def _transact(self, batch: list[Receipt]) -> tuple[list[Any], list[Change]]:
        self._file.begin(durable=_is_durable(batch), keeps=True)
        work = Batch(self._file, self.seq, [receipt.write for receipt in batch], self._clock())
        outcomes = work.apply()
        self._finish(batch, outcomes)
        return outcomes, work.changes

    def _rescue(self, batch: list[Receipt], error: Exception) -> tuple[list[Any], list[Change]]:
        """After *error*: fail all if the file is to blame, else let each write of *batch* stand for itself."""
        if is_about_the_file(error):
            _logger.error("%d writes were not kept: %s", len(batch), explain(error, self._path))
        elif len(batch) > 1:
            try:
                return self._one_by_one(batch)
            except Exception as again:  # noqa: BLE001 - becomes the failure of those who wait
                self._roll_back()
                error = again
        failure = Failure(self._explain(error), len(batch))
        return [failure] * len(batch), []

    def _one_by_one(self, batch: list[Receipt]) -> tuple[list[Any], list[Change]]:
        self._file.begin(durable=_is_durable(batch), keeps=True)
        outcomes: list[Any] = []
        changes: list[Change] = []
        for receipt in batch:
            work = Batch(self._file, self.seq + len(changes), [receipt.write], self._clock())
            self._file.save()
            try:
                outcomes += work.apply()
                changes += work.changes
            except Exception as error:
                if is_about_the_file(error):
                    raise
                self._file.back_to_save()
                outcomes.append(Failure(self._explain(error)))
            self._file.release_save()
        self._finish(batch, outcomes)
        return outcomes, changes

    def _finish(self, batch: list[Receipt], outcomes: list[Any]) -> None:
        now = _now()
        if self._has_guests:
            self._people.count(batch, outcomes, now)
        if now - self._seen > _SIGN_OF_LIFE:
            self._people.see(self._node.name, now)
            self._seen = now
        self._file.commit()
        self.commits += 1
        if not self._is_in_place():
            raise StoreError(
                "the database file was removed or replaced while it was open",
                where=str(self._path),
                fix="restart the program; whatever took the place of the file must not",
            )

    def _is_in_place(self) -> bool:
        """Whether what is committed goes into the file of that name: SQLite goes on writing to one that was removed."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_ino, found.st_dev) == (self._identity.st_ino, self._identity.st_dev)

    def _settle(self, batch: list[Receipt], outcomes: list[Any], changes: list[Change]) -> None:
        self.seq += len(changes)
        awaited: list[Awaited] = []
        for receipt, outcome in zip(batch, outcomes, strict=True):
            awaited += receipt.settle(outcome)
        self._post(awaited, changes)

    def _come_or_go(self, receipt: Receipt) -> None:
        write = receipt.write
        outcome: Any = None
        changes: list[Change] = []
        try:
            self._file.begin()
            if isinstance(write, Join):
                self._has_guests = True
                outcome = (*self._people.join(write.node, write.at), self.seq, self._file.newest)
            elif isinstance(write, Leave):
                if write.name is not None:
                    self._people.leave(write.name, write.at)
                changes = self._people.interrupt_gone(self.seq)
            self._file.commit()
        except Exception as error:  # noqa: BLE001 - becomes the failure of those who wait
            self._roll_back()
            outcome, changes = Failure(self._explain(error)), []
        self._settle([receipt], [outcome], changes)

    def _tend(self, receipt: Receipt) -> None:
        outcome: Any
        try:
            outcome = tend(self._file, receipt.write)
        except Exception as error:  # noqa: BLE001 - becomes the failure of the one who waits
            self._roll_back()
            outcome = Failure(self._explain(error))
        self._settle([receipt], [outcome], [])

    def _take_in(self, receipt: Receipt) -> None:
        outcome: Any
        changes: list[Change] = []
        try:
            self._file.begin()
            outcome, changes = take_in(self._file, getattr(receipt.write, "lines", ()), self.seq)
            self._finish([receipt], [outcome])
        except Exception as error:  # noqa: BLE001 - becomes the failure of the one who waits
            self._roll_back()
            outcome, changes = Failure(self._explain(error)), []
        self._settle([receipt], [outcome], changes)

    def _say_goodbye(self) -> None:
        try:
            self._file.begin()
            self._people.leave(self._node.name, _now())
            self._file.commit()
        except sqlite3.Error as error:
            # the next owner finds out by itself that this process has gone
            self._roll_back()
            _logger.warning("the store was closed without saying so: %s", explain(error, self._path))

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._file.roll_back()

    def _explain(self, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        _logger.debug("a write failed", exc_info=error)
        explained = explain(error, self._path)
        # the frames hold the batch, and those who wait hold the error: nothing of it would be let go of
        error.__context__ = None
        explained.__cause__ = error.with_traceback(None)
        return explained


def _is_durable(batch: list[Receipt]) -> bool:
    """Whether any of *batch* has to be on the disk when it is acknowledged."""
    return any(receipt.write.kind not in LEISURELY and getattr(receipt.write, "durable", True) for receipt in batch)


def _now() -> int:
    return time.time_ns() // 1000
