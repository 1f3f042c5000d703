"""What is asked of the history of runs over the wire, and what is found."""

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
    """Which runs are meant: all given conditions hold."""

    q: str = Field("", description="query: timeout state:failed -label:test since:2h")
    operation: str | None = Field(None, description="exact name")
    state: list[State] = Field([], description="in one of these states")
    label: list[str] = Field([], description="with at least one of these labels")
    journaled: bool = Field(False, description="of journaled functions alone")
    parent: int | None = Field(None, ge=0, le=MAX_INTEGER, description="started inside of this run")

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
        )


class RunFilter(RunChoice):
    """Which runs are wanted, and which page of them."""

    before: int | None = Field(None, ge=0, le=MAX_INTEGER, description="older than this run")
    after: int | None = Field(None, ge=0, le=MAX_INTEGER, description="newer than this run: the oldest of them")
    limit: int = Field(20, ge=1, le=200)

    def query(self) -> RunQuery:
        """What a store is asked for.

        Raises:
            BadQuery: ``q`` cannot be understood.
        """
        return replace(super().query(), before=self.before, after=self.after, limit=self.limit)


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


class RunChart(RunChoice):
    """Which runs are counted, and how finely."""

    buckets: int = Field(60, ge=1, le=200, description="at most so many parts of the time that is asked for")


class Bucket(BaseModel):
    """How many runs came into being within some time, by the state that they are in."""

    #: when it begins
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
        """From the bucket of a store."""
        return cls(at=as_datetime(bucket.at), **{state.value: bucket.states[state] for state in State})


class Facet(BaseModel):
    """How many of the runs have this action, or this state."""

    name: str
    count: int


class RunNumbers(BaseModel):
    """How many runs there are for which all given conditions hold."""

    #: all of them, the oldest first, up to now
    buckets: list[Bucket]
    #: how long each bucket is
    seconds: int
    #: the most frequent first, at most 100; journals and services as well
    actions: list[Facet]
    states: list[Facet]
    total: int
    #: nothing is missing; otherwise counting took too long, and there may be more than this up to ``stopped_at``
    is_complete: bool
    stopped_at: datetime | None

    @classmethod
    def of(cls, counts: RunCounts) -> RunNumbers:
        """From the counts of a store."""
        return cls(
            buckets=[Bucket.of(bucket) for bucket in counts.buckets],
            seconds=counts.seconds,
            actions=[Facet(name=name, count=runs) for name, runs in counts.operations],
            states=[Facet(name=state.value, count=runs) for state, runs in counts.states],
            total=sum(runs for _, runs in counts.states),
            is_complete=counts.stopped_at is None,
            stopped_at=counts.stopped_at,
        )
