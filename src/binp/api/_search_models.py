"""The models of searches for runs, in requests and responses."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel, Field

from binp.store.contract import RunBucket, RunCounts, RunPage, RunQuery, State, as_datetime
from binp.store.query import parse

from ._models import RunInfo
from ._platform import MAX_INTEGER
from ._strict import Strict

__all__ = ["Bucket", "Facet", "RunChart", "RunChoice", "RunFilter", "RunList", "RunNumbers"]


class RunChoice(Strict):
    """Conditions for runs; all must hold."""

    q: str = Field("", description="query: timeout state:failed -label:test since:2h")
    operation: str | None = Field(None, description="exact name")
    state: list[State] = Field([], description="in one of these states")
    label: list[str] = Field([], description="with at least one of these labels")
    journaled: bool = Field(False, description="of journaled functions alone")
    parent: int | None = Field(None, ge=0, le=MAX_INTEGER, description="started inside of this run")

    def query(self) -> RunQuery:
        """The query for the store.

        Raises:
            BadQuery: ``q`` cannot be parsed.
        """
        return replace(
            parse(self.q),
            journaled=self.journaled,
            operation=self.operation,
            states=frozenset(self.state) or None,
            labels=tuple(self.label) or None,
            parent=self.parent,
        )


class RunFilter(RunChoice):
    """Conditions for runs, and which page of them to return."""

    before: int | None = Field(None, ge=0, le=MAX_INTEGER, description="older than this run")
    after: int | None = Field(None, ge=0, le=MAX_INTEGER, description="newer than this run: the oldest of them")
    limit: int = Field(20, ge=1, le=200)

    def query(self) -> RunQuery:
        """The query for the store.

        Raises:
            BadQuery: ``q`` cannot be parsed.
        """
        return replace(super().query(), before=self.before, after=self.after, limit=self.limit)


class RunList(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunInfo]
    #: there are, or may be, runs older than the last one
    has_more: bool
    #: there are, or may be, runs newer than the first one; only set for pages requested with ``after``
    has_newer: bool
    #: the search took too long and stopped at this id, before the page was full: continue before it, or after it
    stopped: int | None
    #: the time at which the search stopped; null if it did not
    stopped_at: datetime | None

    @classmethod
    def of(cls, page: RunPage) -> RunList:
        """Build it from a page of the store."""
        return cls(
            runs=[RunInfo.of(run) for run in page.runs],
            has_more=page.has_more,
            has_newer=page.has_newer,
            stopped=page.stopped,
            stopped_at=page.stopped_at,
        )


class RunChart(RunChoice):
    """Conditions for the runs to count, and the number of buckets."""

    buckets: int = Field(60, ge=1, le=200, description="at most so many parts of the time that is asked for")


class Bucket(BaseModel):
    """Number of runs created in a period of time, by their present state."""

    #: start of the period
    at: datetime
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    interrupted: int
    skipped: int

    @classmethod
    def of(cls, bucket: RunBucket) -> Bucket:
        """Build it from a bucket of the store."""
        return cls(at=as_datetime(bucket.at), **{state.value: bucket.states[state] for state in State})


class Facet(BaseModel):
    """Number of runs with an action or a state."""

    name: str
    count: int


class RunNumbers(BaseModel):
    """Number of runs that match all given conditions."""

    #: all buckets up to now, oldest first
    buckets: list[Bucket]
    #: length of each bucket
    seconds: int
    #: most frequent first, at most 100; includes journals and services
    actions: list[Facet]
    states: list[Facet]
    total: int
    #: false: counting took too long, and there may be more runs before ``stopped_at``
    is_complete: bool
    stopped_at: datetime | None

    @classmethod
    def of(cls, counts: RunCounts) -> RunNumbers:
        """Build it from counts of the store."""
        return cls(
            buckets=[Bucket.of(bucket) for bucket in counts.buckets],
            seconds=counts.seconds,
            actions=[Facet(name=name, count=runs) for name, runs in counts.operations],
            states=[Facet(name=state.value, count=runs) for state, runs in counts.states],
            total=sum(runs for _, runs in counts.states),
            is_complete=counts.stopped_at is None,
            stopped_at=counts.stopped_at,
        )
