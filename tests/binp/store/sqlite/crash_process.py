"""Do what a kill may come into.

``crash_process.py write PATH GROUP [lying] | tend PATH WHAT | migrate PATH | restore PATH BACKUP``

Lines of ``write``, each after the acknowledgement: ``R role``, ``B run`` begun, ``E run records`` ended,
``K key value`` set, ``O key first`` whether a key was the first, ``C`` a backup is made. Those of ``tend`` as well, and
``T what`` before and ``t what`` after each part that is done for the file itself. The others say ``I`` before they
begin and ``M`` when they are done.
"""

import asyncio
import itertools
import os
import sys
import threading
import time
from pathlib import Path

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, EndRun, Keep, Once, Retention, SetKeys, State
from binp.store.sqlite import _alone, _care, _engine, _index, _indexing, _writer, back_up, restore
from binp.store.sqlite._migrate import Migration, shipped

#: changes of the schema that rewrite all that there is
LATER = [
    Migration(version=9001, name="9001_copy.sql", text="CREATE TABLE copy_of_record AS SELECT * FROM record;"),
    Migration(version=9002, name="9002_column.sql", text="ALTER TABLE run ADD COLUMN later TEXT;"),
    Migration(
        version=9003,
        name="9003_fill.sql",
        text="UPDATE run SET later = 'run ' || id; CREATE INDEX later ON run (later);",
    ),
]


#: steps of SQLite's machine between two rests, by what is done for the file
STEPS = {"erase": 60, "tidy": 5, "shrink": 5}


def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def now():
    return time.time_ns() // 1000


def lie():
    """The planted bug: acknowledge first, commit afterwards."""
    honest = _writer.Writer._commit

    def commit(self, batch):
        awaited = []
        for receipt in batch:
            awaited += receipt.settle(True)
        self._post(awaited, [])
        time.sleep(0.005)
        honest(self, batch)

    _writer.Writer._commit = commit


async def work(store, number):
    name = f"{os.getpid()}-{number}"
    for value in itertools.count(1):
        run = store.new_id()
        await store.write(BeginRun(id=run, operation="kept", trigger="call", node=store.node, at=now(), labels=(name,)))
        say("B", run)
        for seq in (1, 2, 3):
            store.write(AddRecord(run=run, seq=seq, at=now(), message=f"{seq} {'x' * 50}"))
        key = store.write(SetKeys(namespace="n", items=((name, str(value)),), at=now()))
        once = store.write(Once(key=f"{name} {value}", at=now()))
        await key
        say("K", name, value)
        say("O", name, value, await once)
        await store.write(EndRun(id=run, state=State.SUCCEEDED, at=now(), duration=1))
        say("E", run, 3)


async def litter(store, size=0):
    """Make what retention takes away again."""
    while True:
        run = store.new_id()
        await store.write(
            BeginRun(id=run, operation="chaff", trigger="call", node=store.node, at=now(), labels=(f"chaff {run}",))
        )
        for seq in range(1, 6):
            store.write(AddRecord(run=run, seq=seq, at=now(), message=f"chaff {'x' * size}"))
        await store.write(EndRun(id=run, state=State.SUCCEEDED, at=now(), duration=1))


def copy(path):
    # a name of its own: several processes do it at once
    target = path.with_name(f"{os.getpid()}.bak")
    while True:
        say("T", "backup")
        back_up(path, target, replace=True)
        say("t", "backup")
        say("C")
        time.sleep(0.05)


async def write(path, group, *options):
    if "lying" in options:
        lie()
    _care._ROUND, _care._WHOLE = 0.05, 0.5
    store = open_store(path, group=group if group != "-" else None)
    await store.open()
    say("R", store.role.value)
    retention = Retention(operations={"chaff": Keep(runs=10)})
    store.retain(retention)

    def take(role):
        say("R", role.value)
        store.retain(retention)

    store.on_role(take)
    if "lying" not in options:
        threading.Thread(target=copy, args=(Path(path),), daemon=True).start()
    await asyncio.gather(litter(store), *(work(store, number) for number in range(4)))


async def tend(path, what):
    """Write little, and do very much for the file itself."""
    honest = _alone.tend

    def tell(file, write):
        say("T", write.kind)
        if write.kind == what:
            # it takes longer, so that a kill comes into its middle
            file.connection.set_progress_handler(lambda: time.sleep(0.0005), STEPS[what])
        done = honest(file, write)
        file.connection.set_progress_handler(None, 0)
        say("t", write.kind)
        return done

    _alone.tend = tell
    _care._ROUND, _care._WHOLE, _care._FEW_PAGES, _care._LOOSE, _care._TIGHT = 0.02, 0.5, 8, 0.0, 0.0
    # what is erased has been in the index
    _indexing._SOON, _indexing._MANY = 0.0, 5
    # and most of a part is soon gone
    _index._FULL, _index._STALE = 40, 1
    store = open_store(path)
    await store.open()
    store.retain(Retention(operations={"chaff": Keep(runs=20)}))
    threading.Thread(target=copy, args=(Path(path),), daemon=True).start()
    await asyncio.gather(work(store, 0), work(store, 1), litter(store, 3000))


async def migrate(path):
    _engine.shipped = lambda: [*shipped(), *LATER]
    say("I")
    store = open_store(path)
    await store.open()
    say("M")


def main():
    what, *arguments = sys.argv[1:]
    if what == "write":
        asyncio.run(write(*arguments))
    elif what == "tend":
        asyncio.run(tend(*arguments))
    elif what == "migrate":
        asyncio.run(migrate(*arguments))
    elif what == "restore":
        say("I")
        restore(*map(Path, arguments))
        say("M")


if __name__ == "__main__":
    main()
