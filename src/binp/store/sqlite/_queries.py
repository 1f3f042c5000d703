"""Read runs, records, keys and services from the file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from binp.store.contract import (
    OnceRow,
    RecordRow,
    Run,
    RunCounts,
    RunPage,
    RunQuery,
    ScheduleRow,
    ServiceRow,
    StepRow,
    Usage,
    as_datetime,
)

from ._connect import connect_reader
from ._counts import Scale, Tally, Totals, count_each, is_tallied
from ._ids import first_id, made_at
from ._key_reads import KeyReads
from ._open_run import state_of
from ._scratch import Scratch
from ._search import Budget, Children, Everything, Indexed, Looker, Source, Span, collect
from ._statements import arranged, statements
from ._text import clean_name
from ._usage import read_usage
from ._wanted import Lookup, wanted_of

__all__ = ["Reader"]

#: the largest integer of SQLite
_LAST = 2**63 - 1

#: maximum CPU seconds, and maximum seconds in all, after which a search stops and reports how far it got
_WORK, _PATIENCE = 0.05, 1.0
#: the same for each part of a count: precomputed, and not
_COUNTING = 0.1

#: number of runs with a label above which checking single runs is faster than scanning the label's list
_COMMON = 20_000

#: maximum number of runs per page
_MOST_RUNS = 200
#: maximum number of buckets of a chart
_MOST_BUCKETS = 200
#: resolution of the tally, in microseconds
_HOUR = 3_600_000_000
#: maximum number of records in one answer
_MOST_RECORDS = 10_000


class Reader:
    """A reading connection, used by one thread at a time. Errors of SQLite are not translated here.

    Args:
        path: The database file.
        clock: Returns microseconds since the epoch.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._sql = statements()
        self._scratch: Scratch | None = None
        self.connection = connect_reader(path)
        self.keys = KeyReads(self._ask, self.connection.cursor(), clock)

    def close(self) -> None:
        """Close the connection."""
        if self._scratch is not None:
            self._scratch.close()
        self.connection.close()

    def get_once(self, key: str) -> OnceRow | None:
        """The first use of the idempotency key *key*; None if it was not used."""
        row = self._ask("get_once", (clean_name(key),)).fetchone()
        return None if row is None else OnceRow(at=row[0], run=row[1])

    def get_orphans(self, limit: int) -> list[int]:
        """Queued runs whose process is gone, oldest first."""
        return [row[0] for row in self._ask("get_orphans", (_bounded(limit),))]

    def get_steps(self, origin: int) -> list[StepRow]:
        """The completed steps of a run and its further attempts, by name."""
        rows = self._ask("get_steps", (_bounded(origin),))
        return [StepRow(name=name, result=result, run=run, at=at) for name, result, run, at in rows]

    def get_slot(self, slot: str) -> list[int]:
        """The queued and running runs of *slot*, oldest first."""
        return sorted(row[0] for row in self._ask("get_slot", (clean_name(slot),)))

    def newest_run(self) -> int:
        """The largest id of a run; 0 if there is none."""
        return self._ask("newest_run").fetchone()[0] or 0

    def get_run(self, run: int) -> Run | None:
        """One run, or None."""
        return next(iter(self._runs([run])), None) if 0 <= run <= _LAST else None

    def get_records(self, run: int, after: int, before: int | None, newest: bool, limit: int) -> list[RecordRow]:
        """Records of a run between two numbers."""
        parameters = {
            "run": _bounded(run),
            "after": _bounded(after),
            "before": _LAST if before is None else _bounded(before),
            "limit": _within(limit, _MOST_RECORDS),
        }
        return [_record(row) for row in self._ask("get_records", parameters, ascending=not newest)]

    def get_schedules(self) -> list[ScheduleRow]:
        """All schedules by name."""
        return [
            ScheduleRow(
                name=name,
                spec=spec,
                until=until,
                paused=bool(paused),
                paused_by=paused_by,
                paused_at=paused_at,
                updated=updated,
            )
            for name, spec, until, paused, paused_by, paused_at, updated in self._ask("get_schedules")
        ]

    def get_services(self) -> list[ServiceRow]:
        """All services."""
        return [
            ServiceRow(
                name=name,
                desired=None if desired is None else bool(desired),
                desired_at=desired_at,
                wish=wish,
                before=before,
                status=status,
                obeyed=obeyed,
                node=node,
                updated=updated,
            )
            for name, desired, desired_at, wish, before, status, obeyed, node, updated in self._ask("get_services")
        ]

    def get_usage(self) -> Usage:
        """The content and size of the file."""
        return read_usage(self.connection, self._path)

    def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs, newest first."""
        # a transaction, so that each run is shown in the state in which it was found
        with self._still():
            return self._page(query)

    def count_runs(self, query: RunQuery, buckets: int) -> RunCounts:
        """How many runs match, in up to *buckets* periods of time."""
        with self._still():
            return self._count(replace(query, before=None, after=None), buckets)

    def _count(self, query: RunQuery, buckets: int) -> RunCounts:
        oldest = self._ask("oldest_id").fetchone()[0]
        newest = max(self._clock(), made_at(self.newest_run())) + 1
        start = made_at(oldest or 0) if query.since is None else max(query.since, made_at(0))
        scale = Scale.of(
            newest - 1 if oldest is None and query.since is None else start,
            newest if query.until is None else min(query.until, newest),
            max(1, min(buckets, _MOST_BUCKETS)),
        )
        totals, span = Totals(scale), _span(query)
        if is_tallied(query):
            tally = Tally(self._ask, query, self._name)
            # a single bucket contains everything, however narrow it is
            is_wide = scale.width >= _HOUR or scale.number == 1
            if is_wide and tally.count(span, query, totals, _share):
                return totals.result(self._names)
        budget = _share()
        source = self._source(query, budget)
        if source is not None:
            count_each(self._ask, source, span, totals, budget)
        return totals.result(self._names)

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """A read transaction: a consistent snapshot."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("COMMIT")

    def _page(self, query: RunQuery) -> RunPage:
        limit, skip = _within(query.limit, _MOST_RUNS), max(0, _bounded(query.offset))
        budget = Budget(_WORK, _PATIENCE)
        source = self._source(query, budget)
        if source is None:
            return RunPage(runs=(), has_more=False)
        span = _span(query)
        found = collect(source, span, skip, limit + 1, budget)
        ids, is_partial = found.ids[:limit], found.stopped is not None
        has_further = len(found.ids) > limit
        has_more = is_partial or has_further
        if span.ascending:
            ids.reverse()
            has_more = bool(ids) and self._has_older_than(query, ids[-1])
        return RunPage(
            runs=tuple(self._runs(ids)),
            has_more=has_more,
            has_newer=span.ascending and (has_further or is_partial),
            stopped=found.stopped,
            stopped_at=None if found.stopped is None else as_datetime(made_at(found.stopped)),
            skipped=found.skipped,
        )

    def _has_older_than(self, query: RunQuery, run: int) -> bool:
        budget = Budget(_WORK, _PATIENCE)
        source = self._source(query, budget)
        if source is None:
            return False
        found = collect(source, _span(replace(query, after=None, before=run)), 0, 1, budget)
        return bool(found.ids) or found.stopped is not None

    def _source(self, query: RunQuery, budget: Budget) -> Source | None:
        """The source of matching ids; None if nothing can match."""
        if self._scratch is None:
            self._scratch = Scratch()
        wanted = wanted_of(query, Lookup(self._name, self._label, self._scratch.words, self._is_common))
        if wanted.is_impossible:
            return None
        if wanted.is_everything:
            return Everything(self._ask)
        looker = Looker(self._ask, self._scratch, wanted)
        if query.parent is not None:
            return Children(self._ask, query.parent, looker)
        return Indexed(self._ask, wanted, looker, budget)

    def _name(self, text: str) -> int | None:
        row = self._ask("find_name", (clean_name(text),)).fetchone()
        return None if row is None else row[0]

    def _names(self, ids: Collection[int]) -> dict[int, str]:
        return dict(self._ask("get_names", (orjson.dumps(list(ids)).decode(),)).fetchall())

    def _label(self, text: str) -> int | None:
        row = self._ask("find_label", (clean_name(text),)).fetchone()
        return None if row is None else row[0]

    def _is_common(self, label: str) -> bool:
        row = self._ask("find_label", (clean_name(label),)).fetchone()
        return row is not None and row[1] >= _COMMON

    def _runs(self, ids: list[int]) -> list[Run]:
        found = {row[0]: _run(row) for row in self._ask("get_runs", (orjson.dumps(ids).decode(),))}
        return [found[id] for id in ids if id in found]  # noqa: A001 - the name of the column

    def _ask(
        self, name: str, parameters: Any = (), *, ascending: bool = False, part: int | None = None
    ) -> sqlite3.Cursor:
        return self.connection.execute(arranged(self._sql[name], ascending, part), parameters)


def _share() -> Budget:
    return Budget(_COUNTING, _PATIENCE)


def _span(query: RunQuery) -> Span:
    """The range of ids for the query."""
    before = _LAST if query.before is None else query.before
    after = -1 if query.after is None else query.after
    if query.since is not None:
        after = max(after, first_id(query.since) - 1)
    if query.until is not None:
        # ids have a resolution of milliseconds: include the last one completely
        before = min(before, first_id(query.until + 999))
    return Span(max(-1, _bounded(after)), _bounded(before), ascending=query.after is not None)


def _run(row: tuple[Any, ...]) -> Run:
    return Run(
        id=row[0],
        operation=row[1],
        journal=row[2],
        description=row[3],
        state=state_of(row[4]),
        trigger=row[5],
        actor=row[6],
        parent=row[7],
        attempt=row[8],
        epoch=row[9],
        node=row[10],
        version=row[11],
        arguments=row[12],
        result=row[13],
        error_type=row[14],
        error=row[15],
        traceback=row[16],
        labels=tuple(orjson.loads(row[17])) if row[17] else (),
        progress=row[18],
        progress_total=row[19],
        progress_message=row[20],
        cancel_requested=row[21] is not None,
        started=row[22],
        ended=row[23],
        duration=row[24],
        records=row[25],
        rev=row[26],
        due=row[27],
        origin=row[28],
        cancelled_by=row[29],
    )


def _record(row: tuple[Any, ...]) -> RecordRow:
    run, seq, at, level, source, message, fields = row
    return RecordRow(run=run, seq=seq, at=at, level=level, source=source, message=message, fields=fields)


def _bounded(number: int) -> int:
    """*number* within the range of SQLite; there are no rows beyond it."""
    return max(-_LAST, min(number, _LAST))


def _within(limit: int, most: int) -> int:
    return max(0, min(limit, most))
