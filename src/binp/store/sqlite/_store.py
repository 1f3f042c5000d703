"""The store in a SQLite file, as the rest of the platform sees it."""

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
    KeyValue,
    KeyVersion,
    Listener,
    RecordRow,
    Retention,
    Role,
    Run,
    RunCounts,
    RunPage,
    RunQuery,
    ScheduleRow,
    ServiceRow,
    StepRow,
    StoreClosed,
    StoreError,
    Usage,
    Write,
)

from ._delivery import Delivery
from ._engine import Engine
from ._guard import enroll, leak, withdraw
from ._ids import Ids
from ._nodes import this_process, wall_clock
from ._outbox import Outbox
from ._owner import claim, unclaim
from ._queries import Reader
from ._receipt import Failure, Receipt

__all__ = ["SqliteStore"]

T = TypeVar("T")


class SqliteStore:
    """Runs, records, keys and services in one file of SQLite. Made by :func:`binp.store.open_store`.

    Awaiting acknowledgements is the back-pressure: a function that awaits what it writes goes no faster than the disk.
    What is written without awaiting is queued; records and their like fail when a few hundred thousand are.

    Args:
        path: The file, as a full path without links.
        group: Processes of the same group share the file; None to have it alone.
        is_guest: Write through the process that owns the file, which lets guests in, and never own it.
        synchronous: How hard SQLite tries to have a commit on the disk.
        clock: Microseconds since the epoch, by which keys expire; that of this computer by default.
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
        self._path = path
        self._group = group
        self._is_guest = is_guest
        self._synchronous = synchronous
        self._clock = clock or wall_clock
        self._node = this_process()
        self._ids = Ids()
        self._outbox = Outbox()
        self._listeners = Delivery(self._outbox, self._renew_feed)
        self._engine: Engine | None = None
        #: for single rows, used on the loop
        self._point: Reader | None = None
        #: for lists, used in the thread beside it
        self._lists: Reader | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._closing: asyncio.Future[None] | None = None
        self._is_forked = False

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path} {'closed' if self._engine is None else self._engine.role}>"

    @property
    def url(self) -> str:
        """Canonical URL of the database: two stores with the same URL are the same database."""
        return f"sqlite:///{self._path}"

    @property
    def role(self) -> Role:
        """What this process is to the database."""
        return Role.OWNER if self._engine is None else self._engine.role

    @property
    def node(self) -> str:
        """Name of this process in rows."""
        return self._node.name

    @property
    def feed(self) -> str:
        """Identity of the change feed: ``seq`` of another feed cannot be compared."""
        return "" if self._engine is None else self._engine.feed

    @property
    def health(self) -> Health:
        """Whether it takes writes, as far as is known."""
        return self._listeners.health

    @property
    def queued(self) -> int:
        """How many writes of this process wait to be committed."""
        return self._outbox.pending

    async def open(self) -> None:
        """Open, migrate if needed, mark what a dead process left running as interrupted. Idempotent.

        Raises:
            StoreOwned: another process owns the file and does not take this one in, or this one has it open already.
            SchemaTooNew: a newer version wrote it.
            StoreError: it cannot be opened; the message says why.
        """
        if self._engine is not None:
            return
        self._check_fork()
        claim(self._path)
        # from here to the end of closing: a name of its own for each opening
        self._node = this_process()
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
        opening = asyncio.get_running_loop().run_in_executor(self._thread, self._start, self._engine)
        try:
            await _to_the_end(opening, self._engine.give_up)
        except BaseException:
            await self.close()
            raise

    def admit(self) -> None:
        """Let in guests: processes that this one starts."""
        self._opened()
        if self._engine is not None:
            self._engine.admit()

    def expect_heir(self) -> None:
        """This process is about to end: who opens the database from here on waits for it, and is not refused."""
        self._opened()
        if self._engine is not None:
            self._engine.expect_heir()

    def hand_over(self) -> None:
        """Leave the database to whoever opens it from here on; this process writes through that one then."""
        self._opened()
        if self._engine is not None:
            self._engine.hand_over()

    async def close(self) -> None:
        """Commit what is queued, acknowledge it, and let go of files, threads and sockets. Idempotent."""
        if self._engine is None or self._thread is None or self._is_forked:
            return
        if self._closing is None:
            self._close_point()
            self._closing = asyncio.get_running_loop().run_in_executor(self._thread, self._stop, self._engine)
        try:
            await _to_the_end(self._closing)
        finally:
            self._finish()

    def close_sync(self) -> None:
        """The same from outside a loop, when the loop it was bound to is gone. Idempotent."""
        if self._engine is None or self._is_forked:
            return
        if self._thread is not None:
            # it may be reading
            self._thread.shutdown(wait=True, cancel_futures=True)
        self._close_point()
        self._stop(self._engine)
        self._finish()

    def new_id(self) -> int:
        """A new id below 2**53, larger than every earlier one of this process. Callable from any thread."""
        self._opened()
        return self._ids.new()

    def write(self, write: Write) -> Ack[Any]:
        """Queue *write* at once. Never blocks, callable from any thread.

        Records, labels, progress and what services are seen to be are committed with the next write of another kind,
        when somebody awaits them, and after 50 milliseconds at the latest; everything else at once.

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
        """Call *listener* on the loop with the changes of each commit, in order; with none when the feed is another."""
        return self._listeners.listen(listener)

    def on_role(self, callback: Callable[[Role], None]) -> Callable[[], None]:
        """Call *callback* on the loop when this process takes the role of the owner. Returns what ends it."""
        return self._listeners.on_role(callback)

    def on_health(self, callback: Callable[[Health], None]) -> Callable[[], None]:
        """Call *callback* on the loop when no writes are taken any more, and when they are again."""
        return self._listeners.on_health(callback)

    async def get_key(self, namespace: str, key: str) -> KeyValue | None:
        """One key, or None. Read at once, without a thread: that takes a few microseconds."""
        return self._opened().keys.get(namespace, key)

    async def get_value(self, namespace: str, key: str) -> str | None:
        """The JSON text of one key, or None. Read at once as well, and nothing is read that is not needed."""
        point = self._point
        if point is None or self._is_forked:
            point = self._opened()
        return point.keys.value(namespace, key)

    async def get_key_history(self, namespace: str, key: str, *, after: int = 0, limit: int = 100) -> list[KeyVersion]:
        """What is kept of the versions of a key behind *after*, the newest first; at most 1,000."""
        return await self._aside(lambda reader: reader.keys.history(namespace, key, after, limit))

    async def list_keys(self, namespace: str, *, prefix: str = "", after: str = "", limit: int = 200) -> list[KeyValue]:
        """Keys of a namespace in order of their names; at most 1,000."""
        return await self._aside(lambda reader: reader.keys.page(namespace, prefix, after, limit))

    async def namespaces(self) -> list[str]:
        """Namespaces that have at least one key, sorted."""
        return await self._aside(lambda reader: reader.keys.namespaces())

    async def get_run(self, run: int) -> Run | None:
        """One run, or None."""
        return self._opened().get_run(run)

    async def get_once(self, key: str) -> int | None:
        """The run that was begun with the key *key*, or None."""
        return self._opened().get_once(key)

    async def get_orphans(self, limit: int = 200) -> list[int]:
        """Runs that are QUEUED although the process that queued them is gone, oldest first."""
        return await self._aside(lambda reader: reader.get_orphans(limit))

    async def get_steps(self, origin: int) -> list[StepRow]:
        """The steps that all attempts that began with the run *origin* have done, by name."""
        return await self._aside(lambda reader: reader.get_steps(origin))

    async def get_slot(self, slot: str) -> list[int]:
        """The runs that are RUNNING in the slot *slot*, oldest first."""
        return await self._aside(lambda reader: reader.get_slot(slot))

    async def get_records(
        self, run: int, *, after: int = 0, before: int | None = None, newest: bool = False, limit: int = 200
    ) -> list[RecordRow]:
        """Records of a run by ``seq``: oldest first, or newest first; at most 10,000."""
        return await self._aside(lambda reader: reader.get_records(run, after, before, newest, limit))

    async def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs."""
        return await self._aside(lambda reader: reader.find_runs(query))

    async def count_runs(self, query: RunQuery, *, buckets: int = 60) -> RunCounts:
        """How many runs fit *query*, in up to so many *buckets* of time, which cover what it asks for."""
        return await self._aside(lambda reader: reader.count_runs(query, buckets))

    async def get_services(self) -> list[ServiceRow]:
        """Every service that was ever seen or wanted, by name."""
        return await self._aside(Reader.get_services)

    async def get_schedules(self) -> list[ScheduleRow]:
        """Every schedule that was ever moved or paused, by name."""
        return await self._aside(Reader.get_schedules)

    def retain(self, retention: Retention) -> None:
        """Keep runs as *retention* says from here on, as long as this process owns the database."""
        self._opened()
        if self._engine is not None:
            self._engine.retain(retention)

    async def get_usage(self) -> Usage:
        """What the database holds and takes up."""
        found = await self._aside(Reader.get_usage)
        return found if self._engine is None else replace(found, problem=self._engine.problem)

    def forked(self) -> None:
        """In a forked child: be unusable, without touching what is the parent's."""
        self._is_forked = True
        for reader in (self._point, self._lists):
            if reader is not None:
                leak(reader.connection)
        if self._engine is not None:
            self._engine.forked()

    def _start(self, engine: Engine) -> None:
        engine.start(self._listeners)
        self._lists = Reader(self._path, self._clock)
        # from here on it is open
        self._point = Reader(self._path, self._clock)

    def _renew_feed(self) -> None:
        if self._engine is not None:
            self._engine.feed = secrets.token_hex(8)

    def _close_point(self) -> None:
        # on the loop, which may be reading from it and is not just now
        if self._point is not None:
            self._point.close()
            self._point = None

    def _stop(self, engine: Engine) -> None:
        engine.rest()
        # readers first: the last connection to be closed puts the file in order and has to be allowed to write, so the
        # writer must not know before they are gone that it is to end
        if self._lists is not None:
            self._lists.close()
            self._lists = None
        self._outbox.close()
        engine.stop()
        left = self._outbox.take(len(self._outbox) or 1)
        for receipt in left or ():
            receipt.settle(Failure(StoreClosed("the store was closed before this was written")))

    def _finish(self) -> None:
        if self._engine is not None:
            self._engine = self._closing = None
            unclaim(self._path)
            withdraw(self)
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None

    def _opened(self) -> Reader:
        self._check_fork()
        if self._point is None:
            raise StoreClosed("the store is not open", where=str(self._path), fix="open it first: await store.open()")
        return self._point

    def _check_fork(self) -> None:
        if self._is_forked:
            raise StoreError(
                "the store was opened before this process was forked from another",
                where=str(self._path),
                fix="open the store after forking, in each process its own",
            )

    async def _aside(self, read: Callable[[Reader], T]) -> T:
        """What *read* finds, in the thread beside the loop."""
        self._opened()
        if self._thread is None:
            raise StoreClosed("the store is not open", where=str(self._path), fix="open it first: await store.open()")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, read)

    def _read(self, read: Callable[[Reader], T]) -> T:
        if self._lists is None:
            raise StoreClosed("the store was closed meanwhile", where=str(self._path))
        return read(self._lists)


async def _to_the_end(work: asyncio.Future[None], hurry: Callable[[], None] | None = None) -> None:
    """Wait for *work* to its end even when cancelled meanwhile, which calls *hurry*, and is raised afterwards."""
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
