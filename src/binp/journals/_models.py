"""The public models of a journaled run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from binp.store.contract import RecordRow, Run, State

__all__ = ["Headline", "Journal", "Record"]


class Record(BaseModel):
    """A record that a function added to its run."""

    message: str
    created_at: datetime
    params: dict[str, Any]

    @classmethod
    def of(cls, row: RecordRow) -> Record:
        """Build it from a row of the store."""
        return cls(message=row.message, created_at=row.created_at, params=json.loads(row.fields) if row.fields else {})


class Headline(BaseModel):
    """A run of a journaled function, without its records."""

    id: int
    operation: str
    description: str
    started_at: datetime
    labels: list[str]
    state: State
    finished_at: datetime | None = None
    error: str | None = None
    #: seconds
    duration: float | None = None

    @classmethod
    def of(cls, run: Run) -> Headline:
        """Build it from a row of the store."""
        return cls(**_fields(run))


class Journal(Headline):
    """A run of a journaled function with its records, newest first."""

    records: list[Record]

    @classmethod
    def whole(cls, run: Run, records: Iterable[RecordRow]) -> Journal:
        """Build it from rows of the store."""
        return cls(**_fields(run), records=[Record.of(row) for row in records])


def _fields(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "operation": run.journal or run.operation,
        "description": run.description,
        "started_at": run.started_at,
        "labels": list(run.labels),
        "state": run.state,
        "finished_at": run.ended_at,
        # this model knows only success and failure, and a skipped run has not failed
        "error": None if run.state is State.SKIPPED else run.error,
        "duration": None if run.duration is None else run.duration / 1e6,
    }
