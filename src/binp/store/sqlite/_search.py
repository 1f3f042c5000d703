"""Find the runs that match a query: in the index, and among those not indexed yet, in bounded steps."""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ._scratch import Scratch
from ._wanted import Wanted

__all__ = [
    "Ask",
    "Budget",
    "Children",
    "Everything",
    "Found",
    "Fresh",
    "Indexed",
    "Looker",
    "Source",
    "Span",
    "collect",
]

#: number of runs to check one by one per step, at first and at most
_LOOKED, _MOST_LOOKED = 32, 256
#: number of candidates in a part of the index up to which checking them is faster than intersecting with a common label
_FEW = 3
#: number of consecutive parts with more candidates, after which this is not tried again
_DETOURS = 3
#: minimum and maximum number of ids per step
_LEAST, _MANY = 64, 10_000

Ask = Callable[..., sqlite3.Cursor]


@dataclass(frozen=True, slots=True)
class Span:
    """A range of ids, and the direction in which to go through it."""

    after: int
    before: int
    ascending: bool = False

    def from_(self, position: int) -> Span:
        """The rest of it after everything up to *position* was checked."""
        if self.ascending:
            return Span(position, self.before, ascending=True)
        return Span(self.after, position)

    def to(self, position: int | None) -> Span:
        """The part of it up to *position*, inclusive."""
        if position is None:
            return self
        if self.ascending:
            return Span(self.after, position + 1, ascending=True)
        return Span(position - 1, self.before)


class Budget:
    """The time that a query may take. Waiting, above all for the CPU, does not count as work.

    Args:
        work: Maximum CPU seconds.
        patience: Maximum seconds in all.
    """

    def __init__(self, work: float, patience: float) -> None:
        self._work = time.thread_time() + work
        self._patience = time.monotonic() + patience

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be started."""
        return time.thread_time() > self._work or time.monotonic() > self._patience


#: the ids of a step in order, and up to where everything was checked; None for the end
Step = tuple[list[int], int | None]


class Source(Protocol):
    """A source of matching ids."""

    def step(self, span: Span, most: int) -> Step:
        """The first matching ids in *span*, about *most* of them; the rest is checked in the next step."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search."""

    ids: list[int]
    #: number of skipped ids before them
    skipped: int
    #: up to where everything was checked, if it stopped early; None otherwise
    stopped: int | None


def collect(source: Source, span: Span, skip: int, need: int, budget: Budget) -> Found:
    """The first *need* ids of *source* in *span*, after skipping *skip*, as far as *budget* allows."""
    ids: list[int] = []
    skipped = 0
    while True:
        found, reached = source.step(span, max(_LEAST, skip - skipped + need - len(ids)))
        left_out = min(skip - skipped, len(found))
        skipped += left_out
        ids += found[left_out:]
        if len(ids) >= need or reached is None:
            return Found(ids[:need], skipped, None)
        if budget.is_spent:
            return Found(ids, skipped, reached)
        span = span.from_(reached)


class Everything:
    """All runs."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def step(self, span: Span, most: int) -> Step:
        """The next ids."""
        return _walk(self._ask, "walk_all", span, most)


class Fresh:
    """Runs that have not ended, or are not indexed yet."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def step(self, span: Span, most: int) -> Step:
        """The next ids."""
        return _walk(self._ask, "walk_fresh", span, most)


class Looker:
    """Checks single runs."""

    def __init__(self, ask: Ask, scratch: Scratch, wanted: Wanted) -> None:
        self._ask = ask
        self._scratch = scratch
        self._statement = "get_documents" if wanted.has_words else "get_tokens"
        self._expression = wanted.expression

    def fitting(self, ids: Sequence[int]) -> list[int]:
        """Those of *ids* that match."""
        if not ids:
            return []
        documents = self._ask(self._statement, (orjson.dumps(ids).decode(),))
        fitting = self._scratch.fitting(documents, self._expression)
        return [run for run in ids if run in fitting]


class Children:
    """The runs started in a run; there are few of them."""

    def __init__(self, ask: Ask, parent: int, looker: Looker | None) -> None:
        self._ask = ask
        self._parent = parent
        self._looker = looker

    def step(self, span: Span, most: int) -> Step:
        """The next ids."""
        if self._looker is not None:
            most = min(most, _MOST_LOOKED)
        ids, reached = _walk(self._ask, "walk_parent", span, most, parent=self._parent)
        return (ids if self._looker is None else self._looker.fitting(ids)), reached


class Indexed:
    """The runs in the index, together with those that are not indexed yet."""

    def __init__(self, ask: Ask, wanted: Wanted, looker: Looker, budget: Budget) -> None:
        self._ask = ask
        self._wanted = wanted
        self._looker = looker
        self._budget = budget
        self._looked = _LOOKED
        #: the expression without common labels, and the labels to check afterwards
        self._narrow = wanted.narrow
        self._detours = 0
        self._labels = frozenset(wanted.common.values())
        #: number and first id of each part of the index
        self._parts: list[tuple[int, int]] = ask("list_parts").fetchall()

    def step(self, span: Span, most: int) -> Step:
        """The next ids."""
        found, reached = self._step_in_index(span, most)
        fresh, fresh_reached = _walk(self._ask, "walk_fresh", span.to(reached), self._looked)
        if fresh_reached is not None:
            self._looked = min(2 * self._looked, _MOST_LOOKED)
            reached = fresh_reached
            found = [run for run in found if (run <= reached if span.ascending else run >= reached)]
        fitting = self._looker.fitting(fresh)
        return (sorted([*found, *fitting], reverse=not span.ascending) if fitting else found), reached

    def _step_in_index(self, span: Span, most: int) -> Step:
        wanted = self._wanted
        if wanted.is_unended:
            return [], None
        if not wanted.is_rough:
            return self._find(span, most)
        found, reached = self._find(span, min(most, self._looked))
        self._looked = min(2 * self._looked, _MOST_LOOKED)
        return self._looker.fitting(found), reached

    def _find(self, span: Span, most: int) -> Step:
        """The first matching ids in the index. A query of one part cannot be interrupted, so each part is a step."""
        place = self._place(span.after + 1 if span.ascending else span.before - 1)
        while True:
            number, first = self._parts[place]
            further = place + 1 if span.ascending else place - 1
            if span.ascending:
                end = self._parts[further][1] - 1 if further < len(self._parts) else None
                is_last = end is None or end >= span.before - 1
            else:
                end, is_last = first, further < 0 or first <= span.after + 1
            within = span if is_last else span.to(end)
            found, reached = self._walk_part(number, within, most)
            if found or is_last or end is None or self._budget.is_spent:
                return found, (None if is_last else end) if reached is None else reached
            place, span = further, span.from_(end)

    def _walk_part(self, part: int, span: Span, most: int) -> Step:
        """The first matching ids in a part.

        To intersect lists, the index scans the longest of them as well. If that is the list of a very common label, and
        hardly anything matches the rest, checking the few candidates is faster.
        """
        if self._narrow is not None:
            few, _ = _walk(self._ask, "walk_index", span, _FEW + 1, part=part, expression=self._narrow)
            if len(few) <= _FEW:
                self._detours = 0
                return self._labelled(few), None
            self._detours += 1
            if self._detours >= _DETOURS:
                self._narrow = None
        return _walk(self._ask, "walk_index", span, most, part=part, expression=self._wanted.indexed)

    def _labelled(self, ids: list[int]) -> list[int]:
        """Those of *ids* that have the labels that the narrow expression leaves out."""
        if not ids:
            return ids
        found = dict(self._ask("labels_of", (orjson.dumps(ids).decode(),)).fetchall())
        return [run for run in ids if self._labels.issubset(orjson.loads(found[run] or "[]"))]

    def _place(self, run: int) -> int:
        """The part that contains *run*."""
        return max(0, bisect_right(self._parts, run, key=lambda part: part[1]) - 1)


def _walk(ask: Ask, name: str, span: Span, most: int, part: int | None = None, **given: Any) -> Step:
    """Up to *most* ids from the statement *name*."""
    most = min(most, _MANY)
    bounds = {"before": span.before, "after": span.after, "limit": most}
    ids = [row[0] for row in ask(name, bounds | given, ascending=span.ascending, part=part)]
    return ids, ids[-1] if len(ids) >= most > 0 else None
