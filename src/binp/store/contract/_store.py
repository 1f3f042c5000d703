"""What every store can do."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ._retention import Retention, Usage
from ._rows import (
    Change,
    Health,
    KeyValue,
    KeyVersion,
    OnceRow,
    RecordRow,
    Run,
    RunCounts,
    RunPage,
    RunQuery,
    ScheduleRow,
    ServiceRow,
    StepRow,
)
from ._writes import Ack, Write


class Role(enum.StrEnum):
    """What this process is to the database."""

    #: writes to it, and leads: services and schedules run here
    OWNER = "owner"
    #: writes through the owner
    CLIENT = "client"


Listener = Callable[[Sequence[Change]], None]


class Store(Protocol):
    """Where everything is kept. Bound to the event loop that opened it; ``write`` may be called from any thread."""

    @property
    def url(self) -> str:
        """Canonical URL of the database: two stores with the same URL are the same database."""

    @property
    def role(self) -> Role:
        """What this process is to the database."""

    @property
    def node(self) -> str:
        """Name of this process in rows."""

    @property
    def feed(self) -> str:
        """Identity of the change feed: ``seq`` of another feed cannot be compared."""

    @property
    def health(self) -> Health:
        """Whether it takes writes, as far as is known."""

    @property
    def queued(self) -> int:
        """How many writes of this process wait to be committed."""

    async def open(self) -> None:
        """Open, migrate if needed, mark what a dead process left running as interrupted.

        Raises:
            StoreOwned: another process owns the file and does not take this one in.
            SchemaTooNew: a newer version wrote it.
            StoreError: it cannot be opened; the message says why.
        """

    def admit(self) -> None:
        """Let in guests: processes that this one starts, which write through the owner and never own the database.

        Raises:
            StoreClosed: the store is not open.
        """

    def expect_heir(self) -> None:
        """This process is about to end: who opens the database from here on waits for it, and is not refused.

        Raises:
            StoreClosed: the store is not open.
        """

    def hand_over(self) -> None:
        """Leave the database to whoever opens it from here on, in whatever group; go on as a client of that process.

        What waits and what is written meanwhile is written through that one. As long as nobody comes, and when that one
        goes first, this process is the owner. Nothing but :meth:`close` ends it.

        Raises:
            StoreClosed: the store is not open.
        """

    async def close(self) -> None:
        """Commit what is queued, acknowledge it, and let go of files, threads and sockets. Idempotent."""

    def close_sync(self) -> None:
        """The same from outside a loop, when the loop it was bound to is gone. Idempotent."""

    def new_id(self) -> int:
        """A new id below 2**53, larger than every earlier one of this process. Callable from any thread."""

    def raise_ids(self, above: int) -> None:
        """Make new ids larger than the id *above* of another process, whatever the clocks say."""

    def write(self, write: Write) -> Ack[Any]:
        """Queue *write* at once. Never blocks, callable from any thread.

        What begins, ends or decides something is committed at once; records, labels, progress and what a service is
        seen to be are committed with the next of these, when somebody awaits them, and after 50 milliseconds at the
        latest. A write fails through its acknowledgement alone: when very many are queued, further records and their
        like do, so await what is written in numbers. When the database takes no writes (:attr:`health`), they wait up
        to ten seconds for it to take them again, and fail with the reason otherwise.

        Raises:
            StoreClosed: the store is not open.
        """

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* on the loop with the changes of each commit, in order. Returns what ends it.

        It is called without any change when :attr:`feed` has become another one: what happened in between is not known,
        so whatever was derived from changes is to be read anew.
        """

    def on_role(self, callback: Callable[[Role], None]) -> Callable[[], None]:
        """Call *callback* on the loop when this process takes the role of the owner after it was a client.

        Returns what ends it. Not called for the role that :meth:`open` found; that one is in :attr:`role`.
        """

    def on_health(self, callback: Callable[[Health], None]) -> Callable[[], None]:
        """Call *callback* on the loop when the database takes no writes any more, and when it does again.

        Returns what ends it. A database that takes none is tried every second.
        """

    def get_key(self, namespace: str, key: str) -> Awaitable[KeyValue | None]:
        """One key, or None."""

    def get_value(self, namespace: str, key: str) -> Awaitable[str | None]:
        """The JSON text of one key, or None. The quickest way to it."""

    async def get_key_history(self, namespace: str, key: str, *, after: int = 0, limit: int = 100) -> list[KeyVersion]:
        """What is kept of the versions of a key behind *after*, the newest first; at most 1,000."""

    async def list_keys(self, namespace: str, *, prefix: str = "", after: str = "", limit: int = 200) -> list[KeyValue]:
        """Keys of a namespace in order of their names; at most 1,000."""

    async def namespaces(self) -> list[str]:
        """Namespaces that have at least one key, sorted."""

    async def get_run(self, run: int) -> Run | None:
        """One run, or None."""

    async def get_once(self, key: str) -> OnceRow | None:
        """When the key *key* was used, and the run that was begun with it (:attr:`BeginRun.once`); None if never."""

    async def get_orphans(self, limit: int = 200) -> list[int]:
        """Runs that are QUEUED although the process that queued them is gone, oldest first."""

    async def get_steps(self, origin: int) -> list[StepRow]:
        """The steps that all attempts that began with the run *origin* have done, by name."""

    async def get_slot(self, slot: str) -> list[int]:
        """The runs that are QUEUED or RUNNING in the slot *slot*, oldest first."""

    async def get_records(
        self, run: int, *, after: int = 0, before: int | None = None, newest: bool = False, limit: int = 200
    ) -> list[RecordRow]:
        """Records of a run by ``seq``: oldest first, or newest first; at most 10,000."""

    async def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs."""

    async def count_runs(self, query: RunQuery, *, buckets: int = 60) -> RunCounts:
        """How many runs fit *query*, in up to so many *buckets* of time (at most 200), which cover what it asks for.

        ``before``, ``after``, ``offset`` and ``limit`` of the query play no part.
        """

    async def get_services(self) -> list[ServiceRow]:
        """Every service that was ever seen or wanted, by name."""

    async def get_schedules(self) -> list[ScheduleRow]:
        """Every schedule that was ever moved or paused, by name."""

    def retain(self, retention: Retention) -> None:
        """Keep runs as *retention* says from here on, as long as this process owns the database.

        What goes is erased in small parts between the commits of others, so that nobody waits for it. To be called
        again when the role changes; where this process writes through another, nothing happens.

        Raises:
            StoreClosed: the store is not open.
        """

    async def get_usage(self) -> Usage:
        """What the database holds and takes up."""
