"""The models of requests and responses."""

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
    """The outcome of an invoked action."""

    name: str
    #: seconds
    duration: float
    #: id of its run
    run: int
    #: what it returned
    result: Any = None


class ServiceControl(Strict):
    """The desired state of a service."""

    running: bool


class ScheduleControl(Strict):
    """The desired state of a schedule."""

    paused: bool


class Query(Strict):
    """Conditions for journaled runs; all must hold."""

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
    #: maximum seconds of one attempt
    timeout: float | None = None
    #: number of further attempts after a failure
    retries: int = 0
    #: how many of its runs may run at once
    concurrency: int | None = None
    #: parameters for whose values the limit applies separately
    per: list[str] = []
    #: what happens to a run above the limit: queue, skip or replace; null without a limit
    when_full: str | None = None
    #: whether there may be a question to confirm before it is started by hand
    confirm: bool = False
    #: seconds that a shutdown waits for its runs; null for the general setting
    grace: float | None = None
    #: each attempt runs in a process of its own
    process: bool = False


class Question(BaseModel):
    """The question to confirm before an action is started by hand."""

    #: null if there is none
    question: str | None


class Again(Strict):
    """Arguments for a rerun."""

    #: the arguments to change
    arguments: dict[str, Any] = Field({})


class Started(BaseModel):
    """A run that was started, and continues on its own."""

    run: int
    #: path of the run
    url: str


class RecordInfo(BaseModel):
    """A record of a run."""

    seq: int
    at: datetime
    level: str
    source: str
    message: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, row: RecordRow) -> RecordInfo:
        """Build it from a row of the store."""
        return cls(
            seq=row.seq,
            at=row.created_at,
            level=row.level,
            source=row.source,
            message=row.message,
            fields=json.loads(row.fields) if row.fields else {},
        )


class RunInfo(BaseModel):
    """A run in a list."""

    id: int
    operation: str
    #: name under which it is journaled
    journal: str | None
    description: str
    state: State
    trigger: str
    actor: str | None
    #: id of the run in which it was started
    parent: int | None
    attempt: int
    #: id of the first run of which this is a further attempt
    origin: int | None
    #: when it was due, if a schedule started it
    due_at: datetime | None
    labels: list[str]
    progress: float | None
    progress_total: float | None
    progress_message: str | None
    cancel_requested: bool
    #: who requested it, if known
    cancelled_by: str | None
    started_at: datetime
    ended_at: datetime | None
    #: seconds
    duration: float | None
    error_type: str | None
    error: str | None
    #: number of records
    record_count: int
    #: revision: the number of changes
    rev: int

    @classmethod
    def of(cls, run: Run) -> RunInfo:
        """Build it from a row of the store."""
        return cls(**_run_fields(run))


class RunGlance(BaseModel):
    """The part of a run that is shown as a bar in a chart of recent runs."""

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
        """Build it from *run*."""
        return cls(**_run_fields(run))


class RunDetail(RunInfo):
    """A run with all its details."""

    #: the process that held it last
    node: str
    #: commit of the git tree around its file, hash of the file, or both
    version: str | None
    arguments: Any
    result: Any
    traceback: str | None
    #: the first records, oldest first; read later ones with ``after``
    records: list[RecordInfo]

    @classmethod
    def whole(cls, run: Run, records: list[RecordRow]) -> RunDetail:
        """Build it from rows of the store."""
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
    """Exported lines."""

    #: each line is a JSON object
    lines: list[str] = Field(max_length=5000)


class Taken(BaseModel):
    """The result of an import."""

    #: number of rows that were new, or a later state of an existing row
    taken: int


class Keeping(BaseModel):
    """How long runs are kept after they ended; null means no limit."""

    #: days
    days: float | None
    #: days for failed, cancelled and interrupted runs, if longer
    failed_days: float | None
    #: number of newest runs to keep
    runs: int | None

    @classmethod
    def of(cls, keep: Keep) -> Keeping:
        """Build it from a rule of the store."""
        return cls(days=_finite(keep.days), failed_days=_finite(keep.failed_days), runs=keep.runs)


class DatabaseHealth(BaseModel):
    """The health of the database, as far as known."""

    #: degraded: it does not accept writes; damaged: it does, but part of it cannot be read
    state: Literal["ok", "degraded", "damaged"]
    #: what is wrong, and how to fix it
    reason: str | None
    fix: str | None
    #: since when
    since: datetime | None
    #: it recovers by itself when that is fixed; otherwise it has to be opened again
    passes: bool
    #: whether this process writes to it, or through its owner
    role: Role
    #: number of writes of this process that are waiting
    queued: int

    @classmethod
    def of(cls, store: Store) -> DatabaseHealth:
        """Build it from the state of *store*."""
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
    """The retention rules, and the content and size of the database."""

    #: the rule for runs without a specific rule
    general: Keeping
    #: maximum size of the database in bytes; null for any
    size: int | None
    operations: dict[str, Keeping]
    labels: dict[str, Keeping]
    #: bytes in use, free bytes of the file, bytes of the write-ahead log
    used: int
    free: int
    log: int
    run_count: int
    oldest_at: datetime | None
    #: number of runs erased since the database was created, and the time of the last erasure
    erased: int
    erased_at: datetime | None
    #: why the limits cannot be kept, as far as the responding process knows
    problem: str | None

    @classmethod
    def of(cls, retention: Retention, usage: Usage) -> RetentionInfo:
        """Build it from the rules and the usage of a store."""
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
