"""Determine what an export could not read, and how much that is at most."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ._erase import KEPT_RECORDS
from ._ids import first_id, made_at
from ._probe import Key
from ._tolerate import Tolerant
from ._walk import Gap, compared

__all__ = ["Losses"]

_HOUR = 3_600_000_000

#: SQLite's messages about unreadable pages, which cause an error in whatever reads them
_MET = re.compile(r"btreeInitPage|[Uu]nable to get|[Ff]ailed to get page|[Ii]nvalid page number|overflow list length")


class Losses:
    """The losses of one export.

    Args:
        connection: A connection to the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._found: list[dict[str, Any]] = []
        #: the last gap in the records
        self._records: dict[str, Any] | None = None
        #: gaps in the runs; their sizes are known after all other runs were read
        self._runs: list[Gap] = []
        #: the runs that were read last, with the number of their records
        self._counts: Mapping[int, int] = {}
        #: the same, minus the records that could be read
        self._due: Counter[int] = Counter()
        #: runs with missing records, in ascending order: number of missing ones, and number of all
        self._short: dict[int, tuple[int, int]] = {}
        #: the number of runs so far, and the positions of those in `_short`
        self._counted = 0
        self._places: dict[int, int] = {}
        self._orphans = (0, 0)
        #: number of readable runs, by the hour of their creation
        self._read: Counter[int] = Counter()

    def add(self, gap: Gap) -> None:
        """Add a gap in any table."""
        if gap.table == "run" and not gap.is_altered:
            self._runs.append(gap)
        rows = 1 if gap.key is not None else None if gap.table == "run" else self._by_index(gap)
        if rows != 0 and (gap.table != "run" or gap.key is not None):
            self._tell(gap, rows)

    def count_runs(self, counts: Mapping[int, int]) -> None:
        """Note readable runs with the numbers of their records, in ascending order."""
        self._close_counts()
        self._counts = counts
        # further records may have been erased
        self._due = Counter({run: min(records, KEPT_RECORDS) for run, records in counts.items()})
        for run in counts:
            self._read[made_at(run) // _HOUR] += 1

    def count_records(self, keys: Iterable[tuple[int, int]]) -> None:
        """Note readable records, by their *keys*: run and number."""
        # a number larger than that of the run's last record belongs to a record whose key was altered
        self._due.subtract(run for run, seq in keys if seq <= self._counts.get(run, 0))

    def add_records(self, gap: Gap) -> None:
        """Add a gap in the records of the runs noted last."""
        rows = 1 if gap.key is not None else _records_in(gap, self._counts)
        before = self._records
        if rows and before is not None and gap.key is None and _overlap(before, gap):
            # the same gap, found again from the next runs
            before["before"] = gap.before
            before["rows"] += rows
        elif rows:
            self._tell(gap, rows)
            self._records = None if gap.key is not None else self._found[-1]

    def lost_runs(self) -> Iterator[tuple[int, int]]:
        """The first and the last possible run of each gap in the runs."""
        for gap in self._runs:
            self._orphans = ends = _ends(gap)
            yield ends

    def add_orphans(self, gap: Gap) -> None:
        """Add a gap in the records of the lost runs returned last."""
        if gap.key is not None:
            self._tell(gap, 1)
            return
        first, last = self._orphans
        after = gap.after if gap.after is not None else (first, 0)
        is_beyond = gap.before is None or int(gap.before[0]) > last
        self._tell(Gap(table=gap.table, after=after, before=(last + 1, 0) if is_beyond else gap.before), None)

    def add_part(self, table: str, key: Key, part: str) -> None:
        """Add a lost part of one row."""
        self._found.append({"kind": table, "key": key, "part": part})

    def told(self, tables: Iterable[str]) -> list[dict[str, Any]]:
        """All losses, for the last line of an export; also checks *tables* for damage that was not noticed."""
        gaps = [gap for gap in self._runs if gap.key is None]
        known = self._count_runs() if gaps else None
        for gap in gaps:
            self._tell(gap, None if known is None else _runs_in(gap, known - self._read))
        if gaps or any(loss["kind"] == "run" for loss in self._found):
            self._add_missing_runs(known if gaps else self._count_runs())
        for loss in self._found:
            # the runs that have the numbers of these records are lost, too
            if loss["kind"] == "record" and "rows" in loss and any(_is_within(run, loss) for run in self._runs):
                loss["rows"] = None
        told = {loss["kind"] for loss in self._found}
        problems: dict[str, str] = {}
        # the losses of these are known: records and runs are counted, names are searched one by one
        counted = {"record", "name"} if gaps and known is None else {"record", "name", "run"}
        for table in tables:
            problem = None if table in told & counted else self._problem(table, is_told=table in told)
            problem = problem or self._disorder(table)
            if problem is None and table == "record" and "run" in problems:
                problem = "those of the runs that are missing are as well"
            if table == "record" and (problem is not None or table in told):
                self._add_short()
            if problem is not None:
                problems[table] = problem
                self._found.append({"kind": table, "part": "unknown", "why": problem})
        return self._found

    def _close_counts(self) -> None:
        """Note the missing records of the runs noted last."""
        for place, (run, records) in enumerate(self._counts.items(), self._counted):
            if self._due[run] > 0:
                self._short[run] = self._due[run], records
                self._places[run] = place
        self._counted += len(self._counts)

    def _add_short(self) -> None:
        """Add missing records that caused no error: the damage may be in the pages that lead to them."""
        self._close_counts()
        told = [loss for loss in self._found if loss["kind"] == "record" and "part" not in loss]
        added: list[dict[str, Any]] = []
        last = -1
        for run, (short, records) in self._short.items():
            rows = short - sum(_told_of(run, records, loss) for loss in told)
            if rows <= 0:
                continue
            if added and self._places[run] == last + 1:
                added[-1]["before"] = (run + 1, 0)
                added[-1]["rows"] += rows
            else:
                added.append({"kind": "record", "after": (run, 0), "before": (run + 1, 0), "rows": rows})
            last = self._places[run]
        self._found += added

    def _add_missing_runs(self, known: Counter[int] | None) -> None:
        """The same for runs; *known* has their numbers by the hour of their creation."""
        if known is None:
            return
        told = [loss for loss in self._found if loss["kind"] == "run"]
        alone = [loss["key"][0] for loss in told if "key" in loss and "part" not in loss]
        for hour, rows in sorted((known - self._read).items()):
            first, last = first_id(hour * _HOUR), first_id((hour + 1) * _HOUR) - 1
            ends = (first - 1,), (last + 1,)
            keys = sum(first <= run <= last for run in alone)
            if rows > keys and not any("after" in loss and _holds(loss, *ends) for loss in told):
                self._tell(Gap(table="run", after=ends[0], before=ends[1]), rows)

    def _problem(self, table: str, *, is_told: bool) -> str | None:
        """What is wrong with the pages of *table*: damage may hide rows without causing an error.

        Args:
            table: Its name.
            is_told: Losses were already reported for it, so unreadable pages are known.
        """
        lines, damage = self._check(table, -1)
        if damage is not None:
            # the sqlite3 module drops the row before the one that fails
            more, _ = self._check(table, len(lines) + 1)
            lines = max(lines, more, key=len)
            if not is_told:
                lines.append(damage)
        problems = [line for text in lines for line in text.splitlines() if not (is_told and _MET.search(line))]
        # the first line only names the database
        problems = [line for line in problems if line != "ok" and not line.startswith("***")]
        return problems[-1] if problems else None

    def _check(self, table: str, most: int) -> tuple[list[str], str | None]:
        """SQLite's messages about the pages of *table*, and the damage that ended the check."""
        found: list[str] = []
        with Tolerant() as block:
            for (text,) in self._connection.execute("SELECT * FROM pragma_quick_check(?) LIMIT ?", (table, most)):
                found.append(str(text))
        return found, None if block.damage is None else str(block.damage)

    def _disorder(self, table: str) -> str | None:
        """What is wrong with the order of the rows of *table*: a row in the wrong place is not found by its key."""
        columns = self._key_of(table)
        for way in ("ASC", "DESC"):
            before: Key | None = None
            order = ", ".join(f"{column} {way}" for column in columns)
            with Tolerant() as block:
                # read in index order: nothing is sorted for this
                keys = self._connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")  # noqa: S608 - our own tables # nosec B608 - the same
                for key in keys:
                    if before is not None and not _is_in_order(before, key, way):
                        return "rows lie where those with other keys belong, so that not all of them are found"
                    before = key
            if block.damage is None:
                return None
        return None

    def _key_of(self, table: str) -> list[str]:
        columns = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
        return [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]

    def _tell(self, gap: Gap, rows: int | None) -> None:
        if gap.is_altered and gap.key is not None:
            self.add_part(gap.table, gap.key, "text")
        elif gap.key is not None:
            self._found.append({"kind": gap.table, "key": gap.key, "rows": 1})
        else:
            self._found.append({"kind": gap.table, "after": gap.after, "before": gap.before, "rows": rows})

    def _by_index(self, gap: Gap) -> int | None:
        """How many keys an index has within *gap*; None if there is no index of all rows."""
        with Tolerant():
            indexes = self._connection.execute(f"PRAGMA index_list({gap.table})").fetchall()
            whole = [name for _, name, _, origin, partial in indexes if origin == "c" and not partial]
            if not whole:
                return None
            columns = self._key_of(gap.table)
            conditions = ["true"]
            values: list[Any] = []
            for end, sign in ((gap.after, ">"), (gap.before, "<")):
                if end is not None:
                    conditions.append(compared(columns, sign))
                    values += end
            (count,) = self._connection.execute(
                f"SELECT count(*) FROM {gap.table} INDEXED BY {whole[0]} WHERE {' AND '.join(conditions)}",  # noqa: S608 - our own tables # nosec B608 - the same
                values,
            ).fetchone()
            return int(count)
        return None

    def _count_runs(self) -> Counter[int] | None:
        """The numbers of runs per hour from the tally; None if that cannot be read either."""
        known: Counter[int] = Counter()
        with Tolerant():
            # runs in the index, runs waiting for it, and runs that have not ended
            for hour, runs in self._connection.execute("SELECT hour, runs FROM tally WHERE hours = 1"):
                known[hour] += runs
            for statement in (
                "SELECT run FROM unindexed",
                "SELECT id FROM run INDEXED BY run_open WHERE state < 2",
            ):
                for (run,) in self._connection.execute(statement):
                    known[made_at(run) // _HOUR] += 1
            return known
        return None


def _runs_in(gap: Gap, missing: Counter[int]) -> int:
    """How many of the *missing* runs, given per hour, may be in *gap*."""
    low, high = (None if end is None else int(end[0]) for end in (gap.after, gap.before))
    found = sum(
        count
        for hour, count in missing.items()
        if (low is None or hour >= made_at(low) // _HOUR) and (high is None or hour <= made_at(high) // _HOUR)
    )
    if low is not None and high is not None:
        found = min(found, high - low - 1)
    return max(found, 1)


def _records_in(gap: Gap, counts: Mapping[int, int]) -> int:
    """How many records are within *gap*: they are numbered from 1 in each run."""
    first, seen = (int(part) for part in gap.after or (-1, 0))
    last, following = (int(part) for part in gap.before or (2**63, 1))
    found = 0
    for run, records in counts.items():
        if first <= run <= last:
            end = following - 1 if run == last else records
            found += max(0, end - (max(seen, 0) if run == first else 0))
    return found


def _is_in_order(before: Key, key: Key, way: str) -> bool:
    low, high = (before, key) if way == "ASC" else (key, before)
    try:
        return low < high
    except TypeError:
        # null, or a value of another type, cannot be a key
        return False


def _told_of(run: int, records: int, loss: Mapping[str, Any]) -> int:
    """How many of the *records* of *run* are covered by *loss*."""
    if "key" in loss:
        number, seq = loss["key"]
        return int(number == run and seq <= records)
    return _records_in(Gap(table="record", after=loss["after"], before=loss["before"]), {run: records})


def _holds(loss: Mapping[str, Any], after: Key, before: Key) -> bool:
    """Whether *loss* covers everything from *after* to *before*."""
    return (loss["after"] is None or loss["after"] <= after) and (loss["before"] is None or before <= loss["before"])


def _overlap(before: Mapping[str, Any], gap: Gap) -> bool:
    return before["before"] is None or gap.after is None or gap.after < before["before"]


def _ends(gap: Gap) -> tuple[int, int]:
    """The first and the last run that may be in *gap*."""
    if gap.key is not None:
        return int(gap.key[0]), int(gap.key[0])
    first = 0 if gap.after is None else int(gap.after[0]) + 1
    return first, 2**62 if gap.before is None else int(gap.before[0]) - 1


def _is_within(run: Gap, loss: Mapping[str, Any]) -> bool:
    """Whether the lost records may belong to the lost runs."""
    if "key" in loss:
        return False
    first, last = _ends(run)
    return (loss["after"] is None or last >= loss["after"][0]) and (
        loss["before"] is None or first <= loss["before"][0]
    )
