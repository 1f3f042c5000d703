"""The interface of a store."""

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
    """The role of this process for the database."""

    #: writes to it, and leads: services and schedules run here
    OWNER = "owner"
    #: writes through the owner
    CLIENT = "client"


Listener = Callable[[Sequence[Change]], None]


class Store(Protocol):
    """The storage of a BINP. Bound to the event loop that opened it; ``write`` may be called from any thread."""

    @property
    def url(self) -> str:
        """Canonical URL of the database: stores with equal URLs have the same database."""

    @property
    def role(self) -> Role:
        """The role of this process for the database."""

    @property
    def node(self) -> str:
        """Name of this process in rows."""

    @property
    def feed(self) -> str:
        """Identity of the change feed: ``seq`` values of different feeds cannot be compared."""

    @property
    def health(self) -> Health:
        """Whether it accepts writes, as far as known."""

    @property
    def queued(self) -> int:
        """Number of writes of this process that are waiting to be committed."""

    async def open(self) -> None:
        """Open it, migrate it if needed, and mark the runs of dead processes as interrupted.

        Raises:
            StoreOwned: another process owns the file and does not admit this one.
            SchemaTooNew: it was written by a newer version.
            StoreError: it cannot be opened; the message says why.
        """

    def admit(self) -> None:
        """Admit guests: processes started by this one, which write through the owner and never own the database.

        Raises:
            StoreClosed: the store is not open.
        """

    def expect_heir(self) -> None:
        """This process will end soon: processes that open the database from now on wait instead of being refused.

        Raises:
            StoreClosed: the store is not open.
        """

    def hand_over(self) -> None:
        """Hand the database over to the next process that opens it, of any group, and continue as its client.

        From then on, queued and new writes go through that process. Until one comes, and if that one ends first, this
        process is the owner. Only :meth:`close` ends this.

        Raises:
            StoreClosed: the store is not open.
        """

    async def close(self) -> None:
        """Commit all queued writes, acknowledge them, and release files, threads and sockets. Idempotent."""

    def close_sync(self) -> None:
        """Close it without its event loop, which is gone. Idempotent."""

    def new_id(self) -> int:
        """A new id below 2**53, larger than all earlier ones of this process. May be called from any thread."""

    def raise_ids(self, above: int) -> None:
        """Make new ids larger than *above*, an id of another process, whatever the clocks say."""

    def write(self, write: Write) -> Ack[Any]:
        """Queue *write* immediately. Never blocks; may be called from any thread.

        Writes that start, end or decide something are committed at once. Records, labels, progress and the observed
        state of services are committed together with the next of these, when somebody awaits them, or after 50
        milliseconds. A write only fails through its acknowledgement. If very many writes are queued, further records
        and the like fail, so await those that you write in large numbers. If the database does not accept writes
        (:attr:`health`), they wait up to ten seconds for it to recover, and then fail with the reason.

        Raises:
            StoreClosed: the store is not open.
        """

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* on the event loop with the changes of each commit, in order. Returns a function that ends it.

        It is called without changes when :attr:`feed` has changed: what happened in between is unknown, so everything
        that was derived from changes must be read again.
        """

    def on_role(self, callback: Callable[[Role], None]) -> Callable[[], None]:
        """Call *callback* on the event loop when this process becomes the owner after it was a client.

        Returns a function that ends it. Not called for the role that :meth:`open` found, which is in :attr:`role`.
        """

    def on_health(self, callback: Callable[[Health], None]) -> Callable[[], None]:
        """Call *callback* on the event loop when the database stops accepting writes, and when it recovers.

        Returns a function that ends it. A database that does not accept writes is tried every second.
        """

    def get_key(self, namespace: str, key: str) -> Awaitable[KeyValue | None]:
        """One key, or None."""

    def get_value(self, namespace: str, key: str) -> Awaitable[str | None]:
        """The JSON text of one key, or None. The fastest way to read it."""

    async def get_key_history(self, namespace: str, key: str, *, after: int = 0, limit: int = 100) -> list[KeyVersion]:
        """The stored versions of a key after version *after*, newest first; at most 1,000."""

    async def list_keys(self, namespace: str, *, prefix: str = "", after: str = "", limit: int = 200) -> list[KeyValue]:
        """Keys of a namespace, sorted by name; at most 1,000."""

    async def namespaces(self) -> list[str]:
        """Namespaces that have at least one key, sorted."""

    async def get_run(self, run: int) -> Run | None:
        """One run, or None."""

    async def get_once(self, key: str) -> OnceRow | None:
        """The first use of the idempotency key *key*, and its run (:attr:`BeginRun.once`); None if it was not used."""

    async def get_orphans(self, limit: int = 200) -> list[int]:
        """Runs that are QUEUED although the process that queued them is gone, oldest first."""

    async def get_steps(self, origin: int) -> list[StepRow]:
        """The completed steps of all attempts that started with the run *origin*, by name."""

    async def get_slot(self, slot: str) -> list[int]:
        """The QUEUED and RUNNING runs of a slot, oldest first."""

    async def get_records(
        self, run: int, *, after: int = 0, before: int | None = None, newest: bool = False, limit: int = 200
    ) -> list[RecordRow]:
        """Records of a run by ``seq``: oldest first, or newest first; at most 10,000."""

    async def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs."""

    async def count_runs(self, query: RunQuery, *, buckets: int = 60) -> RunCounts:
        """How many runs match *query*, in up to *buckets* periods of time (at most 200) that cover its time range.

        ``before``, ``after``, ``offset`` and ``limit`` of the query are ignored.
        """

    async def get_services(self) -> list[ServiceRow]:
        """Every service that was ever observed or commanded, by name."""

    async def get_schedules(self) -> list[ScheduleRow]:
        """Every schedule with stored progress or a pause, by name."""

    def retain(self, retention: Retention) -> None:
        """Apply the *retention* rules from now on, as long as this process owns the database.

        Runs are erased in small parts between other commits, so that nobody has to wait. Must be called again when the
        role changes; does nothing where this process writes through another one.

        Raises:
            StoreClosed: the store is not open.
        """

    async def get_usage(self) -> Usage:
        """The content and size of the database."""
