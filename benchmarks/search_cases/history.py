"""The history that is searched: runs with three labels and two records each, in our tables or the original's."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from binp.store.contract import AddLabels, AddRecord, BeginRun, EndRun, State, Write
from binp.store.sqlite._batch import Batch
from binp.store.sqlite._connect import connect_writer
from binp.store.sqlite._file import File
from binp.store.sqlite._ids import EPOCH
from binp.store.sqlite._index import merge, put_in
from binp.store.sqlite._migrate import migrate, shipped

#: when the first run began, and how long the history is, in microseconds
BEGAN, LENGTH = 1_780_000_000_000_000, 90 * 86_400_000_000
#: runs of a transaction
_GROUP = 2000
ACTIONS, CUSTOMERS, REGIONS, SHOPS = 200, 10_000, 13, 10


@dataclass(frozen=True, slots=True)
class Example:
    """A run, as both know it."""

    id: int
    at: int
    action: str
    description: str
    state: State
    error: str | None
    labels: tuple[str, str, str]
    records: tuple[tuple[str, dict[str, object]], ...]


def examples(count: int) -> Iterator[Example]:
    """The same *count* runs each time, the oldest first."""
    picked = random.Random(5)
    weights = [1 / place for place in range(1, ACTIONS + 1)]
    actions = picked.choices(range(ACTIONS), weights, k=min(count, 1_000_000))
    for number in range(count):
        at = BEGAN + number * LENGTH // count
        chance = picked.random()
        action = actions[number % len(actions)]
        customer = picked.randrange(CUSTOMERS)
        shop = 0 if chance < 0.6 else picked.randrange(1, SHOPS)
        state = State.FAILED if chance > 0.975 else State.CANCELLED if chance > 0.972 else State.SUCCEEDED
        said = "declined" if picked.random() < 0.0017 else "accepted"
        yield Example(
            id=(at // 1000 - EPOCH << 12) + number % 64,
            at=at,
            action=f"shop.task{action}",
            description=f"Do the work number {action} of the shop.",
            state=state,
            error=None if state is State.SUCCEEDED else f"no answer from host {customer % 50} within 30 s",
            labels=(f"shop={shop}", f"customer={customer}", f"region={picked.randrange(REGIONS)}"),
            records=(
                ("fetching orders", {"page": number % 30, "number": 1_000_000 + number}),
                (f"card {said}, parcel is on its way", {"customer": customer, "status": said}),
            ),
        )


def _groups(count: int) -> Iterator[list[Example]]:
    everything = examples(count)
    while group := list(islice(everything, _GROUP)):
        yield group


def fill(path: Path, count: int) -> None:
    """A file of ours with *count* runs, all of them in the index."""
    connection = connect_writer(path, "OFF")
    migrate(connection, path, shipped())
    file = File(connection, path)
    for group in _groups(count):
        file.begin()
        Batch(file, 0, [write for example in group for write in _writes(example)], 1).apply()
        file.commit()
        file.begin(keeps=True)
        while put_in(file):
            pass
        file.commit()
    is_loose = True
    while is_loose:
        file.begin(keeps=True)
        is_loose = merge(file)
        file.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _writes(example: Example) -> Iterator[Write]:
    run, at = example.id, example.at
    yield BeginRun(
        id=run,
        operation=example.action,
        journal=example.action,
        description=example.description,
        trigger="call",
        node="host-1",
        at=at,
    )
    for seq, (message, fields) in enumerate(example.records, 1):
        yield AddRecord(run=run, seq=seq, at=at, message=message, fields=json.dumps(fields, separators=(",", ":")))
    yield AddLabels(run=run, labels=example.labels)
    yield EndRun(id=run, state=example.state, at=at + 5000, duration=5000, error=example.error)


def fill_original(path: Path, count: int) -> None:
    """Put the same *count* runs into the tables of the original, which made the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    for name in ("journal", "record", "record_field", "journal_label"):
        connection.execute(f"DELETE FROM {name}")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    record = 0
    put = connection.executemany
    for place, group in enumerate(_groups(count)):
        first = place * _GROUP + 1
        journals, labels, records, fields = [], [], [], []
        for number, example in enumerate(group, first):
            at = datetime.fromtimestamp(example.at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            journals.append((number, example.action, example.description, at, example.error, 0.005123456789, at))
            labels += [(number, label) for label in example.labels]
            for message, values in example.records:
                record += 1
                records.append((record, number, at, message))
                fields += [(record, name, json.dumps(value)) for name, value in values.items()]
        put("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", journals)
        put("INSERT INTO journal_label VALUES (?, ?)", labels)
        put("INSERT INTO record VALUES (?, ?, ?, ?)", records)
        put("INSERT INTO record_field VALUES (?, ?, ?)", fields)
    connection.execute("COMMIT")
    connection.close()
