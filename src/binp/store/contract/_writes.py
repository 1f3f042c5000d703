"""The writes: frozen values that describe what is to become true, and their acknowledgement."""

from __future__ import annotations

import enum
import secrets
from dataclasses import field
from typing import Any, ClassVar, Protocol, TypeVar

from ._value import value

T_co = TypeVar("T_co", covariant=True)


def _new_wish() -> str:
    return secrets.token_hex(8)


class State(enum.StrEnum):
    """The state of a run."""

    # that of str, to which a member is equal; Enum.__hash__ is different, and slower
    __hash__ = str.__hash__

    #: it waits to be started
    QUEUED = "queued"
    #: its function is being executed, or its end is being written
    RUNNING = "running"
    #: the function returned
    SUCCEEDED = "succeeded"
    #: the function, or the teardown of what was injected into it, raised
    FAILED = "failed"
    #: it was cancelled on request
    CANCELLED = "cancelled"
    #: its process ended before the run did
    INTERRUPTED = "interrupted"
    #: it was due, but a rule prevented its start
    SKIPPED = "skipped"


#: Default number of versions of a key to keep, including the current one.
HISTORY = 100

#: The final states.
FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.INTERRUPTED, State.SKIPPED})


class Write:
    """A change that is to become true. It is committed completely or not at all.

    Committed writes survive the end of any process. A write that starts, ends or decides something is also on disk when
    it is acknowledged, so it survives a power failure (unless it has ``durable=False``). Records, labels, progress and
    the observed state of services reach the disk with the next such write, or within about a second.
    """

    __slots__ = ()

    #: name of the kind of write in the wire protocol
    kind: ClassVar[str]


@value(frozen=True, kw_only=True, slots=True)
class BeginRun(Write):
    """Creates a run. Acknowledged with True; idempotent by ``id``.

    Acknowledged with False if another run was created with the same ``once`` before; then no run is created.
    """

    kind: ClassVar[str] = "begin"
    #: from :meth:`Store.new_id`
    id: int
    #: name of the operation
    operation: str
    #: name under which the function is journaled; None if it is not
    journal: str | None = None
    #: the description of the operation
    description: str = ""
    #: QUEUED or RUNNING (SKIPPED for a tick that a rule skipped)
    state: State = State.RUNNING
    #: what started it: ``console``, ``api``, ``cli``, ``call``, ``schedule``, ``service``
    trigger: str
    #: who started it, if known
    actor: str | None = None
    #: id of the run in which it was started
    parent: int | None = None
    #: 1 for the first attempt
    attempt: int = 1
    #: fencing token of the holder; writes with an older epoch are rejected
    epoch: int = 1
    #: the process that holds it
    node: str
    #: version of the user's code
    version: str | None = None
    #: JSON object, secrets masked
    arguments: str | None = None
    labels: tuple[str, ...] = ()
    #: idempotency key: for a tick of a schedule, or a press of a button
    once: str | None = None
    #: when it was due, if a schedule started it, in microseconds since the epoch
    due: int | None = None
    #: id of the first run of which this is a further attempt
    origin: int | None = None
    #: why it is SKIPPED; stored as its error and its first record
    reason: str | None = None
    #: the slot that it needs while it is RUNNING; such a run is created QUEUED, and then taken
    slot: str | None = None
    #: microseconds since the epoch
    at: int
    #: True: acknowledged when it is on disk; False: when it is committed, and a power failure may undo about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class TakeRun(Write):
    """A process takes a queued run and executes it. Acknowledged with False if it is not queued any more.

    The run is RUNNING from then on, ``started`` is this moment, and its epoch grows by one. Also acknowledged with
    False if its slot is full; a change of topic ``slot`` reports when a place may have become free.
    """

    kind: ClassVar[str] = "take"
    id: int
    #: the process that holds it from now on
    node: str
    #: how many runs of its slot may be RUNNING; None for any number
    places: int | None = None
    #: only if the process that queued it is gone
    orphaned: bool = False
    at: int


@value(frozen=True, kw_only=True, slots=True)
class AddRecord(Write):
    """Adds a record to a run. Acknowledged with False if the run is unknown, finished, or held in a newer epoch."""

    kind: ClassVar[str] = "record"
    run: int
    epoch: int = 1
    #: 1, 2, 3... within the run
    seq: int
    at: int
    #: ``debug``, ``info``, ``warning``, ``error``, ``critical``
    level: str = "info"
    #: ``record`` (added by the function), ``print`` (its standard output), ``log``
    source: str = "record"
    message: str = ""
    #: JSON object or None
    fields: str | None = None
    #: the run is journaled; copied to the change
    journal: bool = False


@value(frozen=True, kw_only=True, slots=True)
class AddLabels(Write):
    """Adds labels to a run; existing ones are ignored. Acknowledged like a record."""

    kind: ClassVar[str] = "labels"
    run: int
    epoch: int = 1
    labels: tuple[str, ...]
    journal: bool = False


@value(frozen=True, kw_only=True, slots=True)
class SetProgress(Write):
    """Sets the progress of a run. Acknowledged like a record."""

    kind: ClassVar[str] = "progress"
    run: int
    epoch: int = 1
    #: amount done, in the unit of ``total``
    value: float
    #: total amount; None if unknown
    total: float | None = None
    message: str | None = None
    journal: bool = False


@value(frozen=True, kw_only=True, slots=True)
class EndRun(Write):
    """Ends a run. Acknowledged with False if it has ended already, or is held in a newer epoch."""

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
    #: qualified name of the class of the exception
    error_type: str | None = None
    #: never empty if the state is FAILED, CANCELLED or INTERRUPTED
    error: str | None = None
    traceback: str | None = None
    #: number of the attempt that ended; None leaves the number from its creation
    attempt: int | None = None
    journal: bool = False
    #: True: acknowledged when it is on disk; False: when it is committed, and a power failure may undo about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class KeepStep(Write):
    """Stores the result of a step, for further attempts. Acknowledged like a record; the first result is kept."""

    kind: ClassVar[str] = "step"
    run: int
    epoch: int = 1
    #: id of the first run of all attempts
    origin: int
    #: name of the step, unique among all attempts
    name: str
    #: JSON
    result: str
    at: int


@value(frozen=True, kw_only=True, slots=True)
class RequestCancel(Write):
    """Requests the cancellation of a run. Acknowledged with False if it is unknown or finished.

    A queued run becomes CANCELLED immediately. The holder of a running one obeys when it sees the change of topic
    ``cancel``, which is repeated with every request.
    """

    kind: ClassVar[str] = "cancel"
    id: int
    actor: str | None = None
    at: int


@value(frozen=True, kw_only=True, slots=True)
class SetKeys(Write):
    """Sets keys, all or none. Acknowledged with True; with False if written in a run of a stale epoch."""

    kind: ClassVar[str] = "kv"
    namespace: str
    #: pairs of key and JSON text; each key once
    items: tuple[tuple[str, str], ...]
    #: module of the saved class; None for plain values
    module: str | None = None
    #: the run that writes, with its epoch
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    #: how many versions of each key to keep, including the current one; None: as before
    history: int | None = None
    at: int
    #: True: acknowledged when it is on disk; False: when it is committed, and a power failure may undo about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class PutKey(Write):
    """Sets or removes a key, if it has the expected version.

    Acknowledged with :class:`Written`; with False if written in a run of a stale epoch. An expired key does not exist.
    """

    kind: ClassVar[str] = "kv_put"
    namespace: str
    key: str
    #: JSON text; None removes the key
    value: str | None
    #: module of the saved class; None for plain values
    module: str | None = None
    #: when it expires, microseconds since the epoch; None for never
    expires: int | None = None
    #: keep the present expiry, if the key exists
    keeps_expiry: bool = False
    #: the version that it must have; 0 if it must not exist; None for any
    expected: int | None = None
    #: the run that writes, with its epoch
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    #: how many versions to keep, including the current one; None: as before
    history: int | None = None
    at: int
    #: True: acknowledged when it is on disk; False: when it is committed, and a power failure may undo about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class Written:
    """The result of a :class:`PutKey`."""

    #: False if the key did not have the expected version
    is_done: bool
    #: the version of the key afterwards, also if it was removed; 0 if it did not exist and nothing was done
    version: int


@value(frozen=True, kw_only=True, slots=True)
class RemoveKeys(Write):
    """Removes keys, all or none. Acknowledged like SetKeys."""

    kind: ClassVar[str] = "kv_remove"
    namespace: str
    keys: tuple[str, ...]
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    at: int
    #: True: acknowledged when it is on disk; False: when it is committed, and a power failure may undo about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class SetDesired(Write):
    """Sets the desired state of a service (topic ``desired``)."""

    kind: ClassVar[str] = "desired"
    name: str
    #: whether it is to run
    running: bool
    actor: str | None = None
    at: int
    #: unique token of the command: several may have the same time
    wish: str = field(default_factory=_new_wish)
    #: it was obeyed where it was given: what was commanded before it is over
    obeyed: bool = False


@value(frozen=True, kw_only=True, slots=True)
class SetObserved(Write):
    """Sets the observed state of a service (topic ``service``)."""

    kind: ClassVar[str] = "observed"
    name: str
    #: JSON object: the service's Info
    status: str
    node: str
    at: int
    #: token of the last obeyed command
    obeyed: str | None = None


@value(frozen=True, kw_only=True, slots=True)
class Once(Write):
    """Uses an idempotency key. Acknowledged with True for the first use, with False for later ones."""

    kind: ClassVar[str] = "once"
    key: str
    at: int


@value(frozen=True, kw_only=True, slots=True)
class PauseSchedule(Write):
    """Pauses or resumes a schedule (topic ``schedule``). Repeating it changes nothing."""

    kind: ClassVar[str] = "pause"
    name: str
    paused: bool
    actor: str | None = None
    at: int


@value(frozen=True, kw_only=True, slots=True)
class MoveSchedule(Write):
    """Stores the progress of a schedule (topic ``schedule``)."""

    kind: ClassVar[str] = "move"
    name: str
    #: the timing of the schedule; a different text is a different timing
    spec: str
    #: every tick up to this one is started or skipped, microseconds since the epoch
    until: int
    at: int
    #: False: a power failure may undo it; for a tick whose run is on disk, and so cannot be started twice
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class Import(Write):
    """Imports rows that a store has exported. Acknowledged with the number of imported rows.

    Existing rows are skipped, unless the imported state is newer; so the same rows can be imported again. A run that
    had not ended becomes INTERRUPTED.
    """

    kind: ClassVar[str] = "import"
    #: a few hundred lines at a time, each a JSON object as exported
    lines: tuple[str, ...]


class Ack(Protocol[T_co]):
    """The acknowledgement of a write; may be awaited or ignored. A failure that nobody awaits is logged, never lost."""

    def __await__(self) -> Any:
        """Wait for the commit and return the result of the write; raises StoreError if it failed."""

    def wait(self, timeout: float | None = None) -> Any:
        """Like awaiting it, from a thread without an event loop; raises TimeoutError after *timeout* seconds."""
