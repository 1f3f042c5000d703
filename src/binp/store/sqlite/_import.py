"""Import exported lines: rows that are new, or newer than the existing ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from binp.store.contract import FINISHED, BadLine, Change, State

from ._erase import release_labels
from ._export import TABLES, Table
from ._file import File
from ._index import renew
from ._judge import MANY, fits, flaw
from ._open_run import CODES

__all__ = ["take_in"]

_TABLES = {table.name: table for table in TABLES}

#: the error of a run that had not ended when it was exported
_CUT_OFF = "interrupted: it had not ended when it was exported"

_Row = dict[str, Any]


def take_in(file: File, lines: Iterable[str], seq: int) -> tuple[int, list[Change]]:
    """Import *lines*; a transaction is open.

    An existing row is kept, unless the imported one is a later state of it: a run with a higher revision that is not
    running here, or a key with a higher version. So the same lines can be imported again.

    Returns:
        The number of imported rows, and the changes, numbered after *seq*.

    Raises:
        BadLine: a line is invalid.
    """
    taking = _Taking(file, seq)
    rows: dict[str, list[_Row]] = {}
    for number, line in enumerate(lines, 1):
        kind, row = _read(line, number)
        rows.setdefault(kind, []).append(row)
        taking.numbers[id(row)] = number
    for table in TABLES:
        if table.name in rows:
            taking.take(table, rows[table.name])
    return taking.count, taking.changes


def _read(line: str, number: int) -> tuple[str, _Row]:
    try:
        row = orjson.loads(line)
        kind = row.pop("kind")
    except (ValueError, AttributeError, TypeError, KeyError):
        raise BadLine(f"this is not a line of an export: {line[:80]!r}", number) from None
    if not isinstance(kind, str) or kind not in _TABLES:
        raise BadLine(f"a line of an export is of the kind {kind!r}, which is not known here", number, fix=_NEWER)
    return kind, row


_NEWER = "take it in with the version that wrote it, or a newer one"


class _Taking:
    def __init__(self, file: File, seq: int) -> None:
        self.count = 0
        self.changes: list[Change] = []
        #: line numbers, by the identity of their rows
        self.numbers: dict[int, int] = {}
        self._file = file
        self._seq = seq

    def take(self, table: Table, rows: list[_Row]) -> None:
        """Import rows of one table."""
        steps: dict[str, Callable[[Table, list[_Row]], None]] = {
            "run": self._take_runs,
            "record": self._take_records,
            "kv": self._take_keys,
            "kv_removed": self._take_keys,
            "kv_floor": self._raise_floor,
        }
        self._check(table, rows)
        try:
            steps.get(table.name, self._insert)(table, rows)
        except (KeyError, ValueError, TypeError) as error:
            raise BadLine(f"a line of the kind {table.name!r} makes no sense: {error!r}") from None

    def _check(self, table: Table, rows: list[_Row]) -> None:
        columns = self._file.connection.execute(f"PRAGMA table_info({table.name})").fetchall()
        known = {name: kind for _, name, kind, *_ in columns}
        # an integer primary key is not declared as NOT NULL
        needed = [name for _, name, _, is_set, default, place in columns if (is_set or place) and default is None]
        # texts in a line, but numbers in the file
        known |= dict.fromkeys(table.names, "TEXT") | ({"state": "TEXT"} if table.name == "run" else {})
        for row in rows:
            if unknown := row.keys() - known:
                raise BadLine(
                    f"a line of the kind {table.name!r} has {', '.join(sorted(unknown))}, which is not known here",
                    self._number(row),
                    fix=_NEWER,
                )
            if missing := [column for column in needed if row.get(column) is None]:
                raise BadLine(f"a line of the kind {table.name!r} has no {' and no '.join(missing)}", self._number(row))
            if problem := _problem(table, row, known):
                raise BadLine(f"a line of the kind {table.name!r} makes no sense: {problem}", self._number(row))

    def _number(self, row: _Row) -> int:
        return self.numbers[id(row)]

    def _take_runs(self, table: Table, rows: list[_Row]) -> None:
        here = {id: (rev, state) for id, rev, state in self._file.ask("find_revisions", [row["id"] for row in rows])}  # noqa: A001 - the column
        news: dict[int, _Row] = {}
        for row in rows:
            rev, code = here.get(row["id"], (0, CODES[State.INTERRUPTED]))
            # a run that is in flight here belongs to its holder
            if row["rev"] > rev and code > CODES[State.RUNNING]:
                news[row["id"]] = _ended(row)
        if not news:
            return
        labels: Counter[str] = Counter()
        for row in news.values():
            labels.update(orjson.loads(row.get("labels") or "[]"))
            self._tell("run", row["id"], row["rev"], row.get("journal") is not None)
            row["state"] = CODES[State(row["state"])]
        known = list(here.keys() & news.keys())
        if known:
            renew(self._file, known)
            release_labels(self._file, known)
        self._file.bulk("erase_runs", known)
        self._insert(table, list(news.values()))
        ids = self._file.labels(set(labels))
        self._file.bulk("count_labels", [(ids[label], runs) for label, runs in labels.items()])
        self._file.newest = max(self._file.newest, *news)

    def _take_records(self, table: Table, rows: list[_Row]) -> None:
        found = self._file.ask("find_revisions", list({row["run"] for row in rows}))
        states = {run: state for run, _, state in found}
        self._renew_texts(states, [row for row in rows if row["run"] in states])
        self._insert(table, [row for row in rows if row["run"] in states])

    def _renew_texts(self, states: Mapping[int, int], rows: Sequence[_Row]) -> None:
        """Update the index entries of ended runs for *rows*, unless they contain them already."""
        keys = [[row["run"], row["seq"]] for row in rows]
        missing = self._file.ask("find_missing_records", keys)
        if ended := sorted(run for run in set(missing) if states[run] > CODES[State.RUNNING]):
            renew(self._file, ended)

    def _take_keys(self, table: Table, rows: list[_Row]) -> None:
        versions = dict.fromkeys(range(len(rows)), 0)
        for statement in ("find_versions", "find_removed"):
            asked = [each for place, row in enumerate(rows) for each in (place, row["namespace"], row["key"])]
            for place, version, *_ in self._file.look_up(statement, asked):
                versions[place] = max(versions[place], version)
        news = [row for place, row in enumerate(rows) if row["version"] > versions[place]]
        if not news:
            return
        names = [each for row in news for each in (row["namespace"], row["key"])]
        self._file.put("drop_keys", names)
        self._file.put("unbury_keys", names)
        past: list[Any] = []
        newest = self._file.keys.newest
        for row in news:
            link = None
            for version in row.pop("past", None) or ():
                newest += 1
                past += (row["namespace"], row["key"], newest, *version, link)
                link = newest
            row["past"] = link
            self._tell("kv", f"{row['namespace']}/{row['key']}", row["version"])
        self._file.put("add_past", past)
        self._insert(table, news)
        # the cached numbers about all keys are no longer valid
        self._file.keys.read()

    def _raise_floor(self, _table: Table, rows: list[_Row]) -> None:
        for row in rows:
            self._file.run("raise_floor", {"version": row["version"]})

    def _insert(self, table: Table, rows: Sequence[_Row]) -> None:
        """Insert new rows, with one statement for all rows with the same columns."""
        texts = {row[column] for row in rows for column in table.names if row.get(column) is not None}
        names = self._file.ids_of(texts)
        groups: dict[tuple[str, ...], list[list[Any]]] = {}
        for row in rows:
            values = [names[row[column]] if column in table.names else row[column] for column in row]
            groups.setdefault(tuple(row), []).append(values)
        for columns, values_of in groups.items():
            self.count += self._insert_all(table.name, columns, values_of)

    def _insert_all(self, table: str, columns: tuple[str, ...], rows: list[list[Any]]) -> int:
        into = f"INSERT INTO {table} ({', '.join(columns)})"
        execute = self._file.connection.execute
        # SQLite truncates JSON texts at a NUL character
        whole = [row for row in rows if not _is_torn(row)]
        kept = 0
        if whole:
            parts = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(columns)))
            statement = f"{into} SELECT {parts} FROM json_each(?) WHERE true ON CONFLICT DO NOTHING"  # noqa: S608 - our own columns # nosec B608 - the same
            kept = execute(statement, (orjson.dumps(whole).decode(),)).rowcount
        marks = ", ".join("?" for _ in columns)
        for row in filter(_is_torn, rows):
            kept += execute(f"{into} VALUES ({marks}) ON CONFLICT DO NOTHING", row).rowcount
        return kept

    def _tell(self, topic: str, id: int | str, rev: int, journal: bool = False) -> None:  # noqa: A002 - fields of Change
        self._seq += 1
        self.changes.append(Change(self._seq, topic, id, rev, journal))


def _problem(table: Table, row: _Row, kinds: Mapping[str, str]) -> str | None:
    """What is invalid in *row*, for columns of these *kinds*; None if nothing is."""
    for column, value in row.items():
        is_past = column == "past"
        if value is not None and not (isinstance(value, list) if is_past else fits(kinds[column], value)):
            wanted = "list" if is_past else "text" if kinds[column] == "TEXT" else "number that can be kept"
            return f"its {column} is no {wanted}: {value!r:.80}"
    if table.name == "run" and row["state"] not in set(State):
        return f"its state is none that there is: {row['state']!r:.80}"
    if table.name == "run" and not 0 <= row["id"] < MANY:
        # all later ids would be larger still, and not exact in JavaScript
        return f"its id is {row['id']}"
    return flaw(table.name, row)


def _ended(row: _Row) -> _Row:
    """*row* as a run without a holder."""
    if State(row["state"]) in FINISHED:
        return row
    since = row["started"]
    return row | {
        "state": State.INTERRUPTED.value,
        "ended": since,
        "duration": 0,
        "error": _CUT_OFF,
        "slot": None,
    }


def _is_torn(row: Iterable[Any]) -> bool:
    return any(isinstance(value, str) and "\0" in value for value in row)
