"""Count the runs that match a query, by time, operation and state: from precomputed tallies, or one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import orjson

from binp.store.contract import Key, RunBucket, RunCounts, RunQuery, State, as_datetime

from ._ids import first_id, made_at
from ._open_run import CODES, STATES, state_of
from ._search import Ask, Budget, Everything, Fresh, Source, Span

__all__ = ["Scale", "Tally", "Totals", "count_each", "is_tallied"]

_SECOND, _MINUTE, _HOUR, _DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
#: bucket widths in microseconds; wider buckets are whole days
_WIDTHS = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY)
#: runs, or rows of the tally, counted per step
_STEP = 2000
#: maximum number of operations to list
_MOST_NAMED = 100
_BEYOND = 2**62


@dataclass(frozen=True, slots=True)
class Scale:
    """Buckets of time."""

    #: start in microseconds since the epoch, a multiple of the width
    first: int
    width: int
    number: int

    @classmethod
    def of(cls, start: int, end: int, most: int) -> Scale:
        """At most *most* buckets, as narrow as possible, from *start* to *end* (exclusive)."""
        if end <= start:
            return cls(start, _MINUTE, 0)
        days = (end - start) // _DAY // most
        # a partly filled bucket may be needed in addition
        for width in (*_WIDTHS, *(_DAY * (days + more) for more in (1, 2))):
            first = start // width
            number = (end - 1) // width - first + 1
            if number <= most:
                return cls(first * width, width, number)
        # a single bucket: from the start, in whole seconds
        return cls(start, -(-(end - start) // _SECOND) * _SECOND, 1)

    @property
    def has_days(self) -> bool:
        """Whether each day lies within one bucket."""
        return self.number == 1 or self.width % _DAY == 0

    def place(self, at: int) -> int:
        """The index of the bucket for *at*; times outside belong to the nearest bucket."""
        return max(0, min((at - self.first) // self.width, self.number - 1))


@dataclass(slots=True)
class Totals:
    """The counts so far."""

    scale: Scale
    cells: Counter[tuple[int, int]] = field(default_factory=Counter)
    operations: Counter[int] = field(default_factory=Counter)
    #: the newest id at which counting stopped early; None if it did not
    stopped: int | None = None

    def add(self, at: int, operation: int, state: int, runs: int = 1) -> None:
        """Add *runs* runs."""
        self.cells[self.scale.place(at), state] += runs
        self.operations[operation] += runs

    def stop(self, at: int | None) -> None:
        """Counting stopped early at the id *at*; None: it did not."""
        if at is not None:
            self.stopped = at if self.stopped is None else max(at, self.stopped)

    def result(self, names: Callable[[Collection[int]], dict[int, str]]) -> RunCounts:
        """The final counts."""
        scale = self.scale
        buckets = [dict.fromkeys(STATES, 0) for _ in range(scale.number)]
        states: Counter[State] = Counter()
        for (place, code), runs in self.cells.items():
            state = state_of(code)
            states[state] += runs
            if buckets:
                buckets[place][state] += runs
        most = sorted(self.operations.items(), key=lambda item: (-item[1], item[0]))[:_MOST_NAMED]
        named = names([operation for operation, _ in most])
        return RunCounts(
            seconds=scale.width // _SECOND,
            buckets=tuple(
                RunBucket(at=scale.first + place * scale.width, states=states) for place, states in enumerate(buckets)
            ),
            operations=tuple((named.get(operation, "?"), runs) for operation, runs in most),
            states=tuple((state, states[state]) for state in STATES if states[state]),
            stopped_at=None if self.stopped is None else as_datetime(made_at(self.stopped)),
        )


def is_tallied(query: RunQuery) -> bool:
    """Whether *query* only depends on operation, state and time."""
    is_plain = not (query.journaled or query.journal is not None or query.labels or query.parent is not None)
    return is_plain and all(condition.key in (Key.ACTION, Key.STATE) for condition in query.where)


def count_each(ask: Ask, source: Source, span: Span, totals: Totals, budget: Budget) -> None:
    """Count the runs of *source* in *span*, newest first, as far as *budget* allows."""
    _count(ask, source, span, totals, budget, lambda operation, state: True)


def _count(
    ask: Ask, source: Source, span: Span, totals: Totals, budget: Budget, fits: Callable[[int, int], bool]
) -> None:
    while span.before - span.after > 1:
        ids, reached = source.step(span, _STEP)
        for run, operation, state in ask("get_kinds", (orjson.dumps(ids).decode(),)) if ids else ():
            if fits(operation, state):
                totals.add(made_at(run), operation, state)
        if reached is None:
            return
        if budget.is_spent:
            totals.stop(reached)
            return
        span = span.from_(reached)


class Tally:
    """The precomputed numbers of runs per hour, operation and state.

    Args:
        ask: Executes a statement.
        query: The query, for which :func:`is_tallied` is true.
        name: Returns the id of an interned text.
    """

    def __init__(self, ask: Ask, query: RunQuery, name: Callable[[str], int | None]) -> None:
        self._ask = ask
        states = set(State) if query.states is None else set(query.states)
        self._operations: set[int] | None = None if query.operation is None else _known((query.operation,), name)
        self._refused: set[int] = set()
        for condition in query.where:
            if condition.key is Key.STATE:
                named = {state for state in State if state.value in condition.values}
                states = states - named if condition.negated else states & named
            elif condition.negated:
                self._refused |= _known(condition.values, name)
            else:
                found = _known(condition.values, name)
                self._operations = found if self._operations is None else self._operations & found
        self._states = {CODES[state] for state in states}

    def count(self, span: Span, query: RunQuery, totals: Totals, work: Callable[[], Budget]) -> bool:
        """Count the runs in *span*: whole hours from the tally, the rest before and after them one by one.

        Returns:
            Whether there is a whole hour in it; otherwise nothing is counted.
        """
        first = 0 if query.since is None else -(-query.since // _HOUR)
        end = _BEYOND // _HOUR if query.until is None else query.until // _HOUR
        if first >= end:
            return False
        whole = Span(
            span.after if query.since is None else max(span.after, first_id(first * _HOUR) - 1),
            span.before if query.until is None else min(span.before, first_id(end * _HOUR)),
        )
        budget = work()
        for hours, begin, stop in _units(first, end, by_days=totals.scale.has_days):
            self._count_hours(hours, begin, stop, totals, budget)
        budget = work()
        everything = Everything(self._ask)
        _count(self._ask, everything, Span(whole.before - 1, span.before), totals, budget, self._fits)
        _count(self._ask, everything, Span(span.after, whole.after + 1), totals, budget, self._fits)
        _count(self._ask, Fresh(self._ask), whole, totals, work(), self._fits)
        return True

    def _count_hours(self, hours: int, first: int, end: int, totals: Totals, budget: Budget) -> None:
        key = (end, -1, -1)
        while True:
            given = {"hour": key[0], "operation": key[1], "state": key[2], "limit": _STEP}
            rows = self._ask("walk_tally", given | {"hours": hours, "first": first}).fetchall()
            for hour, operation, state, runs in rows:
                if self._fits(operation, state):
                    totals.add(hour * _HOUR, operation, state, runs)
            if len(rows) < _STEP:
                return
            key = rows[-1][:3]
            if budget.is_spent:
                totals.stop(first_id((key[0] + hours) * _HOUR))
                return

    def _fits(self, operation: int, state: int) -> bool:
        return (
            state in self._states
            and operation not in self._refused
            and (self._operations is None or operation in self._operations)
        )


def _units(first: int, end: int, *, by_days: bool) -> list[tuple[int, int, int]]:
    """The hours from *first* to *end* (exclusive) as single hours and whole days, latest first: (1 or 24, from, to)."""
    begin, stop = -(-first // 24) * 24, end // 24 * 24
    if not by_days or begin >= stop:
        return [(1, first, end)]
    return [(1, stop, end), (24, begin, stop), (1, first, begin)]


def _known(texts: Sequence[str], name: Callable[[str], int | None]) -> set[int]:
    return {found for text in texts if (found := name(text)) is not None}
