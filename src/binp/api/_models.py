"""What goes over the wire."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from binp.store.contract import Keep, RecordRow, Retention, Role, Run, State, Store, Usage, as_datetime

from ._strict import Strict

__all__ = [
    "ActionForm",
    "Again",
    "DatabaseHealth",
    "InvokeResult",
    "Keeping",
    "Lines",
    "Query",
    "Question",
    "RecordInfo",
    "RetentionInfo",
    "RunDetail",
    "RunGlance",
    "RunInfo",
    "ScheduleControl",
    "ServiceControl",
    "Started",
    "Taken",
]


class InvokeResult(BaseModel):
    """What came of an action that was waited for."""

    name: str
    #: seconds
    duration: float
    #: its run
    run: int
    #: what it returned
    result: Any = None


class ServiceControl(Strict):
    """What is wanted of a service."""

    running: bool


class ScheduleControl(Strict):
    """What is wanted of a schedule."""

    paused: bool


class Query(Strict):
    """Which journaled runs are wanted: all given conditions hold."""

    operation: str | None = None
    failed: bool | None = None
    pending: bool | None = None
    labels: list[str] | None = None


class ActionForm(BaseModel):
    """An action with the form of its arguments."""

    name: str
    description: str
    labels: list[str]
    #: JSON Schema of an object
    arguments: dict[str, Any]
    #: seconds that one attempt may take
    timeout: float | None = None
    #: further attempts after one that failed
    retries: int = 0
    #: how many of its runs there may be at once
    concurrency: int | None = None
    #: parameters for each value of which there may be so many
    per: list[str] = []
    #: what becomes of a run without a place: queue, skip or replace; null where there is always one
    when_full: str | None = None
    #: something is to be asked before it is started by hand
    confirm: bool = False
    #: seconds that a shutdown waits for its runs; null for as long as for all others
    grace: float | None = None
    #: each attempt runs in a process of its own
    process: bool = False


class Question(BaseModel):
    """What is to be asked before an action is started by hand."""

    #: nothing if it is empty
    question: str | None


class Again(Strict):
    """What a run is started again with."""

    #: those that shall differ
    arguments: dict[str, Any] = Field({})


class Started(BaseModel):
    """A run that was started and goes on by itself."""

    run: int
    #: where it is seen
    url: str


class RecordInfo(BaseModel):
    """A line of a run."""

    seq: int
    at: datetime
    level: str
    source: str
    message: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, row: RecordRow) -> RecordInfo:
        """From the row of a store."""
        return cls(
            seq=row.seq,
            at=row.created_at,
            level=row.level,
            source=row.source,
            message=row.message,
            fields=json.loads(row.fields) if row.fields else {},
        )


class RunInfo(BaseModel):
    """A run as it is listed."""

    id: int
    operation: str
    #: name under which it is journaled
    journal: str | None
    description: str
    state: State
    trigger: str
    actor: str | None
    #: the run inside which it was started
    parent: int | None
    attempt: int
    #: the first run of which it is a further attempt
    origin: int | None
    #: when it was due, if a schedule started it
    due_at: datetime | None
    labels: list[str]
    progress: float | None
    progress_total: float | None
    progress_message: str | None
    cancel_requested: bool
    #: who asked for that, as far as is known
    cancelled_by: str | None
    started_at: datetime
    ended_at: datetime | None
    #: seconds
    duration: float | None
    error_type: str | None
    error: str | None
    #: number of records
    record_count: int
    #: counts the changes
    rev: int

    @classmethod
    def of(cls, run: Run) -> RunInfo:
        """From the row of a store."""
        return cls(**_run_fields(run))


class RunGlance(BaseModel):
    """As much of a run as a bar among others shows."""

    id: int
    operation: str
    state: State
    trigger: str
    actor: str | None
    started_at: datetime
    ended_at: datetime | None
    duration: float | None

    @classmethod
    def of(cls, run: Run) -> RunGlance:
        """What is shown of *run*."""
        return cls(**_run_fields(run))


class RunDetail(RunInfo):
    """A run with everything that is known of it."""

    #: host and process
    node: str
    #: commit of the tree around its file, hash of the file, or both
    version: str | None
    arguments: Any
    result: Any
    traceback: str | None
    #: the first ones, oldest first; later ones are read with ``after``
    records: list[RecordInfo]

    @classmethod
    def whole(cls, run: Run, records: list[RecordRow]) -> RunDetail:
        """From the rows of a store."""
        return cls(
            **_run_fields(run),
            node=run.node,
            version=run.version,
            arguments=_loaded(run.arguments),
            result=_loaded(run.result),
            traceback=run.traceback,
            records=[RecordInfo.of(row) for row in records],
        )


class Lines(Strict):
    """Lines that were exported."""

    #: each a JSON object
    lines: list[str] = Field(max_length=5000)


class Taken(BaseModel):
    """What came of them."""

    #: how many were not here, or were a later state of what was
    taken: int


class Keeping(BaseModel):
    """How long runs are kept that have ended; null where there is no limit."""

    #: days
    days: float | None
    #: days for those that failed, were cancelled or interrupted, if that is longer
    failed_days: float | None
    #: how many, the newest
    runs: int | None

    @classmethod
    def of(cls, keep: Keep) -> Keeping:
        """From the rule of a store."""
        return cls(days=_finite(keep.days), failed_days=_finite(keep.failed_days), runs=keep.runs)


class DatabaseHealth(BaseModel):
    """Whether the database takes writes, and is sound as far as is known."""

    #: degraded: it takes no writes; damaged: it does, and some of it cannot be read
    state: Literal["ok", "degraded", "damaged"]
    #: what is wrong with it, and how that is mended
    reason: str | None
    fix: str | None
    #: since when
    since: datetime | None
    #: it goes on by itself when that is mended; else it has to be opened anew
    passes: bool
    #: whether this process writes to it, or has its owner write
    role: Role
    #: writes of this process that wait
    queued: int

    @classmethod
    def of(cls, store: Store) -> DatabaseHealth:
        """What *store* says of itself."""
        health = store.health
        return cls(
            state="degraded" if health.is_degraded else "damaged" if health.is_damaged else "ok",
            reason=health.reason,
            fix=health.fix,
            since=None if health.since is None else as_datetime(health.since),
            passes=health.passes,
            role=store.role,
            queued=store.queued,
        )


class RetentionInfo(BaseModel):
    """Which runs are kept, and what the database holds and takes up."""

    #: the rule for all runs without one of their own
    general: Keeping
    #: bytes that the database may take up; null for any number
    size: int | None
    operations: dict[str, Keeping]
    labels: dict[str, Keeping]
    #: bytes in use, bytes that are free in the file, bytes of the log beside it
    used: int
    free: int
    log: int
    run_count: int
    oldest_at: datetime | None
    #: runs that were erased since the database was made, and when the last one was
    erased: int
    erased_at: datetime | None
    #: why the limits cannot be kept, as far as the answering process knows
    problem: str | None

    @classmethod
    def of(cls, retention: Retention, usage: Usage) -> RetentionInfo:
        """From what a store keeps and holds."""
        general = retention.general
        return cls(
            general=Keeping.of(general),
            size=retention.size,
            operations={name: Keeping.of(keep.within(general)) for name, keep in retention.operations.items()},
            labels={name: Keeping.of(keep.within(general)) for name, keep in retention.labels.items()},
            used=usage.used,
            free=usage.free,
            log=usage.log,
            run_count=usage.runs,
            oldest_at=usage.oldest_at,
            erased=usage.erased,
            erased_at=usage.last_erased_at,
            problem=usage.problem,
        )


def _finite(days: float | None) -> float | None:
    return None if days is None or math.isinf(days) else days


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _run_fields(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "operation": run.operation,
        "journal": run.journal,
        "description": run.description,
        "state": run.state,
        "trigger": run.trigger,
        "actor": run.actor,
        "parent": run.parent,
        "attempt": run.attempt,
        "origin": run.origin,
        "due_at": None if run.due is None else as_datetime(run.due),
        "labels": list(run.labels),
        "progress": run.progress,
        "progress_total": run.progress_total,
        "progress_message": run.progress_message,
        "cancel_requested": run.cancel_requested,
        "cancelled_by": run.cancelled_by,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration": None if run.duration is None else run.duration / 1e6,
        "error_type": run.error_type,
        "error": run.error,
        "record_count": run.records,
        "rev": run.rev,
    }
