"""How long others wait while old runs are erased, and how small the file becomes.

A database with a million runs (records and labels as well) is cut to ten thousand while four tasks write and wait for
each commit to be on the disk. Beside it: the same four tasks when nothing is erased any more, for as long.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Claim, options, report, table, versions

from binp.store.contract import Keep, Retention, SetKeys, Store
from binp.store.sqlite import SqliteStore
from binp.store.sqlite._connect import connect_writer
from binp.store.sqlite._file import File
from binp.store.sqlite._ids import EPOCH
from binp.store.sqlite._index import put_in
from binp.store.sqlite._migrate import migrate, shipped

#: the age of what is erased, in microseconds
AGE = 30 * 86_400_000_000
#: seconds at most for which it is measured how long writing takes otherwise
OTHERWISE = 60.0


def fill(path: Path, count: int) -> None:
    """A file with *count* runs, each with two records and two of a hundred labels."""
    connection = connect_writer(path, "OFF")
    migrate(connection, path, shipped())
    at = time.time_ns() // 1000 - AGE
    first = at // 1000 - EPOCH << 12
    connection.execute("BEGIN")
    connection.execute("INSERT INTO name VALUES (1, 'work'), (2, 'call'), (3, 'gone'), (4, 'info'), (5, 'record')")
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
        " INSERT INTO label SELECT i, 'label-' || i, ? / 50 FROM n",
        (count,),
    )
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    connection.execute(
        f"{numbers} INSERT INTO run (id, operation, description, state, trigger, attempt, epoch, node, started, ended,"
        " duration, records, rev, labels, arguments) SELECT ? + i * 4096, 1, 1, 2 + (i % 20 = 0), 2, 1, 1, 3,"
        " ? + i * 1000, ? + i * 1000, 5, 2, 2, json_array('label-' || (1 + i % 50), 'label-' || (51 + i % 50)),"
        ' \'{"host":"127.0.0.1","port":8000}\' FROM n',
        (first, at, at),
    )
    for seq in (1, 2):
        connection.execute(
            f"{numbers} INSERT INTO record SELECT ? + i * 4096, {seq}, ?, 4, 5, 'said: ' || hex(randomblob(30)), NULL"
            " FROM n",
            (first, at),
        )
    file = File(connection, path)
    while put_in(file):
        pass
    connection.execute("COMMIT")
    connection.close()
    # a file that came to be in months is on the disk, and is not brought there by the first checkpoint
    with path.open("rb") as filled:
        os.fsync(filled.fileno())


class Writers:
    """Four tasks that write and wait for the disk."""

    def __init__(self, store: Store) -> None:
        self.waits: list[float] = []
        self._store = store
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(4)]

    async def _write(self, number: int) -> None:
        value = 0
        while True:
            value += 1
            began = time.perf_counter()
            await self._store.write(SetKeys(namespace="n", items=((f"k{number}", str(value)),), at=value))
            self.waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)

    async def end(self) -> list[float]:
        """Stop; in milliseconds how long each write took, the quickest first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return sorted(wait * 1000 for wait in self.waits)


async def measure(path: Path, keep: int) -> tuple[list[float], list[float], float, float]:
    """How long writes took meanwhile and otherwise, how long erasing took, and the longest part of it in ms."""
    store = SqliteStore(path)
    await store.open()
    writers = Writers(store)
    began = time.perf_counter()
    store.retain(Retention(general=Keep(runs=keep)))
    care: Any = store._engine._care  # type: ignore[union-attr]  # noqa: SLF001 - it knows how long each part took
    while not care.rounds:  # noqa: ASYNC110 - another thread does it, and tells nobody
        await asyncio.sleep(0.1)
    took = time.perf_counter() - began
    meanwhile = await writers.end()
    writers = Writers(store)
    await asyncio.sleep(min(took, OTHERWISE))
    otherwise = await writers.end()
    await store.close()
    return meanwhile, otherwise, took, care.longest * 1000


def main() -> None:
    """Measure and print."""
    asked = options(__doc__)
    count = 100_000 if asked.quick else 1_000_000
    keep = count // 100
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.db"
        fill(path, count)
        size = path.stat().st_size
        meanwhile, otherwise, took, longest = asyncio.run(measure(path, keep))
        after = path.stat().st_size
    rows = [
        (
            name,
            len(waits),
            f"{statistics.median(waits):.2f}",
            f"{waits[len(waits) * 99 // 100]:.1f}",
            f"{waits[-1]:.1f}",
        )
        for name, waits in (("while erasing", meanwhile), ("otherwise", otherwise))
    ]
    table(f"Waiting for a durable write, ms ({versions()})", ("", "writes", "median", "p99", "longest"), rows)
    table(
        f"{count:,} runs cut to {keep:,}",
        ("", "before", "after"),
        [
            ("file, MB", f"{size / 1e6:.1f}", f"{after / 1e6:.1f}"),
            ("seconds", "", f"{took:.0f}"),
            ("longest part, ms", "", f"{longest:.1f}"),
        ],
    )
    claims = [
        Claim(claim="longest wait of a writer while old runs are erased, ms", measured=meanwhile[-1], goal=100),
        Claim(claim="size of the file afterwards, share of before", measured=after / size, goal=0.05),
    ]
    report(claims, as_json=asked.json)


if __name__ == "__main__":
    main()
