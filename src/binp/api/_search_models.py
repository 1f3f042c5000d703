"""What is asked of the history of runs over the wire, and what is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from binp.store.contract import RunPage, RunQuery, State
from binp.store.query import parse

from ._models import RunInfo
from ._platform import MAX_INTEGER

__all__ = ["RunFilter", "RunList"]


class RunFilter(BaseModel):
    """Which runs are wanted: all given conditions hold."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field("", description="query: timeout state:failed -label:test since:2h")
    operation: str | None = Field(None, description="exact name")
    state: list[State] = Field([], description="in one of these states")
    label: list[str] = Field([], description="with at least one of these labels")
    journaled: bool = Field(False, description="of journaled functions alone")
    parent: int | None = Field(None, ge=0, le=MAX_INTEGER, description="started inside of this run")
    before: int | None = Field(None, ge=0, le=MAX_INTEGER, description="older than this run")
    after: int | None = Field(None, ge=0, le=MAX_INTEGER, description="newer than this run: the oldest of them")
    limit: int = Field(20, ge=1, le=200)

    def query(self) -> RunQuery:
        """What a store is asked for.

        Raises:
            BadQuery: ``q`` cannot be understood.
        """
        return replace(
            parse(self.q),
            journaled=self.journaled,
            operation=self.operation,
            states=frozenset(self.state) or None,
            labels=tuple(self.label) or None,
            parent=self.parent,
            before=self.before,
            after=self.after,
            limit=self.limit,
        )


class RunList(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunInfo]
    #: there are older ones than the last, or there may be
    has_more: bool
    #: there are newer ones than the first, or there may be; only said of a page that was asked for with ``after``
    has_newer: bool
    #: the search took too long and stopped at this id before the page was full: go on before it, or after it
    stopped: int | None
    #: the moment up to which it looked; None if it did not stop
    stopped_at: datetime | None

    @classmethod
    def of(cls, page: RunPage) -> RunList:
        """From the page of a store."""
        return cls(
            runs=[RunInfo.of(run) for run in page.runs],
            has_more=page.has_more,
            has_newer=page.has_newer,
            stopped=page.stopped,
            stopped_at=page.stopped_at,
        )
