"""What the contestants without a store of their own write: our tables, with a prepared statement for each step."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

#: the tables and indexes are ours, whatever they are by now
SCHEMA = "".join(
    file.read_text() for file in sorted((Path(__file__).parents[2] / "src/binp/store/sqlite/migrations").glob("*.sql"))
)

BEGIN = (
    "INSERT INTO run (id, operation, journal, description, state, trigger, attempt, epoch, node, started, records,"
    " rev) VALUES (?, ?, ?, ?, 1, ?, 1, 1, ?, ?, 0, 1)"
)
RECORD = "INSERT INTO record (run, seq, at, level, source, message, fields) VALUES (?, ?, ?, ?, ?, ?, ?)"
LABEL = "UPDATE label SET runs = runs + 1 WHERE id = ?"
END = "UPDATE run SET state = 2, ended = ?, duration = ?, records = ?, labels = ?, rev = rev + 2 WHERE id = ?"
PUT = (
    "INSERT INTO kv (namespace, key, value, version, updated) VALUES (?, ?, ?, 1, ?) ON CONFLICT (namespace, key) "
    "DO UPDATE SET value = excluded.value, version = version + 1, updated = excluded.updated"
)
GET = "SELECT value FROM kv WHERE namespace = ? AND key = ?"

#: the texts that are kept once, with their ids
NAMES = {
    text: number for number, text in enumerate(("work", "does the work", "call", "node", "record", "info"), start=1)
}
#: the id of the one label
BLUE = 1
#: what prepares a new file
PRAGMAS = (
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;"
)
PREPARE = (
    PRAGMAS
    + SCHEMA
    + "".join(f"INSERT INTO name (id, text) VALUES ({number}, '{text}');" for text, number in NAMES.items())
    + f"INSERT INTO label (id, text) VALUES ({BLUE}, 'blue');"
)

#: keys of the namespace that is written to and read from
KEYS = 1000

ids = itertools.count(time.time_ns() // 1_000_000 << 10)
numbers = itertools.count()


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def steps() -> list[tuple[str, tuple[object, ...]]]:
    """A journaled call: it begins, says two lines of two fields each, gets a label, and ends."""
    run, began = next(ids), now()
    name = NAMES
    begin = (run, name["work"], name["work"], name["does the work"], name["call"], name["node"], began)
    fields = json.dumps({"number": run, "kind": "blue"})
    records = [(run, seq, now(), name["info"], name["record"], "a line", fields) for seq in (1, 2)]
    end = (now(), now() - began, 2, '["blue"]', run)
    return [(BEGIN, begin), (RECORD, records[0]), (RECORD, records[1]), (LABEL, (BLUE,)), (END, end)]


def put() -> tuple[str, tuple[object, ...]]:
    """A key gets a new value."""
    number = next(numbers)
    return PUT, ("n", f"key{number % KEYS}", json.dumps(number), now())


def key() -> tuple[str, str]:
    """The key to read."""
    return "n", f"key{next(numbers) % KEYS}"
