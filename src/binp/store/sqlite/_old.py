"""Find the runs to erase, page by page, oldest first."""

from __future__ import annotations

import functools
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from binp.store.contract import Keep, Retention, RunQuery, State

from ._clock import wall_clock
from ._ids import EPOCH
from ._open_run import state_of
from ._scratch import Scratch
from ._search import Budget, Everything, Indexed, Looker, Source, Span
from ._statements import arranged, statements
from ._wanted import Lookup, wanted_of

__all__ = ["Finder", "Population", "moment"]

#: microseconds
_DAY = 86_400_000_000

#: runs per page
_PAGE = 500
#: maximum CPU seconds, and maximum seconds in all, per page
_WORK, _PATIENCE = 0.05, 1.0
#: the largest integer of SQLite
_LAST = 2**63 - 1

_FAILED = frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED})


@dataclass(slots=True)
class Population:
    """The runs to which one rule applies."""

    keep: Keep
    #: the query that finds them; None for all runs
    query: RunQuery | None
    #: JSON: ids of operations, and labels, with rules that take precedence
    operations: str
    labels: str
    #: every run up to this one was checked; what is left of them stays for now
    floor: int = -1
    #: how many there are, counted up to the run `counted`
    number: int = 0
    counted: int = -1


class Finder:
    """Reads which runs there are.

    Args:
        connection: A reading connection.
        go_on: Called regularly; may raise an exception to end long work.
    """

    def __init__(self, connection: sqlite3.Connection, go_on: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._go_on = go_on
        self._sql = statements()
        self._scratch: Scratch | None = None

    def close(self) -> None:
        """Release everything except the connection."""
        if self._scratch is not None:
            self._scratch.close()

    def plan(self, retention: Retention) -> list[Population]:
        """The populations for *retention*, the general one last. Names without runs are left out."""
        general = retention.general
        labels = [(keep.within(general), text) for text, keep in retention.labels.items()]
        found: list[Population] = []
        stronger: list[str] = []
        # of several label rules that apply to a run, the one that keeps longest takes precedence
        for keep, label in sorted(labels, key=_length, reverse=True):
            if self._id("find_label", label) is not None:
                found.append(Population(keep, RunQuery(labels=(label,)), "[]", _json(stronger)))
                stronger.append(label)
        known: list[int] = []
        for name, keep in retention.operations.items():
            operation = self._id("find_name", name)
            if operation is not None:
                known.append(operation)
                found.append(Population(keep.within(general), RunQuery(operation=name), "[]", _json(stronger)))
        return [*found, Population(general, None, _json(known), _json(stronger))]

    def number(self, population: Population) -> int:
        """The number of runs of *population*. If they have to be counted, only new ones are."""
        if population.query is None:
            (population.number,) = self.ask("count_all").fetchone()
            return population.number
        (newest,) = self.ask("newest_run").fetchone()
        after: int | None = population.counted
        while after is not None:
            page, after = self._page(population.query, after)
            population.number += sum(run <= (newest or 0) for run in page)
        population.counted = max(population.counted, newest or 0)
        return population.number

    def surplus(self, population: Population) -> int:
        """By how many runs *population* exceeds its limit."""
        most = population.keep.runs
        return 0 if most is None else max(0, self.number(population) - most)

    def victims(self, population: Population, surplus: int) -> Iterator[tuple[int, int]]:
        """The runs of *population* that are too old, and the *surplus* oldest ones, with the numbers of their records.

        They may be erased during the iteration.
        """
        keep = population.keep
        old = moment(keep.days)
        failed = old if keep.failed_days is None else min(old, moment(keep.failed_days))
        newest = _id_of(old)
        while surplus > 0 or population.floor < newest:
            page, reached = self._page(population.query, population.floor)
            for run, code, ended, records in self._ended(page, population):
                if surplus > 0 or ended < (failed if state_of(code) in _FAILED else old):
                    surplus -= 1
                    yield run, records
            end = max([population.floor, *page[-1:]]) if reached is None else reached
            # runs that are not old enough yet have to be checked again later
            population.floor = end if surplus > 0 else min(end, max(population.floor, newest))
            if reached is None:
                return

    def size(self) -> tuple[int, int, int]:
        """Bytes in use, number of free pages, and size of a page in bytes."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return (pages - free) * size, free, size

    def ask(
        self, name: str, parameters: Any = (), *, ascending: bool = False, part: int | None = None
    ) -> sqlite3.Cursor:
        """Execute the statement *name*."""
        return self._connection.execute(arranged(self._sql[name], ascending, part), parameters)

    def _page(self, query: RunQuery | None, after: int) -> tuple[list[int], int | None]:
        """Some runs after *after*, oldest first, and up to where the list is complete; None: to the end."""
        self._go_on()
        source = self._source(query)
        if source is None:
            return [], None
        # a transaction, so that the index is not reorganised meanwhile
        self._connection.execute("BEGIN")
        try:
            return source().step(Span(after, _LAST, ascending=True), _PAGE)
        finally:
            self._connection.execute("COMMIT")

    def _source(self, query: RunQuery | None) -> Callable[[], Source] | None:
        if query is None:
            return lambda: Everything(self.ask)
        scratch = self._scratch = self._scratch or Scratch()
        find_name, find_label = (functools.partial(self._id, name) for name in ("find_name", "find_label"))
        wanted = wanted_of(query, Lookup(find_name, find_label, scratch.words))
        if wanted.is_impossible:
            return None
        budget = Budget(_WORK, _PATIENCE)
        return lambda: Indexed(self.ask, wanted, Looker(self.ask, scratch, wanted), budget)

    def _ended(self, page: list[int], population: Population) -> list[tuple[int, int, int, int]]:
        given = {"runs": _json(page), "operations": population.operations, "labels": population.labels}
        return self.ask("find_ended", given).fetchall()

    def _id(self, statement: str, text: str) -> int | None:
        row = self.ask(statement, (text,)).fetchone()
        return None if row is None else int(row[0])


def moment(days: float | None) -> int:
    """The time *days* ago; 0 if there is no limit."""
    return 0 if days is None or math.isinf(days) else max(0, wall_clock() - int(days * _DAY))


def _id_of(at: int) -> int:
    """An id of a run created at that time."""
    return max(0, at // 1000 - EPOCH) << 12


def _length(rule: tuple[Keep, str]) -> float:
    days = rule[0].days
    return math.inf if days is None else days


def _json(values: Sequence[int | str]) -> str:
    return orjson.dumps(values).decode()
