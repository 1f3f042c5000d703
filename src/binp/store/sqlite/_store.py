"""The SQLite store, as the rest of the platform uses it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from binp.store.contract import (
    Ack,
    Health,
    Listener,
    Retention,
    Role,
    StoreClosed,
    Usage,
    Write,
)

from ._clock import wall_clock
from ._delivery import Delivery
from ._engine import Engine
from ._guard import enroll, leak, withdraw
from ._ids import Ids
from ._nodes import this_process
from ._outbox import Outbox
from ._owner import claim, unclaim
from ._queries import Reader
from ._reads import Reads
from ._receipt import Failure, Receipt

__all__ = ["SqliteStore"]

T = TypeVar("T")


class SqliteStore(Reads):
    """Runs, records, keys and services in one SQLite file. Created by :func:`binp.store.open_store`.

    Awaiting acknowledgements is the back-pressure: a function that awaits its writes goes no faster than the disk.
    Writes that are not awaited are queued; records and the like fail when a few hundred thousand are.

    Args:
        path: The file, as a full path without links.
        group: Processes of the same group share the file; None to have it alone.
        is_guest: Write through the process that owns the file and admits guests, and never own it.
        synchronous: When SQLite syncs commits.
        clock: Returns microseconds since the epoch, for the expiry of keys. Default: the clock of this computer.
    """

    def __init__(
        self,
        path: Path,
        *,
        group: str | None = None,
        is_guest: bool = False,
        synchronous: Literal["FULL", "NORMAL", "OFF"] = "FULL",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._outbox = Outbox()
        super().__init__(path, Delivery(self._outbox, self._renew_feed))
        self._group = group
        self._is_guest = is_guest
        self._synchronous = synchronous
        self._clock = clock or wall_clock
        self._node = this_process()
        self._ids = Ids()
        self._engine: Engine | None = None
        #: opening or closing in progress, for concurrent callers to wait for
        self._opening: asyncio.Future[None] | None = None
        self._closing: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path} {'closed' if self._engine is None else self._engine.role}>"

    @property
    def url(self) -> str:
        """Canonical URL of the database: stores with equal URLs have the same database."""
        return f"sqlite:///{self._path}"

    @property
    def role(self) -> Role:
        """The role of this process for the database."""
        return Role.OWNER if self._engine is None else self._engine.role

    @property
    def node(self) -> str:
        """Name of this process in rows."""
        return self._node.name

    @property
    def feed(self) -> str:
        """Identity of the change feed: ``seq`` values of different feeds cannot be compared."""
        return "" if self._engine is None else self._engine.feed

    @property
    def health(self) -> Health:
        """Whether it accepts writes, as far as known."""
        return self._listeners.health

    @property
    def queued(self) -> int:
        """Number of writes that are queued here, being committed, or sent to the owner and not answered yet."""
        return self._outbox.pending + (0 if self._engine is None else self._engine.in_flight)

    async def open(self) -> None:
        """Open it, migrate it if needed, and mark the runs of dead processes as interrupted. Idempotent.

        Raises:
            StoreOwned: another process owns the file and does not admit this one, or this one has opened it already.
            SchemaTooNew: it was written by a newer version.
            StoreError: it cannot be opened; the message says why.
        """
        while self._engine is not None:
            if self._closing is not None:
                await self.close()
            elif self._opening is not None:
                await asyncio.wait([self._opening])
            else:
                return
        self._check_fork()
        # a new name for each opening, valid until the end of closing
        node = this_process()
        claim(self._path)
        self._node = node
        self._listeners.bind(asyncio.get_running_loop())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="binp-store-read")
        self._engine = Engine(
            self._path,
            self._node,
            self._outbox,
            self._ids,
            group=self._group,
            is_guest=self._is_guest,
            synchronous=self._synchronous,
            clock=self._clock,
        )
        enroll(self)
        self._opening = asyncio.get_running_loop().run_in_executor(self._thread, self._start, self._engine)
        try:
            await _to_the_end(self._opening, self._engine.give_up)
        except BaseException:
            self._opening = None
            await self.close()
            raise
        self._opening = None

    def admit(self) -> None:
        """Admit guests: processes started by this one."""
        self._opened()
        if self._engine is not None:
            self._engine.admit()

    def expect_heir(self) -> None:
        """This process will end soon: processes that open the database from now on wait instead of being refused."""
        self._opened()
        if self._engine is not None:
            self._engine.expect_heir()

    def hand_over(self) -> None:
        """Hand the database over to the next process that opens it; this process then writes through that one."""
        self._opened()
        if self._engine is not None:
            self._engine.hand_over()

    async def close(self) -> None:
        """Commit all queued writes, acknowledge them, and release files, threads and sockets. Idempotent."""
        if self._engine is None or self._thread is None or self._is_forked:
            return
        if self._closing is None:
            self._close_point()
            self._closing = asyncio.get_running_loop().run_in_executor(self._thread, self._stop, self._engine)
        engine = self._engine
        try:
            await _to_the_end(self._closing)
        finally:
            self._finish(engine)

    def close_sync(self) -> None:
        """Close it without its event loop, which is gone. Idempotent."""
        if self._engine is None or self._is_forked:
            return
        if self._thread is not None:
            # waits for a read in progress
            self._thread.shutdown(wait=True, cancel_futures=True)
        self._close_point()
        engine = self._engine
        self._stop(engine)
        self._finish(engine)

    def new_id(self) -> int:
        """A new id below 2**53, larger than all earlier ones of this process. May be called from any thread."""
        self._opened()
        return self._ids.new()

    def raise_ids(self, above: int) -> None:
        """Make new ids larger than *above*, an id of another process, whatever the clocks say."""
        self._ids.rise(above)

    def write(self, write: Write) -> Ack[Any]:
        """Queue *write* immediately. Never blocks; may be called from any thread.

        Records, labels, progress and the observed state of services are committed with the next write of another kind,
        when somebody awaits them, or after 50 milliseconds; everything else at once.

        Raises:
            StoreClosed: the store is not open.
        """
        if self._point is None or self._is_forked:
            self._opened()
        receipt = Receipt(write)
        failure = self._outbox.put(receipt)
        if failure is not None:
            receipt.settle(failure)
        elif not self._listeners.is_looking:
            self._listeners.expect()
        return receipt

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* on the loop with the changes of each commit, in order; with none if the feed has changed."""
        return self._listeners.listen(listener)

    def on_role(self, callback: Callable[[Role], None]) -> Callable[[], None]:
        """Call *callback* on the loop when this process becomes the owner. Returns a function that ends it."""
        return self._listeners.on_role(callback)

    def on_health(self, callback: Callable[[Health], None]) -> Callable[[], None]:
        """Call *callback* on the loop when the database stops accepting writes, and when it recovers."""
        return self._listeners.on_health(callback)

    def retain(self, retention: Retention) -> None:
        """Apply the *retention* rules from now on, as long as this process owns the database."""
        self._opened()
        if self._engine is not None:
            self._engine.retain(retention)

    async def get_usage(self) -> Usage:
        """The content and size of the database."""
        found = await self._aside(Reader.get_usage)
        return found if self._engine is None else replace(found, problem=self._engine.problem)

    def forked(self) -> None:
        """In a forked child: become unusable, without touching what belongs to the parent."""
        self._is_forked = True
        for reader in (self._point, self._lists):
            if reader is not None:
                leak(reader.connection)
        if self._engine is not None:
            self._engine.forked()

    def _start(self, engine: Engine) -> None:
        engine.start(self._listeners)
        self._lists = Reader(self._path, self._clock)
        # it counts as open from here on
        self._point = Reader(self._path, self._clock)

    def _renew_feed(self) -> None:
        if self._engine is not None:
            self._engine.feed = secrets.token_hex(8)

    def _close_point(self) -> None:
        # on the event loop, where no read is in progress now
        if self._point is not None:
            self._point.close()
            self._point = None

    def _stop(self, engine: Engine) -> None:
        engine.rest()
        # readers first: the last connection that is closed cleans up the file, which needs write access. So the writer
        # must not be told to end before the readers are closed
        if self._lists is not None:
            self._lists.close()
            self._lists = None
        self._outbox.close()
        engine.stop()
        left = self._outbox.take(len(self._outbox) or 1)
        for receipt in left or ():
            receipt.settle(Failure(StoreClosed("the store was closed before this was written")))

    def _finish(self, engine: Engine) -> None:
        if self._engine is not engine:
            # another caller has waited for the same end, and may have opened the store again since
            return
        self._engine = self._closing = self._opening = None
        unclaim(self._path)
        withdraw(self)
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None


async def _to_the_end(work: asyncio.Future[None], hurry: Callable[[], None] | None = None) -> None:
    """Wait for *work* to its end, even if cancelled meanwhile; that calls *hurry*, and is raised afterwards."""
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        if hurry is not None:
            hurry()
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        work.result()
        raise
