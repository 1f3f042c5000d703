"""The one thread that writes to the file: commits queued writes in groups."""

from __future__ import annotations

import logging
import operator
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from binp.store.contract import Change, EndRun, Health, StoreError

from ._alone import ALONE, OWN, Alone
from ._checkpoint import Checkpoints
from ._clock import wall_clock
from ._commit import Committer, FileTrouble
from ._connect import FAILURES, explain
from ._file import File
from ._fitness import Fitness
from ._guard import leak
from ._housekeeping import Housekeeping
from ._nodes import BEAT, Node
from ._outbox import Outbox
from ._people import People
from ._receipt import Awaited, Failure, Receipt
from ._tend import TENDING

__all__ = ["PATIENCE", "Writer"]

_logger = logging.getLogger("binp.store")

#: maximum number of writes per transaction
_BATCH = 4096

_kind_of = operator.attrgetter("write.kind")

#: seconds that writes wait for a file that rejects them, and seconds between two attempts
PATIENCE, _PROBE = 10.0, 1.0

#: receives the results for waiting callers, and the changes, after a commit
Post = Callable[[Sequence[Awaited], Sequence[Change]], None]


class Writer:
    """The owner's writing thread.

    Everything queued during a commit becomes the next transaction, so the higher the load, the lower the cost per
    write. An invalid write fails alone. If the file rejects writes, queued ones wait while it is retried; after a while
    they fail with the reason, and later ones fail sooner, until the file accepts writes again.

    Args:
        path: The database file.
        connection: The writing connection; closed at the end.
        outbox: The queue of writes.
        node: This process.
        clock: Returns microseconds since the epoch.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, outbox: Outbox, node: Node, clock: Callable[[], int]
    ) -> None:
        #: identity of this writer's change feed
        self.feed = secrets.token_hex(8)
        #: number of the last change
        self.seq = 0
        self._path = path
        self._file = File(connection, path)
        self._outbox = outbox
        self._node = node
        self._people = People(self._file)
        self._committer = Committer(path, self._file, self._people, node.name, clock)
        #: whether the file accepts writes
        self._fitness = Fitness(clock)
        self._alone = Alone(self._file, self._people, self._committer, self._fitness.notice)
        self._housekeeping = Housekeeping(path, self._file, self._committer, self._fitness, clock)
        #: None before `enter`
        self._checkpoints: Checkpoints | None = None
        self._first_changes: list[Change] = []
        #: ends of runs that failed while somebody waited for them, to be written later
        self._late: list[Receipt] = []
        self._post: Post = lambda _awaited, _changes: None
        self._mark: Callable[[float], None] = lambda _since: None
        self._beat: Callable[[], None] = lambda: None
        self._next_beat = 0.0
        #: it ends although the outbox is open: another process will write
        self._is_leaving = False
        #: whether other processes were writing when this one started
        self.has_company = False
        self._thread: threading.Thread | None = None

    @property
    def commits(self) -> int:
        """Number of transactions so far."""
        return self._committer.commits

    @property
    def newest(self) -> int:
        """The largest id of a run in the file."""
        return self._file.newest

    @property
    def problem(self) -> str | None:
        """Why the log is not checkpointed; None if it is."""
        return None if self._checkpoints is None else self._checkpoints.problem

    @property
    def connection(self) -> sqlite3.Connection:
        """The writing connection."""
        return self._file.connection

    def enter(self, last_sign: int = 0) -> tuple[int, int, list[Any]]:
        """Register this process as a writer, and end the runs of dead ones.

        Args:
            last_sign: When the previous owner was last alive, in microseconds since the epoch.

        Returns:
            Its slot, the number of its last committed numbered write, and those not acknowledged with True.

        Raises:
            StoreError: the file could not be written to.
        """
        self._checkpoints = Checkpoints(self._path, self._outbox.put)
        try:
            self._file.begin()
            now = wall_clock()
            sign = min(last_sign, now)
            entry = self._people.join(self._node, now, sign)
            changes = self._people.interrupt_gone(self.seq, sign)
            self.has_company = self._people.is_company(self._node.name)
            self._file.commit()
        except BaseException as error:  # noqa: BLE001 - raised again below, translated where possible
            self._committer.roll_back()
            self.cancel()
            raise (explain(error, self._path) if isinstance(error, FAILURES) else error) from None
        self.seq += len(changes)
        self._first_changes = changes
        return entry

    def start(
        self,
        post: Post,
        mark: Callable[[float], None],
        tell_health: Callable[[Health], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Start committing.

        Args:
            post: Called after each commit.
            mark: Called when a batch is taken, with the monotonic time, and with 0 when it is done.
            tell_health: Called when the file rejects writes, when it recovers, and for damage.
            beat: Called every few seconds, as a heartbeat.
        """
        self._post, self._mark, self._fitness.tell, self._beat = post, mark, tell_health, beat
        if self._checkpoints is not None:
            self._checkpoints.start(self._file.connection)
            self._file.tell = self._checkpoints.expect
        if self._first_changes:
            post([], self._first_changes)
        self._thread = threading.Thread(target=self._run, name="binp-store-writer", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Close the file, before the thread was started or after it has ended."""
        if self._checkpoints is not None:
            self._checkpoints.stop()
        self._file.connection.close()

    def carry(self) -> None:
        """Checkpoint the write-ahead log in this thread, without delaying the writer.

        Raises:
            sqlite3.Error: the checkpoint failed.
        """
        if self._checkpoints is not None:
            self._checkpoints.carry()

    def abandon(self) -> None:
        """In a forked child: leave the connections alone, which belong to the parent."""
        leak(self._file.connection)
        if self._checkpoints is not None:
            self._checkpoints.abandon()

    def join(self) -> None:
        """Wait until everything is committed and the connection is closed, after the outbox was closed."""
        if self._thread is not None:
            self._thread.join()

    def leave(self) -> None:
        """Commit what is queued, and end without signing off: another process will write. Blocks."""
        self._is_leaving = True
        self._outbox.interrupt()
        self.join()

    def _run(self) -> None:
        try:
            while not self._is_leaving and self._go_on():
                pass
            if self._is_leaving:
                self._hand_on()
            elif not self._fitness.is_final:
                self._housekeeping.indexing.leave()
                self._say_goodbye()
            self._housekeeping.sync()
        finally:
            self._report_late()
            self.cancel()

    def _go_on(self) -> bool:
        """Do one step; returns whether there is another one."""
        try:
            return self._step()
        except Exception as error:
            # without this thread all callers would wait for ever: retry, as after any other failure
            _logger.exception("the store itself failed")
            self._committer.roll_back()
            self._fitness.falter(FileTrouble(self._committer.explain(error), is_passing=True), time.monotonic())
            return not self._outbox.is_closed

    def _step(self) -> bool:
        # in a scope of its own, so that a finished batch is released before waiting for the next one
        if time.monotonic() >= self._next_beat:
            self._beat()
            self._next_beat = time.monotonic() + BEAT
        if self._fitness.trouble is not None:
            return self._struggle(self._fitness.trouble)
        batch = self._outbox.take(_BATCH, self._keep_house())
        if not batch:
            return batch is not None
        self._mark(time.monotonic())
        self._try(batch)
        self._mark(0.0)
        self._housekeeping.indexing.expect(len(batch))
        return True

    def _hand_on(self) -> None:
        """Commit what is queued; the next writer gets this process's own writes that could not be committed."""
        if self._checkpoints is not None:
            # first: it would queue its request for the next writer, who executes such requests only for itself
            self._checkpoints.stop()
        batch = self._outbox.take_all()
        if self._fitness.trouble is not None and self._fitness.is_final:
            self._refuse(batch, self._fitness.trouble)
        elif batch and not self._try(batch):
            # other processes send theirs again
            left = self._outbox.take_all()
            self._outbox.put_back([each for each in left if each.sender is None and each.write.kind not in OWN])
        self._catch_up()

    def _try(self, batch: list[Receipt]) -> bool:
        """Commit *batch*, or put back what cannot be committed now; returns whether the file accepts writes."""
        began = time.monotonic()
        try:
            self._work(batch)
        except FileTrouble as trouble:
            self._fitness.falter(trouble, began)
            left = [receipt for receipt in batch if not receipt.is_settled]
            if trouble.is_passing:
                self._outbox.put_back(left)
            else:
                self._refuse(left, trouble)
            return False
        except Exception as error:
            # nobody may wait for ever because of an error in here
            _logger.exception("%d writes ran into an error of the store itself", len(batch))
            self._committer.roll_back()
            self._fail([receipt for receipt in batch if not receipt.is_settled], self._committer.explain(error))
        return True

    def _struggle(self, trouble: FileTrouble) -> bool:
        """Retry after a while. Writes that have waited too long fail, as do new ones during a long failure."""
        if trouble.is_final:
            left = self._outbox.take(_BATCH, max(0.0, self._next_beat - time.monotonic()))
            self._refuse(left or [], trouble)
            return left is not None
        self._outbox.rest(_PROBE)
        if self._is_well():
            self._fitness.recover()
            self._catch_up()
            return True
        # the attempt may have found another problem
        trouble = self._fitness.trouble or trouble
        if self._outbox.is_closed or not trouble.is_passing or self._fitness.has_lasted(PATIENCE):
            self._refuse(self._outbox.take_all(), trouble)
        return not self._outbox.is_closed

    def _is_well(self) -> bool:
        """Whether the file accepts the queued writes, or any write."""
        batch = self._outbox.take(_BATCH, 0.0)
        if batch and not self._try(batch):
            return False
        if batch and not ALONE.issuperset(map(_kind_of, batch)):
            return True
        # writes with a transaction of their own fail alone, or do not need the file: that proves nothing
        try:
            self._committer.try_again()
        except FileTrouble as trouble:
            self._fitness.falter(trouble, time.monotonic())
            return False
        return True

    def _refuse(self, left: list[Receipt], trouble: FileTrouble) -> None:
        """Fail the waiting writes. The ends of runs are kept for later: ended runs must not stay open for ever."""
        for receipt in left:
            if receipt.write.kind == EndRun.kind and not trouble.is_final:
                # their number is limited by that of runs; if a run was taken again since, its epoch rejects the write
                late = Receipt(receipt.write)
                late.size = receipt.size
                self._late.append(late)
        self._fail(left, trouble.error)

    def _catch_up(self) -> None:
        """Queue the kept ends of runs again, for which nobody waits any more."""
        late, self._late = self._late, []
        if late:
            self._outbox.put_back(late)

    def _report_late(self) -> None:
        """Log the kept ends of runs that will not be written any more."""
        if self._late:
            ids = ", ".join(str(receipt.write.id) for receipt in self._late if isinstance(receipt.write, EndRun))
            _logger.error("the store was closed without the ends of %d runs: %s", len(self._late), ids)

    def _fail(self, left: list[Receipt], error: StoreError) -> None:
        if left:
            self._settle(left, [Failure(error, len(left))] * len(left), [])

    def _keep_house(self) -> float:
        """Do the due housekeeping; returns the seconds until there is more of it."""
        rest = max(0.0, self._next_beat - time.monotonic())
        wait, changes = self._housekeeping.step(self.seq, is_idle=not self._outbox)
        if changes:
            self._settle([], [], changes)
        return rest if wait is None else min(rest, wait)

    def _work(self, batch: list[Receipt]) -> None:
        """Commit *batch*; writes that need a transaction of their own are executed separately."""
        if ALONE.isdisjoint(map(_kind_of, batch)):
            self._commit(batch)
            return
        # maintenance is kept apart from the other writes, so that nobody waits for it
        tending = [receipt for receipt in batch if receipt.write.kind in TENDING]
        batch = [receipt for receipt in batch if receipt.write.kind not in TENDING]
        start = 0
        for position, receipt in enumerate(batch):
            if receipt.write.kind in ALONE:
                self._commit(batch[start:position])
                self._do_alone(receipt)
                start = position + 1
        self._commit(batch[start:])
        for receipt in tending:
            self._do_alone(receipt)

    def _do_alone(self, receipt: Receipt) -> None:
        outcome, changes = self._alone.do(receipt, self.seq)
        self._settle([receipt], [outcome], changes)

    def _commit(self, batch: list[Receipt]) -> None:
        if batch:
            self._settle(batch, *self._committer.commit(batch, self.seq))

    def _settle(self, batch: list[Receipt], outcomes: list[Any], changes: list[Change]) -> None:
        self.seq += len(changes)
        awaited = Receipt.settle_all(batch, outcomes)
        self._outbox.settled(len(batch))
        self._post(awaited, changes)

    def _say_goodbye(self) -> None:
        try:
            self._file.begin()
            self._people.leave(self._node.name, wall_clock())
            self._file.commit()
        except (sqlite3.Error, OSError) as error:
            # the next owner finds out itself that this process is gone
            self._committer.roll_back()
            _logger.warning("the store was closed without saying so: %s", explain(error, self._path))
