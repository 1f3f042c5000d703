"""The read models: rows, queries, pages and changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from ._errors import StoreDamaged
from ._search import Condition
from ._writes import State


def as_datetime(micros: int) -> datetime:
    """The aware UTC datetime for microseconds since the epoch."""
    seconds, rest = divmod(micros, 1_000_000)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    except (OverflowError, ValueError, OSError):
        # not written by a store
        raise StoreDamaged(
            f"the database is damaged ({micros} is not a moment)", fix="look at it with `binp check`"
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run as stored."""

    id: int
    operation: str
    #: name under which it is journaled; None if it is not
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
    #: when it was due, if a schedule started it, in microseconds since the epoch
    due: int | None
    #: id of the first run of which this is a further attempt
    origin: int | None
    #: JSON object or None
    arguments: str | None
    #: JSON or None
    result: str | None
    error_type: str | None
    error: str | None
    traceback: str | None
    #: in the order in which they were added
    labels: tuple[str, ...]
    progress: float | None
    progress_total: float | None
    progress_message: str | None
    #: its cancellation was requested
    cancel_requested: bool
    #: who requested it, if known
    cancelled_by: str | None = None
    #: microseconds since the epoch
    started: int
    ended: int | None
    #: microseconds; None until it has ended
    duration: int | None
    #: number of records
    records: int
    #: revision: the number of changes of this row
    rev: int

    @property
    def started_at(self) -> datetime:
        """When it started."""
        return as_datetime(self.started)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None until then."""
        return None if self.ended is None else as_datetime(self.ended)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRow:
    """A record of a run as stored."""

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
        """When it was added."""
        return as_datetime(self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunQuery:
    """A query for runs: all given conditions must hold. Newest first."""

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
    #: additional conditions
    where: tuple[Condition, ...] = ()
    #: created (its id was made) at this time or later, microseconds since the epoch
    since: int | None = None
    #: created before this time, microseconds since the epoch
    until: int | None = None
    #: keyset pagination: only runs older than this id
    before: int | None = None
    #: keyset pagination: only runs newer than this id; the page has the oldest of them, still newest first
    after: int | None = None
    #: number of runs to skip (for compatible routes; for deep pages use ``before``)
    offset: int = 0
    #: at most 200
    limit: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RunBucket:
    """The runs created in a period of time."""

    #: start of the period, microseconds since the epoch
    at: int
    #: number of runs per state
    states: Mapping[State, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCounts:
    """How many runs match a query."""

    #: length of each bucket
    seconds: int
    #: all buckets, oldest first
    buckets: tuple[RunBucket, ...]
    #: operations with matching runs and their numbers, most frequent first, at most 100
    operations: tuple[tuple[str, int], ...]
    #: states with matching runs and their numbers
    states: tuple[tuple[State, int], ...]
    #: counting took too long and stopped here: there may be more runs created before; None if it is complete
    stopped_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """One page of runs, newest first."""

    runs: tuple[Run, ...]
    #: there are runs older than the last one; or there may be, if the search stopped early
    has_more: bool
    #: there are, or may be, runs newer than the first one; only set for pages requested with ``after``
    has_newer: bool = False
    #: the search took too long and stopped here, before the page was full: continue ``before`` (or ``after``) this id,
    #: with ``offset`` reduced by ``skipped``. None: the page is full, or there are no more
    stopped: int | None = None
    #: how many of the runs in ``offset`` were skipped so far
    skipped: int = 0
    #: the time at which the search stopped; None if it did not
    stopped_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyValue:
    """A key as stored."""

    namespace: str
    key: str
    #: JSON text
    value: str
    #: module of the saved class; None for plain values
    module: str | None
    #: 1, 2, 3...: never goes back, even after a removal
    version: int
    #: time of the last write, microseconds since the epoch
    updated: int
    #: when it expires, microseconds since the epoch; None for never
    expires: int | None = None
    #: the run that wrote it, and who, if known
    run: int | None = None
    actor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyVersion:
    """A version of a key, as written at one moment."""

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
    #: the run that wrote it, and who, if known
    run: int | None
    actor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OnceRow:
    """The first use of an idempotency key."""

    #: when it was used, microseconds since the epoch
    at: int
    #: the run started with the key, which may have been erased; None if there was none
    run: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """The desired and the observed state of a service."""

    name: str
    #: whether it is to run; None if there was no command
    desired: bool | None
    #: time of the last command
    desired_at: int | None
    #: unique token of the last command
    wish: str | None
    #: token of the last opposite command; None if there was none since one that was obeyed where it was given
    before: str | None
    #: JSON object: its Info as last observed; None if it was never observed
    status: str | None
    #: token of the last obeyed command at that time; None if there was none
    obeyed: str | None
    node: str | None
    updated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A completed step."""

    name: str
    #: JSON
    result: str
    #: the run that completed it
    run: int
    #: microseconds since the epoch
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRow:
    """The progress of a schedule, and whether it is paused. Times are microseconds since the epoch."""

    name: str
    #: its timing when the progress was last stored; None if never
    spec: str | None
    #: every tick up to this one is started or skipped
    until: int | None
    paused: bool
    #: who paused or resumed it last, if known, and when
    paused_by: str | None
    paused_at: int | None
    updated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Whether a store works."""

    #: what is wrong; None if nothing is
    reason: str | None = None
    #: how to fix it
    fix: str | None = None
    #: since when, microseconds since the epoch
    since: int | None = None
    #: part of the data is damaged, but the store accepts writes
    is_damaged: bool = False
    #: it recovers without a restart as soon as the cause is gone
    passes: bool = False

    @property
    def is_degraded(self) -> bool:
        """Whether it rejects writes; reads still work as far as they can."""
        return self.reason is not None and not self.is_damaged


class Change(NamedTuple):
    """A committed change."""

    #: strictly increasing in commit order, within one feed
    seq: int
    #: ``run``, ``record``, ``kv``, ``service``, ``desired``, ``schedule``, ``cancel``,
    #: ``slot`` (a place in it may be free), ``queue`` (a run is queued whose process is gone)
    topic: str
    #: run id (``run``, ``record``, ``cancel``), ``namespace/key`` (``kv``), otherwise a name
    id: int | str
    #: revision of the object: a run's rev, a record's seq, a key's version
    rev: int
    #: it is about a journaled run
    journal: bool = False
