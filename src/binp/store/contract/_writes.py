"""What can be written: frozen values that say what is to become true, and their acknowledgement."""

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

    # that of the text, to which it is equal; the one of enumerations is neither that nor quick
    __hash__ = str.__hash__

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


#: How many versions of a key are kept where nobody said another number, the present one included.
HISTORY = 100

#: The states that a run never leaves.
FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.INTERRUPTED, State.SKIPPED})


class Write:
    """Something that is to become true. Either all of one write is committed or nothing of it.

    What is committed survives the end of any process. What begins, ends or decides something is also on the disk when
    it is acknowledged, so that a power cut does not undo it (unless it says ``durable=False``); records, labels,
    progress and what a service is seen to be are on the disk with the next of these, and within about a second.
    """

    __slots__ = ()

    #: wire name of the kind of write
    kind: ClassVar[str]


@value(frozen=True, kw_only=True, slots=True)
class BeginRun(Write):
    """A run comes into being. Acknowledged with True; idempotent by ``id``.

    Acknowledged with False if another run was begun with the same ``once`` before: then there is no run of this id.
    """

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
    #: key of what may be started only once: a tick of a schedule, a press of a button
    once: str | None = None
    #: when it was due, if a schedule started it; microseconds since the epoch
    due: int | None = None
    #: the first run of which this is a further attempt
    origin: int | None = None
    #: why it is SKIPPED; kept as its error and its first record
    reason: str | None = None
    #: what it needs a place in while it is RUNNING; one that does is begun QUEUED, and taken
    slot: str | None = None
    #: microseconds since the epoch
    at: int
    #: acknowledged when the disk has it; False: when it is committed, which a power cut can undo for about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class TakeRun(Write):
    """A process takes a run that is queued, and runs it. Acknowledged with False if it is not queued any more.

    It is RUNNING from then on, ``started`` is this moment, and its epoch is one more than it was. Also acknowledged
    with False if all places of its slot are taken; a change of topic ``slot`` tells when one may have become free.
    """

    kind: ClassVar[str] = "take"
    id: int
    #: process that holds it from here on
    node: str
    #: how many runs may be RUNNING in its slot; None for any number
    places: int | None = None
    #: only if the process that queued it is gone
    orphaned: bool = False
    at: int


@value(frozen=True, kw_only=True, slots=True)
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


@value(frozen=True, kw_only=True, slots=True)
class AddLabels(Write):
    """Labels of a run; a label it has already stays as it is. Acknowledged like a record."""

    kind: ClassVar[str] = "labels"
    run: int
    epoch: int = 1
    labels: tuple[str, ...]
    journal: bool = False


@value(frozen=True, kw_only=True, slots=True)
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


@value(frozen=True, kw_only=True, slots=True)
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
    #: which attempt it was that ended so; None leaves what the run began with
    attempt: int | None = None
    journal: bool = False
    #: acknowledged when the disk has it; False: when it is committed, which a power cut can undo for about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class KeepStep(Write):
    """The result of a step of a run, for its further attempts. Acknowledged like a record; the first result stays."""

    kind: ClassVar[str] = "step"
    run: int
    epoch: int = 1
    #: the first run of all attempts
    origin: int
    #: what the step is called, unique among those of all attempts
    name: str
    #: JSON
    result: str
    at: int


@value(frozen=True, kw_only=True, slots=True)
class RequestCancel(Write):
    """Somebody wants a run to be cancelled. Acknowledged with False if it is unknown or finished.

    A queued run becomes CANCELLED at once; the holder of a running one obeys when it sees the change of topic
    ``cancel``, which is told again whenever somebody asks again.
    """

    kind: ClassVar[str] = "cancel"
    id: int
    actor: str | None = None
    at: int


@value(frozen=True, kw_only=True, slots=True)
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
    #: how many versions of each key are kept, the present one included; None: as many as before
    history: int | None = None
    at: int
    #: acknowledged when the disk has it; False: when it is committed, which a power cut can undo for about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class PutKey(Write):
    """A key gets a value, or is removed, if it is in the expected version.

    Acknowledged with :class:`Written`; with False if written in a run of a stale epoch. A key that has expired is not
    there.
    """

    kind: ClassVar[str] = "kv_put"
    namespace: str
    key: str
    #: JSON text; None removes the key
    value: str | None
    #: module of the class that was saved, None for plain values
    module: str | None = None
    #: from when on it is not there any more, microseconds since the epoch; None for never
    expires: int | None = None
    #: if it is there, that moment stays the one that it is
    keeps_expiry: bool = False
    #: the version that it must have; 0: it must not be there; None: whatever it has
    expected: int | None = None
    #: the run that writes, with its epoch
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    #: how many versions of it are kept, the present one included; None: as many as before
    history: int | None = None
    at: int
    #: acknowledged when the disk has it; False: when it is committed, which a power cut can undo for about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class Written:
    """What came of a :class:`PutKey`."""

    #: False if the key is not in the expected version
    is_done: bool
    #: the version of the key after it, that of its removal included; 0 if it was not there and nothing was done
    version: int


@value(frozen=True, kw_only=True, slots=True)
class RemoveKeys(Write):
    """Keys that are to be gone, all or none. Acknowledged like SetKeys."""

    kind: ClassVar[str] = "kv_remove"
    namespace: str
    keys: tuple[str, ...]
    run: int | None = None
    epoch: int | None = None
    actor: str | None = None
    at: int
    #: acknowledged when the disk has it; False: when it is committed, which a power cut can undo for about a second
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class SetDesired(Write):
    """What is wanted of a service (topic ``desired``)."""

    kind: ClassVar[str] = "desired"
    name: str
    #: it shall run, or it shall be stopped
    running: bool
    actor: str | None = None
    at: int
    #: what tells it apart from every other command, which may be of the same moment
    wish: str = field(default_factory=_new_wish)


@value(frozen=True, kw_only=True, slots=True)
class SetObserved(Write):
    """What a service is seen to be (topic ``service``)."""

    kind: ClassVar[str] = "observed"
    name: str
    #: JSON object: the service's Info
    status: str
    node: str
    at: int
    #: the ``wish`` of the last command that was obeyed
    obeyed: str | None = None


@value(frozen=True, kw_only=True, slots=True)
class Once(Write):
    """Something that may happen only once. Acknowledged with True for the first, False ever after."""

    kind: ClassVar[str] = "once"
    key: str
    at: int


@value(frozen=True, kw_only=True, slots=True)
class PauseSchedule(Write):
    """A schedule shall start nothing, or go on (topic ``schedule``). Said again, it changes nothing."""

    kind: ClassVar[str] = "pause"
    name: str
    paused: bool
    actor: str | None = None
    at: int


@value(frozen=True, kw_only=True, slots=True)
class MoveSchedule(Write):
    """What came of a schedule up to a moment is written down (topic ``schedule``)."""

    kind: ClassVar[str] = "move"
    name: str
    #: what the schedule says; another text is another schedule
    spec: str
    #: every tick up to here was started or left out; microseconds since the epoch
    until: int
    at: int
    #: without, a power cut may undo it: for a tick whose run is on the disk, which nobody starts twice
    durable: bool = True


@value(frozen=True, kw_only=True, slots=True)
class Import(Write):
    """Rows that a store exported are to be here as well. Acknowledged with the number of those that were taken in.

    One that is here already is not, unless a later state of it comes; so the same ones can be taken in again. A run
    that had not ended is INTERRUPTED here.
    """

    kind: ClassVar[str] = "import"
    #: a few hundred at a time, each a JSON object as it was exported
    lines: tuple[str, ...]


class Ack(Protocol[T_co]):
    """The acknowledgement of a write: await it, or leave it. A failure nobody awaits is logged, never lost."""

    def __await__(self) -> Any:
        """Wait for the commit and give what it was acknowledged with; raises StoreError if it failed."""

    def wait(self, timeout: float | None = None) -> Any:
        """The same for a thread without a loop; *timeout* in seconds, then TimeoutError."""
