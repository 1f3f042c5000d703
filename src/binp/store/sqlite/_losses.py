"""What an export could not read, and how much that is at most."""

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

#: what SQLite says of pages that cannot be read at all: whoever comes to one meets an error
_MET = re.compile(r"btreeInitPage|[Uu]nable to get|[Ff]ailed to get page|[Ii]nvalid page number|overflow list length")


class Losses:
    """What is missing of one export.

    Args:
        connection: To the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._found: list[dict[str, Any]] = []
        #: the last gap in the records
        self._records: dict[str, Any] | None = None
        #: runs that are lost; how many is known when all others were read
        self._runs: list[Gap] = []
        #: the runs that were read last, and how many records they have
        self._counts: Mapping[int, int] = {}
        #: the same less those that could be read
        self._due: Counter[int] = Counter()
        #: runs with fewer records than they say, in ascending order: how many are missing, and of how many
        self._short: dict[int, tuple[int, int]] = {}
        #: runs that were counted so far, and the numbers of those among them
        self._counted = 0
        self._places: dict[int, int] = {}
        self._orphans = (0, 0)
        #: runs that could be read, by the hour in which they came into being
        self._read: Counter[int] = Counter()

    def add(self, gap: Gap) -> None:
        """Rows of any table."""
        if gap.table == "run" and not gap.is_altered:
            self._runs.append(gap)
        rows = 1 if gap.key is not None else None if gap.table == "run" else self._by_index(gap)
        if rows != 0 and (gap.table != "run" or gap.key is not None):
            self._tell(gap, rows)

    def count_runs(self, counts: Mapping[int, int]) -> None:
        """These runs could be read, and have so many records each; in ascending order."""
        self._close_counts()
        self._counts = counts
        # those behind the first ones may have been erased
        self._due = Counter({run: min(records, KEPT_RECORDS) for run, records in counts.items()})
        for run in counts:
            self._read[made_at(run) // _HOUR] += 1

    def count_records(self, keys: Iterable[tuple[int, int]]) -> None:
        """Records could be read, with these *keys*: run and number."""
        # one with a number beyond all of its run may be another one, the key of which was changed
        self._due.subtract(run for run, seq in keys if seq <= self._counts.get(run, 0))

    def add_records(self, gap: Gap) -> None:
        """Records of the runs that were counted last."""
        rows = 1 if gap.key is not None else _records_in(gap, self._counts)
        before = self._records
        if rows and before is not None and gap.key is None and _overlap(before, gap):
            # the same gap, met again from the next runs on
            before["before"] = gap.before
            before["rows"] += rows
        elif rows:
            self._tell(gap, rows)
            self._records = None if gap.key is not None else self._found[-1]

    def lost_runs(self) -> Iterator[tuple[int, int]]:
        """The first and the last run of each gap in them."""
        for gap in self._runs:
            self._orphans = ends = _ends(gap)
            yield ends

    def add_orphans(self, gap: Gap) -> None:
        """Records of the lost runs that were given out last."""
        if gap.key is not None:
            self._tell(gap, 1)
            return
        first, last = self._orphans
        after = gap.after if gap.after is not None else (first, 0)
        is_beyond = gap.before is None or int(gap.before[0]) > last
        self._tell(Gap(table=gap.table, after=after, before=(last + 1, 0) if is_beyond else gap.before), None)

    def add_part(self, table: str, key: Key, part: str) -> None:
        """Something that belongs to one row."""
        self._found.append({"kind": table, "key": key, "part": part})

    def told(self, tables: Iterable[str]) -> list[dict[str, Any]]:
        """All of it, as the last line of an export tells it; of *tables*, whether they led where they should."""
        gaps = [gap for gap in self._runs if gap.key is None]
        known = self._count_runs() if gaps else None
        for gap in gaps:
            self._tell(gap, None if known is None else _runs_in(gap, known - self._read))
        if gaps or any(loss["kind"] == "run" for loss in self._found):
            self._add_missing_runs(known if gaps else self._count_runs())
        for loss in self._found:
            # how many records they had is lost with them
            if loss["kind"] == "record" and "rows" in loss and any(_is_within(run, loss) for run in self._runs):
                loss["rows"] = None
        told = {loss["kind"] for loss in self._found}
        problems: dict[str, str] = {}
        # of these it is known what is missing: records and runs are counted, names are looked for one by one
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
        """Note of which of the runs that were counted last records are missing."""
        for place, (run, records) in enumerate(self._counts.items(), self._counted):
            if self._due[run] > 0:
                self._short[run] = self._due[run], records
                self._places[run] = place
        self._counted += len(self._counts)

    def _add_short(self) -> None:
        """Records that runs say to have, and nothing that failed led to: what is damaged may be what leads there."""
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
        """The same of runs, which are *known* by the hour in which they came into being."""
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
        """What is wrong with the pages of *table*: damage may lead past rows as if there were none.

        Args:
            table: Its name.
            is_told: Some of it could not be read, and that was told: pages that nobody can read have been met.
        """
        lines, damage = self._check(table, -1)
        if damage is not None:
            # the module of SQLite forgets the row before the one that fails
            more, _ = self._check(table, len(lines) + 1)
            lines = max(lines, more, key=len)
            if not is_told:
                lines.append(damage)
        problems = [line for text in lines for line in text.splitlines() if not (is_told and _MET.search(line))]
        # the first line says in which database, and there is one
        problems = [line for line in problems if line != "ok" and not line.startswith("***")]
        return problems[-1] if problems else None

    def _check(self, table: str, most: int) -> tuple[list[str], str | None]:
        """What SQLite says of the pages of *table*, and the damage that kept it from saying more."""
        found: list[str] = []
        with Tolerant() as block:
            for (text,) in self._connection.execute("SELECT * FROM pragma_quick_check(?) LIMIT ?", (table, most)):
                found.append(str(text))
        return found, None if block.damage is None else str(block.damage)

    def _disorder(self, table: str) -> str | None:
        """What is wrong with the order of the rows of *table*: one that is in a wrong place is not found by its key."""
        columns = self._key_of(table)
        for way in ("ASC", "DESC"):
            before: Key | None = None
            order = ", ".join(f"{column} {way}" for column in columns)
            with Tolerant() as block:
                # nothing is sorted for it: they are read as they lie there
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
        """How many keys an index knows between the ends of *gap*; None if there is no index of all rows."""
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
        """How many runs there are by the hour, from where they are counted; None if that cannot be read either."""
        known: Counter[int] = Counter()
        with Tolerant():
            # those that are in the index, those that wait for it, and those that have not ended
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
    """How many of the runs that are *missing*, by the hour, may be in *gap*."""
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
    """How many records are between the ends of *gap*: a run numbers them from 1 on."""
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
        # nothing, or something of another type, can be no key
        return False


def _told_of(run: int, records: int, loss: Mapping[str, Any]) -> int:
    """How many of the *records* of *run* are among those that *loss* tells of."""
    if "key" in loss:
        number, seq = loss["key"]
        return int(number == run and seq <= records)
    return _records_in(Gap(table="record", after=loss["after"], before=loss["before"]), {run: records})


def _holds(loss: Mapping[str, Any], after: Key, before: Key) -> bool:
    """Whether what *loss* tells of goes from *after* to *before*, or beyond."""
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
    """Whether the lost runs may be some of those of which the records are lost."""
    if "key" in loss:
        return False
    first, last = _ends(run)
    return (loss["after"] is None or last >= loss["after"][0]) and (
        loss["before"] is None or first <= loss["before"][0]
    )
