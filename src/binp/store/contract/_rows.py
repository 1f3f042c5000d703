"""What is read: rows as they are kept, questions, pages and changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from ._errors import StoreDamaged
from ._search import Condition
from ._writes import State


def as_datetime(micros: int) -> datetime:
    """Aware UTC datetime of microseconds since the epoch."""
    seconds, rest = divmod(micros, 1_000_000)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    except (OverflowError, ValueError, OSError):
        # nobody wrote that
        raise StoreDamaged(
            f"the database is damaged ({micros} is not a moment)", fix="look at it with `binp check`"
        ) from None


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
    #: when it was due, if a schedule started it; microseconds since the epoch
    due: int | None
    #: the first run of which this is a further attempt
    origin: int | None
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
    #: who did, as far as is known
    cancelled_by: str | None = None
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
    #: further conditions
    where: tuple[Condition, ...] = ()
    #: it came into being (its id was made) at this moment or later; microseconds since the epoch
    since: int | None = None
    #: it came into being before this moment; microseconds since the epoch
    until: int | None = None
    #: keyset: only runs older than this id
    before: int | None = None
    #: keyset: only runs newer than this id; the page is the oldest of them, still newest first
    after: int | None = None
    #: skip so many (for the routes of the original; deep pages want ``before``)
    offset: int = 0
    #: at most 200
    limit: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RunBucket:
    """The runs that came into being within some time."""

    #: when it begins; microseconds since the epoch
    at: int
    #: how many there are in each state
    states: Mapping[State, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCounts:
    """How many runs fit a query."""

    #: how long each bucket is
    seconds: int
    #: all of them, the oldest first
    buckets: tuple[RunBucket, ...]
    #: operations that have any, the most frequent first, at most 100, and how many
    operations: tuple[tuple[str, int], ...]
    #: states that have any, and how many
    states: tuple[tuple[State, int], ...]
    #: counting took too long: there may be more than this that came into being up to then; None: that is all
    stopped_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """One page of runs, newest first."""

    runs: tuple[Run, ...]
    #: there are older ones than the last, or there may be: the search stopped before it knew
    has_more: bool
    #: there are newer ones than the first, or there may be; only said of a page that was asked for with ``after``
    has_newer: bool = False
    #: the search took too long and stopped here, before the page was full: go on ``before`` (or ``after``) this id, and
    #: with ``offset`` less ``skipped``. None: the page is all that there is, or full
    stopped: int | None = None
    #: so many were skipped, of those that ``offset`` says
    skipped: int = 0
    #: the moment up to which it looked; None if it did not stop
    stopped_at: datetime | None = None


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
    #: from when on it is not there any more, microseconds since the epoch; None for never
    expires: int | None = None
    #: the run in which it was written, and who wrote it, as far as is known
    run: int | None = None
    actor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyVersion:
    """A version of a key: what was made of it at one moment."""

    version: int
    #: JSON text; None if it was removed, or is too long to be kept after the next version
    value: str | None
    #: it was removed, or expired
    is_removed: bool
    #: it expired
    is_expired: bool
    module: str | None
    #: microseconds since the epoch
    at: int
    #: the run in which it was written, and who wrote it, as far as is known
    run: int | None
    actor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OnceRow:
    """What may happen only once, and has."""

    #: when it did, microseconds since the epoch
    at: int
    #: the run that was begun with the key, which may have been erased; None if it was none
    run: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """What is wanted of and seen of a service."""

    name: str
    #: None if nobody said
    desired: bool | None
    #: the ``at`` of who said it last
    desired_at: int | None
    #: what tells that apart from everything else that was said
    wish: str | None
    #: the same of the last that said the contrary, None if nobody did
    before: str | None
    #: JSON object: its Info as last observed, None if it was never seen
    status: str | None
    #: the ``wish`` that had been obeyed by then, None if there was none
    obeyed: str | None
    node: str | None
    updated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A step that is done."""

    name: str
    #: JSON
    result: str
    #: the run that did it
    run: int
    #: microseconds since the epoch
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRow:
    """How far a schedule is, and whether it is paused. Times are microseconds since the epoch."""

    name: str
    #: what it said when it was moved last, None if it never was
    spec: str | None
    #: every tick up to here was started or left out
    until: int | None
    paused: bool
    #: who paused it or let it go on, as far as is known, and when
    paused_by: str | None
    paused_at: int | None
    updated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Whether a store is well."""

    #: what is wrong with it; None if nothing is
    reason: str | None = None
    #: how that is mended
    fix: str | None = None
    #: since when, microseconds since the epoch
    since: int | None = None
    #: some of it is damaged, and it takes writes all the same
    is_damaged: bool = False
    #: it is over as soon as its cause is, without a restart
    passes: bool = False

    @property
    def is_degraded(self) -> bool:
        """It takes no writes; what was read can still be read."""
        return self.reason is not None and not self.is_damaged


class Change(NamedTuple):
    """Something changed and is committed."""

    #: strictly increasing in commit order, within one feed
    seq: int
    #: ``run``, ``record``, ``kv``, ``service``, ``desired``, ``schedule``, ``cancel``,
    #: ``slot`` (a place in it may be free), ``queue`` (a run is queued whose process is gone)
    topic: str
    #: run id (``run``, ``record``, ``cancel``), ``namespace/key`` (``kv``), else the name of the thing
    id: int | str
    #: revision of the thing: a run's rev, a record's seq, a key's version
    rev: int
    #: it concerns a journaled run
    journal: bool = False
