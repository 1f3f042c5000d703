"""Read runs, records, keys and services from the file."""

from __future__ import annotations

import contextlib
import heapq
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from binp.store.contract import RecordRow, Run, RunPage, RunQuery, ScheduleRow, ServiceRow, StepRow, Usage

from ._connect import connect_reader, explain
from ._key_reads import KeyReads
from ._open_run import CODES, STATES
from ._statements import statements
from ._text import clean_name
from ._usage import read_usage

__all__ = ["Reader"]

#: the largest integer of SQLite
_LAST = 2**63 - 1

#: runs on a page
_MOST_RUNS = 200
#: records in one answer
_MOST_RECORDS = 10_000


class Reader:
    """A connection that reads. Used by one thread at a time.

    Args:
        path: The database file.
        clock: Microseconds since the epoch.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._sql = statements()
        self.connection = connect_reader(path)
        self.keys = KeyReads(self._ask, self.connection.cursor(), clock)

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def get_once(self, key: str) -> int | None:
        """The run that was begun with *key*, or None."""
        row = self._ask("get_once", (clean_name(key),)).fetchone()
        return None if row is None else row[0]

    def get_orphans(self, limit: int) -> list[int]:
        """Runs that wait although the process that queued them is gone, oldest first."""
        return [row[0] for row in self._ask("get_orphans", (_bounded(limit),))]

    def get_steps(self, origin: int) -> list[StepRow]:
        """The steps that are done of a run and its further attempts, by name."""
        rows = self._ask("get_steps", (_bounded(origin),))
        return [StepRow(name=name, result=result, run=run, at=at) for name, result, run, at in rows]

    def get_slot(self, slot: str) -> list[int]:
        """The runs that are running in *slot*, oldest first."""
        return [row[0] for row in self._ask("get_slot", (clean_name(slot),))]

    def newest_run(self) -> int:
        """The largest id of a run, 0 if there is none."""
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
        """Every service."""
        return [
            ServiceRow(
                name=name,
                desired=None if desired is None else bool(desired),
                desired_at=desired_at,
                status=status,
                node=node,
                updated=updated,
            )
            for name, desired, desired_at, status, node, updated in self._ask("get_services")
        ]

    def get_usage(self) -> Usage:
        """What the file holds and takes up."""
        return read_usage(self.connection, self._path)

    def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs, newest first."""
        limit = _within(query.limit, _MOST_RUNS)
        # one transaction, so that a run is shown in the state that it was found by
        self.connection.execute("BEGIN")
        try:
            walk = _Walk(self, query)
            if query.after is None:
                ids = walk.take(limit + 1)
                has_more, ids = len(ids) > limit, ids[:limit]
            else:
                ids = walk.take(limit, ascending=True)[::-1]
                has_more = bool(ids) and walk.has_older_than(ids[-1])
            return RunPage(runs=tuple(self._runs(ids)), has_more=has_more)
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("COMMIT")

    def _runs(self, ids: list[int]) -> list[Run]:
        found = {row[0]: _run(row) for row in self._ask("get_runs", (orjson.dumps(ids).decode(),))}
        return [found[id] for id in ids if id in found]  # noqa: A001 - the name of the column

    def _ask(self, name: str, parameters: Any = (), *, ascending: bool = False) -> sqlite3.Cursor:
        sql = self._sql[name]
        try:
            return self.connection.execute(sql.replace("DESC", "ASC") if ascending else sql, parameters)
        except sqlite3.Error as error:
            raise explain(error, self._path) from error


class _Walk:
    """Find ids by walking along the index that knows most of a query; what is left of it is looked at row by row."""

    def __init__(self, reader: Reader, query: RunQuery) -> None:
        self._reader = reader
        self._query = query
        codes = [CODES[state] for state in STATES if query.states is None or state in query.states]
        operation, journal = self._name(query.operation), self._name(query.journal)
        found = [self._name(label, "find_label") for label in dict.fromkeys(query.labels or ())]
        self._labels = [label for label in found if label is not None]
        # a state that is none, or a name that was never used
        self._is_empty = (
            not codes
            or (query.operation is not None and operation is None)
            or (query.journal is not None and journal is None)
            or (bool(found) and not self._labels)
        )
        self._parameters: dict[str, Any] = {
            "operation": operation,
            "journal": journal,
            "journaled": query.journaled or query.journal is not None,
            "parent": None if query.parent is None else _bounded(query.parent),
            "states": sum(1 << code for code in codes),
            **{f"s{code}": code if code in codes else None for code in range(len(STATES))},
        }

    def take(self, limit: int, *, ascending: bool = False) -> list[int]:
        """Up to *limit* ids, newest first, or oldest first."""
        before = _LAST if self._query.before is None else _bounded(self._query.before)
        after = -1 if self._query.after is None else _bounded(self._query.after)
        return self._between(before, after, _bounded(self._query.offset), limit, ascending)

    def has_older_than(self, id: int) -> bool:  # noqa: A002 - the id of a run is called so everywhere
        """Whether any run of the query is older than *id*."""
        return bool(self._between(id, -1, 0, 1, ascending=False))

    def _between(self, before: int, after: int, offset: int, limit: int, ascending: bool) -> list[int]:
        if self._is_empty:
            return []
        bounds = {"before": before, "after": after, "offset": offset, "limit": limit}
        parameters = self._parameters | bounds
        if not self._labels and parameters["parent"] is None:
            return [row[0] for row in self._ask(self._driver(), parameters, ascending=ascending)]
        if not self._labels:
            walks = [self._ids("walk_parent", parameters, ascending)]
        else:
            name = "walk_label_fitting" if self._has_conditions() else "walk_label"
            walks = [self._ids(name, parameters | {"label": label}, ascending) for label in self._labels]
        return _merge(walks, offset, limit, ascending)

    def _driver(self) -> str:
        query = self._query
        journaled = query.journaled or query.journal is not None
        if query.operation is not None:
            return "walk_operation_journal" if journaled else "walk_operation"
        if query.journal is not None:
            return "walk_journal"
        if journaled:
            return "walk_journaled"
        return "walk_all" if query.states is None else "walk_states"

    def _has_conditions(self) -> bool:
        query = self._query
        wanted = (query.states, query.operation, query.journal, query.parent)
        return query.journaled or any(condition is not None for condition in wanted)

    def _name(self, text: str | None, statement: str = "find_name") -> int | None:
        if text is None:
            return None
        row = self._ask(statement, (clean_name(text),)).fetchone()
        return None if row is None else int(row[0])

    def _ids(self, name: str, parameters: dict[str, Any], ascending: bool) -> Iterator[int]:
        return (row[0] for row in self._ask(name, parameters, ascending=ascending))

    def _ask(self, name: str, parameters: Any, *, ascending: bool = False) -> sqlite3.Cursor:
        return self._reader._ask(name, parameters, ascending=ascending)  # noqa: SLF001 - a part of the reader


def _merge(walks: list[Iterator[int]], offset: int, limit: int, ascending: bool) -> list[int]:
    """The ids of several walks in one order, each once."""
    found: list[int] = []
    last = None
    for id in heapq.merge(*walks, reverse=not ascending):  # noqa: A001 - the name of the column
        if id == last:
            continue
        last = id
        if offset:
            offset -= 1
        elif len(found) < limit:
            found.append(id)
        if len(found) >= limit:
            break
    return found


def _run(row: tuple[Any, ...]) -> Run:
    return Run(
        id=row[0],
        operation=row[1],
        journal=row[2],
        description=row[3],
        state=STATES[row[4]],
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
    )


def _record(row: tuple[Any, ...]) -> RecordRow:
    run, seq, at, level, source, message, fields = row
    return RecordRow(run=run, seq=seq, at=at, level=level, source=source, message=message, fields=fields)


def _bounded(number: int) -> int:
    """A number as SQLite can hold it; beyond that there is nothing to find."""
    return max(-_LAST, min(number, _LAST))


def _within(limit: int, most: int) -> int:
    return max(0, min(limit, most))
