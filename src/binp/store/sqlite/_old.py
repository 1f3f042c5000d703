"""Find the runs that are not to be kept any longer, page by page, the oldest first."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from binp.store.contract import Keep, Retention, State

from ._ids import EPOCH
from ._open_run import STATES
from ._statements import statements

__all__ = ["Finder", "Population", "moment"]

#: microseconds
_DAY = 86_400_000_000

#: runs that are looked at together
_PAGE = 500

_FAILED = frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED})


@dataclass(slots=True)
class Population:
    """The runs that one rule is for."""

    keep: Keep
    #: statement that pages through them, and the one that counts them
    page: str
    count: str
    #: id of the operation or the label; None for all runs
    of: int | None
    #: JSON: ids of operations and labels that have rules of their own, which win
    operations: str
    labels: str
    #: everything up to this run was looked at; what is left of it stays for now
    floor: int = -1
    #: how many there are, counted up to this run
    number: int = 0
    counted: int = -1


class Finder:
    """Reads what there is.

    Args:
        connection: One that reads.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = statements()

    def plan(self, retention: Retention) -> list[Population]:
        """The populations of *retention*, the general one last. Names that no run has are left out."""
        general = retention.general
        labels = [(keep.within(general), self._id("find_label", text)) for text, keep in retention.labels.items()]
        found: list[Population] = []
        stronger: list[int] = []
        # of the rules for several labels of a run that one counts which keeps longest
        for keep, label in sorted(labels, key=_length, reverse=True):
            if label is not None:
                found.append(Population(keep, "page_of_label", "count_label", label, "[]", _json(stronger)))
                stronger.append(label)
        known: list[int] = []
        for name, keep in retention.operations.items():
            operation = self._id("find_name", name)
            if operation is not None:
                known.append(operation)
                filled = keep.within(general)
                found.append(
                    Population(filled, "page_of_operation", "count_operation", operation, "[]", _json(stronger))
                )
        return [*found, Population(general, "page_of_all", "count_all", None, _json(known), _json(stronger))]

    def number(self, population: Population) -> int:
        """How many runs *population* has. Only what came since the last time is counted."""
        (newest,) = self.ask("newest_run").fetchone()
        (new,) = self.ask(population.count, _behind(population.counted, population.of)).fetchone()
        population.number += new
        population.counted = max(population.counted, newest or 0)
        return population.number

    def surplus(self, population: Population) -> int:
        """How many runs *population* has too many."""
        most = population.keep.runs
        return 0 if most is None else max(0, self.number(population) - most)

    def victims(self, population: Population, surplus: int) -> Iterator[tuple[int, int]]:
        """The runs of *population* that are too old, and the oldest *surplus* ones; with the number of their records.

        They may be erased while this goes on.
        """
        keep = population.keep
        old = moment(keep.days)
        failed = old if keep.failed_days is None else min(old, moment(keep.failed_days))
        newest = _id_of(old)
        while surplus > 0 or population.floor < newest:
            page = [run for (run,) in self.ask(population.page, _behind(population.floor, population.of))]
            for run, code, ended, records in self._ended(page, population):
                if surplus > 0 or ended < (failed if STATES[code] in _FAILED else old):
                    surplus -= 1
                    yield run, records
            if not page:
                return
            # one that is not old enough yet will be
            population.floor = page[-1] if surplus > 0 else min(page[-1], max(population.floor, newest))

    def size(self) -> tuple[int, int, int]:
        """Bytes in use, free pages, and bytes of a page."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return (pages - free) * size, free, size

    def ask(self, name: str, parameters: Mapping[str, Any] | tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Execute the statement *name*."""
        return self._connection.execute(self._sql[name], parameters)

    def _ended(self, page: list[int], population: Population) -> list[tuple[int, int, int, int]]:
        given = {"runs": _json(page), "operations": population.operations, "labels": population.labels}
        return self.ask("find_ended", given).fetchall()

    def _id(self, statement: str, text: str) -> int | None:
        row = self.ask(statement, (text,)).fetchone()
        return None if row is None else int(row[0])


def moment(days: float | None) -> int:
    """So many days ago; the beginning of time if there is no such limit."""
    return 0 if days is None or math.isinf(days) else max(0, time.time_ns() // 1000 - int(days * _DAY))


def _id_of(at: int) -> int:
    """An id of a run from that moment."""
    return max(0, at // 1000 - EPOCH) << 12


def _behind(run: int, of: int | None) -> dict[str, Any]:
    """What the statements about a population are asked with: what is behind *run*."""
    # without an upper bound SQLite chooses another index
    return {"after": run, "before": 2**63 - 1, "of": of, "most": _PAGE}


def _length(rule: tuple[Keep, int | None]) -> float:
    days = rule[0].days
    return math.inf if days is None else days


def _json(ids: list[int]) -> str:
    return orjson.dumps(ids).decode()
