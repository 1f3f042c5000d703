"""What every store promises: the rows, the writes, the reads and the change feed.

A store keeps runs with their records, key-value state, and what was wanted of and seen of services. It is written to
by *writes*: frozen values that say what is to become true. They are queued at once, from any thread, keep their order,
and are committed in groups; the acknowledgement resolves after the commit, so that acknowledged means committed.
Changes come out after the commit, in commit order, and from nowhere else.

All times in rows and writes are integers: microseconds since the epoch, UTC. The read models offer them as aware
datetimes. Everything that is JSON travels as text.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar

from binp.errors import BinpError, UsageError

__all__ = [
    "FINISHED",
    "Ack",
    "AddLabels",
    "AddRecord",
    "BadStoreUrl",
    "BeginRun",
    "Change",
    "EndRun",
    "KeyValue",
    "Listener",
    "Once",
    "RecordRow",
    "RemoveKeys",
    "RequestCancel",
    "Role",
    "Run",
    "RunPage",
    "RunQuery",
    "SchemaTooNew",
    "ServiceRow",
    "SetDesired",
    "SetKeys",
    "SetObserved",
    "SetProgress",
    "State",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreOwned",
    "Write",
    "as_datetime",
]

T_co = TypeVar("T_co", covariant=True)


class StoreError(BinpError):
    """The store could not do what it was asked to."""


class BadStoreUrl(StoreError, UsageError):
    """The URL names no database that can be used.

    Attributes:
        url: The URL, without a password.
    """

    def __init__(self, what: str, url: str, *, fix: str) -> None:
        super().__init__(what, url, where=f"the URL of the database, {url!r}", fix=fix)
        self.url = url


class StoreClosed(StoreError):
    """The store is not open: nothing was written."""


class StoreOwned(StoreError, UsageError):
    """Another process owns the database file, or this one has it open already.

    Attributes:
        path: The database file.
        owner: What is known of the owner: ``pid``, ``command``, ``host``, ``since``.
    """

    def __init__(self, what: str, path: str, owner: dict[str, Any], *, fix: str) -> None:
        super().__init__(what, path, owner, where=path, fix=fix)
        self.path = path
        self.owner = owner


class SchemaTooNew(StoreError, UsageError):
    """The database was written by a newer version of the platform."""


class State(enum.StrEnum):
    """The state of a run."""

    #: waits to be started
    QUEUED = "queued"
    #: its function is being executed, or its end is being written
    RUNNING = "running"
    #: the function returned
    SUCCEEDED = "succeeded"
    #: the function, or the teardown of what was injected into it, raised
    FAILED = "failed"
    #: somebody asked for it to be cancelled, and it was
    CANCELLED = "cancelled"
    #: its process ended before the run did
    INTERRUPTED = "interrupted"
    #: it was due and not started, by a rule
    SKIPPED = "skipped"


#: The states that a run never leaves.
FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.INTERRUPTED, State.SKIPPED})


class Role(enum.StrEnum):
    """What this process is to the database."""

    #: writes to it, and leads: services and schedules run here
    OWNER = "owner"
    #: writes through the owner
    CLIENT = "client"


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """Something that is to become true. Either all of one write is committed or nothing of it."""

    #: wire name of the kind of write
    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class BeginRun(Write):
    """A run comes into being. Acknowledged with True; idempotent by ``id``."""

    kind: ClassVar[str] = "begin"
    #: made by :meth:`Store.new_id`
    id: int
    #: name of the operation
    operation: str
    #: name under which the function is journaled, None if it is not
    journal: str | None = None
    #: what the operation says of itself
    description: str = ""
    #: QUEUED or RUNNING (SKIPPED for a tick that a rule left out)
    state: State = State.RUNNING
    #: what started it: ``console``, ``api``, ``cli``, ``call``, ``schedule``, ``service``
    trigger: str
    #: who started it, as far as is known
    actor: str | None = None
    #: run inside which it was started
    parent: int | None = None
    #: 1 for the first attempt
    attempt: int = 1
    #: fencing number of the holder; writes of an older epoch are refused
    epoch: int = 1
    #: process that holds it
    node: str
    #: version of the user's code
    version: str | None = None
    #: JSON object, secrets masked
    arguments: str | None = None
    labels: tuple[str, ...] = ()
    #: microseconds since the epoch
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddRecord(Write):
    """A line of a run. Acknowledged with False if the run is unknown, finished or held in a newer epoch."""

    kind: ClassVar[str] = "record"
    run: int
    epoch: int = 1
    #: 1, 2, 3... within the run
    seq: int
    at: int
    #: ``debug``, ``info``, ``warning``, ``error``, ``critical``
    level: str = "info"
    #: ``record`` (said by the function), ``print`` (written to its standard output), ``log``
    source: str = "record"
    message: str = ""
    #: JSON object or None
    fields: str | None = None
    #: the run is journaled: carried into the change
    journal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AddLabels(Write):
    """Labels of a run; a label it has already stays as it is. Acknowledged like a record."""

    kind: ClassVar[str] = "labels"
    run: int
    epoch: int = 1
    labels: tuple[str, ...]
    journal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SetProgress(Write):
    """How far a run is. Acknowledged like a record."""

    kind: ClassVar[str] = "progress"
    run: int
    epoch: int = 1
    #: done so far, in the unit of ``total``
    value: float
    #: all there is to do; None if that is not known
    total: float | None = None
    message: str | None = None
    journal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class EndRun(Write):
    """The end of a run. Acknowledged with False if the run has ended already or is held in a newer epoch."""

    kind: ClassVar[str] = "end"
    id: int
    epoch: int = 1
    #: one of FINISHED
    state: State
    at: int
    #: monotonic microseconds from start to end
    duration: int
    #: JSON or None
    result: str | None = None
    #: qualified name of the exception's class
    error_type: str | None = None
    #: never empty when the state is FAILED, CANCELLED or INTERRUPTED
    error: str | None = None
    traceback: str | None = None
    journal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestCancel(Write):
    """Somebody wants a run to be cancelled. Acknowledged with False if it is unknown or finished.

    A queued run becomes CANCELLED at once; the holder of a running one obeys when it sees the change of topic
    ``cancel``, which is told again whenever somebody asks again.
    """

    kind: ClassVar[str] = "cancel"
    id: int
    actor: str | None = None
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetKeys(Write):
    """Values of keys, all or none. Acknowledged with True; False if written in a run of a stale epoch."""

    kind: ClassVar[str] = "kv"
    namespace: str
    #: (key, JSON text) pairs; each key once
    items: tuple[tuple[str, str], ...]
    #: module of the class that was saved, None for plain values
    module: str | None = None
    #: the run that writes, with its epoch
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveKeys(Write):
    """Keys that are to be gone, all or none. Acknowledged like SetKeys."""

    kind: ClassVar[str] = "kv_remove"
    namespace: str
    keys: tuple[str, ...]
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetDesired(Write):
    """What is wanted of a service (topic ``desired``)."""

    kind: ClassVar[str] = "desired"
    name: str
    #: it shall run, or it shall be stopped
    running: bool
    actor: str | None = None
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetObserved(Write):
    """What a service is seen to be (topic ``service``)."""

    kind: ClassVar[str] = "observed"
    name: str
    #: JSON object: the service's Info
    status: str
    node: str
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Once(Write):
    """Something that may happen only once. Acknowledged with True for the first, False ever after."""

    kind: ClassVar[str] = "once"
    key: str
    at: int


class Ack(Protocol[T_co]):
    """The acknowledgement of a write: await it, or leave it. A failure nobody awaits is logged, never lost."""

    def __await__(self) -> Any:
        """Wait for the commit and give what it was acknowledged with; raises StoreError if it failed."""

    def wait(self, timeout: float | None = None) -> Any:
        """The same for a thread without a loop; *timeout* in seconds, then TimeoutError."""


def as_datetime(micros: int) -> datetime:
    """Aware UTC datetime of microseconds since the epoch."""
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run as it is kept."""

    id: int
    operation: str
    #: name under which it is journaled, None if it is not
    journal: str | None
    description: str
    state: State
    trigger: str
    actor: str | None
    parent: int | None
    attempt: int
    epoch: int
    node: str
    version: str | None
    #: JSON object or None
    arguments: str | None
    #: JSON or None
    result: str | None
    error_type: str | None
    error: str | None
    traceback: str | None
    #: in the order they were given
    labels: tuple[str, ...]
    progress: float | None
    progress_total: float | None
    progress_message: str | None
    #: somebody asked for it to be cancelled
    cancel_requested: bool
    #: microseconds since the epoch
    started: int
    ended: int | None
    #: microseconds; None until it has ended
    duration: int | None
    #: number of records
    records: int
    #: counts the changes of this row
    rev: int

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return as_datetime(self.started)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None until then."""
        return None if self.ended is None else as_datetime(self.ended)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRow:
    """A line of a run as it is kept."""

    run: int
    seq: int
    at: int
    level: str
    source: str
    message: str
    #: JSON object or None
    fields: str | None

    @property
    def created_at(self) -> datetime:
        """When it was said."""
        return as_datetime(self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunQuery:
    """Which runs are wanted: all given conditions hold. Newest first."""

    #: only runs of journaled functions
    journaled: bool = False
    #: exact name of the operation
    operation: str | None = None
    #: exact name under which it is journaled
    journal: str | None = None
    states: frozenset[State] | None = None
    #: at least one of these; None or empty for no condition
    labels: tuple[str, ...] | None = None
    parent: int | None = None
    #: keyset: only runs older than this id
    before: int | None = None
    #: keyset: only runs newer than this id; the page is the oldest of them, still newest first
    after: int | None = None
    #: skip so many (for the routes of the original; deep pages want ``before``)
    offset: int = 0
    #: at most 200
    limit: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """One page of runs, newest first."""

    runs: tuple[Run, ...]
    #: there are older ones than the last
    has_more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyValue:
    """A key as it is kept."""

    namespace: str
    key: str
    #: JSON text
    value: str
    #: module of the saved class, None for plain values
    module: str | None
    #: 1, 2, 3... never going back, also after a removal
    version: int
    #: microseconds since the epoch of the last write
    updated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """What is wanted of and seen of a service."""

    name: str
    #: None if nobody said
    desired: bool | None
    #: the ``at`` of who said it last
    desired_at: int | None
    #: JSON object: its Info as last observed, None if it was never seen
    status: str | None
    node: str | None
    updated: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something changed and is committed."""

    #: strictly increasing in commit order, within one feed
    seq: int
    #: ``run``, ``record``, ``kv``, ``service``, ``desired``, ``cancel``
    topic: str
    #: run id (``run``, ``record``, ``cancel``), ``namespace/key`` (``kv``), name (``service``, ``desired``)
    id: int | str
    #: revision of the thing: a run's rev, a record's seq, a key's version
    rev: int
    #: it concerns a journaled run
    journal: bool = False


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

    async def open(self) -> None:
        """Open, migrate if needed, mark what a dead process left running as interrupted.

        Raises:
            StoreOwned: another process owns the file and does not take this one in.
            SchemaTooNew: a newer version wrote it.
            StoreError: it cannot be opened; the message says why.
        """

    async def close(self) -> None:
        """Commit what is queued, acknowledge it, and let go of files, threads and sockets. Idempotent."""

    def close_sync(self) -> None:
        """The same from outside a loop, when the loop it was bound to is gone. Idempotent."""

    def new_id(self) -> int:
        """A new id below 2**53, larger than every earlier one of this process. Callable from any thread."""

    def write(self, write: Write) -> Ack[Any]:
        """Queue *write* at once. Never blocks, callable from any thread.

        What begins, ends or decides something is committed at once; records, labels, progress and what a service is
        seen to be are committed with the next of these, when somebody awaits them, and after 50 milliseconds at the
        latest. A write fails through its acknowledgement alone: when very many are queued, further records and their
        like do, so await what is written in numbers.

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

    def get_key(self, namespace: str, key: str) -> Awaitable[KeyValue | None]:
        """One key, or None."""

    async def list_keys(self, namespace: str, *, prefix: str = "", after: str = "", limit: int = 200) -> list[KeyValue]:
        """Keys of a namespace in order of their names; at most 1,000."""

    async def namespaces(self) -> list[str]:
        """Namespaces that have at least one key, sorted."""

    async def get_run(self, run: int) -> Run | None:
        """One run, or None."""

    async def get_records(
        self, run: int, *, after: int = 0, before: int | None = None, newest: bool = False, limit: int = 200
    ) -> list[RecordRow]:
        """Records of a run by ``seq``: oldest first, or newest first; at most 10,000."""

    async def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs."""

    async def get_services(self) -> list[ServiceRow]:
        """Every service that was ever seen or wanted, by name."""
