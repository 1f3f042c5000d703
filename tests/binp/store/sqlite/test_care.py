"""The file while it is taken care of: what is too old goes, the space is given back, and nobody waits long."""

import asyncio
import itertools
import logging
import math
import sqlite3
import time

from binp.store import open_store
from binp.store.contract import BeginRun, EndRun, Keep, Once, Retention, SetKeys, State
from binp.store.sqlite import _care
from binp.store.sqlite._connect import connect_writer
from binp.store.sqlite._erase import KEPT_RECORDS
from binp.store.sqlite._file import File
from binp.store.sqlite._ids import EPOCH
from binp.store.sqlite._index import put_in
from binp.store.sqlite._migrate import migrate, shipped

WEEK = Retention(general=Keep(days=7))
DAY = 86_400_000_000


async def round_of(store, retention):
    """Let *store* do a whole round with *retention*."""
    before = 0 if store._engine._care is None else store._engine._care.rounds
    store.retain(retention)
    async with asyncio.timeout(200):
        while store._engine._care.rounds <= before:
            await asyncio.sleep(0.01)


def fill(path, count, *, days=30, size=200):
    """A file with *count* runs, each with a record and two labels."""
    connection = connect_writer(path, "OFF")
    migrate(connection, path, shipped())
    at = time.time_ns() // 1000 - days * DAY
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
        " duration, records, rev, labels) SELECT ? + i * 4096, 1, 1, 2, 2, 1, 1, 3, ? + i * 1000, ? + i * 1000, 5, 1,"
        " 2, json_array('label-' || (1 + i % 50), 'label-' || (51 + i % 50)) FROM n",
        (first, at, at),
    )
    connection.execute(
        f"{numbers} INSERT INTO record SELECT ? + i * 4096, 1, ?, 4, 5, hex(randomblob(?)), NULL FROM n",
        (first, at, size // 2),
    )
    file = File(connection, path)
    while put_in(file):
        pass
    connection.execute("COMMIT")
    connection.close()


async def test_what_is_too_old_goes(store, past):
    """A round erases what is too old and keeps the rest; how many it were is told, also after the next start."""
    runs = [await past.run(days=days, records=2, labels=("x",)) for days in (30, 20, 10, 5, 1)]
    assert (await store.get_usage()).erased == 0

    await round_of(store, WEEK)

    assert await past.kept(*runs) == [3, 4]
    usage = await store.get_usage()
    assert (usage.runs, usage.erased) == (2, 3)
    assert usage.oldest_at == (await store.get_run(runs[3])).started_at
    assert abs(usage.last_erased_at.timestamp() - time.time()) < 60
    await store.close()
    await store.open()
    assert (await store.get_usage()).erased == 3


async def test_other_limits_count_from_the_moment_they_are_set(store, past):
    """A store that is told otherwise looks at everything again at once."""
    runs = [await past.run(days=days) for days in (30, 20, 10)]
    await round_of(store, Retention(general=Keep(days=25)))
    assert await past.kept(*runs) == [1, 2]

    await round_of(store, Retention(general=Keep(runs=1)))
    assert await past.kept(*runs) == [2]


async def test_nothing_goes_where_nothing_was_said(store, past):
    """Without limits everything is kept."""
    runs = [await past.run(days=days) for days in (600, 20)]

    await round_of(store, Retention())
    await round_of(store, Retention(general=Keep(days=math.inf)))

    assert await past.kept(*runs) == [0, 1]


async def test_a_run_with_very_many_records_goes_in_parts(store, past, writes, monkeypatch):
    """A run of any length is erased without keeping the file from others for long."""
    monkeypatch.setattr(_care, "_MOST", 300)
    run = await past.run(days=10, records=KEPT_RECORDS + 2000)
    parent = await past.run(days=10, records=KEPT_RECORDS + 10)
    await past.run(days=9, parent=parent, state=State.RUNNING)

    await round_of(store, WEEK)

    assert await store.get_run(run) is None
    assert await store.get_records(run, limit=10_000) == []
    # what is not erased yet loses nothing
    assert len(await store.get_records(parent, limit=10_000)) == KEPT_RECORDS + 10


async def test_what_a_service_said_long_ago_goes(store, past, writes):
    """A run that goes on for ever keeps its first records and those that are not too old."""
    run = await past.run(days=30, records=KEPT_RECORDS + 500, state=State.RUNNING)
    first = KEPT_RECORDS + 501
    for seq in range(first, first + 30):
        await store.write(writes.record(run, seq))

    await round_of(store, WEEK)

    kept = [record.seq for record in await store.get_records(run, limit=10_000)]
    assert kept == [*range(1, KEPT_RECORDS + 1), *range(first, first + 30)]
    assert (await store.get_run(run)).state is State.RUNNING


async def test_what_may_happen_once_is_remembered_for_long(store, past, writes):
    """What happened once is forgotten after ninety days, and so is a process that went."""
    now = time.time_ns() // 1000
    await store.write(Once(key="old", at=now - 91 * DAY))
    await store.write(Once(key="young", at=now - 89 * DAY))
    connection = store._engine._writer.connection
    connection.execute(
        "INSERT INTO node (name, slot, host, boot, pid, started, since, seen, gone) VALUES"
        " ('old', 1, '', '', 1, 0, 0, 0, ?), ('young', 1, '', '', 1, 0, 0, 0, ?)",
        (now - 91 * DAY, now - 89 * DAY),
    )

    await round_of(store, Retention())

    assert await store.write(Once(key="old", at=now)) is True
    assert await store.write(Once(key="young", at=now)) is False
    assert {name for (name,) in connection.execute("SELECT name FROM node")} == {store.node, "young"}


async def test_the_file_shrinks_while_others_write(path, caplog):
    """The file becomes small while it is open, others write all the time, and what they write is kept."""
    fill(path, 20_000)
    before = path.stat().st_size
    store = open_store(str(path))
    await store.open()
    waits = []
    numbers = itertools.count()
    is_done = asyncio.Event()

    async def write():
        while not is_done.is_set():
            began = time.perf_counter()
            await store.write(SetKeys(namespace="n", items=((f"k{next(numbers)}", "1"),), at=1))
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)

    writing = [asyncio.create_task(write()) for _ in range(4)]
    with caplog.at_level(logging.INFO, "binp.store"):
        await round_of(store, Retention(general=Keep(runs=500)))
    is_done.set()
    await asyncio.gather(*writing)
    print(f"{len(waits)} writes, the longest took {max(waits) * 1000:.0f} ms")

    usage = await store.get_usage()
    assert (usage.runs, usage.erased) == (500, 19_500)
    assert "19500 old runs were erased" in caplog.text
    async with asyncio.timeout(200):
        # not while others wrote
        while path.stat().st_size > before / 4:
            await round_of(store, Retention(general=Keep(runs=500)))
    assert len(await store.list_keys("n", limit=1000)) == min(1000, len(waits))
    await store.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert check.execute("SELECT count(*) FROM record WHERE run NOT IN (SELECT id FROM run)").fetchone() == (0,)
    check.close()


async def test_a_file_that_is_too_large_loses_its_oldest_runs(no_index, path, monkeypatch):
    """Above the size the oldest runs go, not more than needed; those with a rule of their own stay.

    What the index writes after the round is the next round's: a few pages more.
    """
    # of many parts, as it is in a file that is worth the care
    monkeypatch.setattr("binp.store.sqlite._index._FULL", 500)
    fill(path, 6000)
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    used = (await store.get_usage()).used
    kept = (await store.find_runs(_labelled("label-7", limit=200))).runs

    await round_of(store, Retention(size=used // 2, labels={"label-7": Keep(days=math.inf)}))

    usage = await store.get_usage()
    assert used // 3 < usage.used <= used // 2
    assert 1000 < usage.runs < 4000
    assert usage.problem is None
    assert (await store.find_runs(_labelled("label-7", limit=200))).runs == kept
    await store.close()


async def test_nothing_goes_for_the_size_where_enough_went_before(no_index, tmp_path, monkeypatch):
    """What goes by another rule makes room, also in the index, before it is looked how large the file is."""
    monkeypatch.setattr("binp.store.sqlite._index._FULL", 3000)
    few = Keep(runs=3100)
    most = None
    for name in ("one", "two"):
        path = tmp_path / name
        fill(path, 6000, size=2)
        store = open_store(str(path), synchronous="OFF")
        await store.open()
        await round_of(store, Retention(general=few, size=most))
        usage = await store.get_usage()
        assert usage.runs == 3100
        # the pages of two files are not filled in just the same way
        most = usage.used * 21 // 20
        await store.close()


def _labelled(label, **given):
    from binp.store.contract import RunQuery

    return RunQuery(labels=(label,), **given)


async def test_keys_cannot_push_out_the_last_runs(path, caplog):
    """What is no run does not go; the newest thousand runs stay whatever the size, and it is said why, once."""
    fill(path, 1200)
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    await store.write(SetKeys(namespace="n", items=(("big", '"' + "x" * 3_000_000 + '"'),), at=1))

    for _ in range(2):
        await round_of(store, Retention(size=1_000_000))

    usage = await store.get_usage()
    assert usage.runs == 1000
    assert usage.problem.endswith("what is left is kept by a rule of its own, is in flight, or is no run")
    assert caplog.text.count("may take up 1,000,000") == 1
    await round_of(store, Retention(size=10_000_000))
    assert (await store.get_usage()).problem is None
    await store.close()


async def test_a_failure_is_told_and_got_over(store, past, monkeypatch, caplog):
    """What keeps it from erasing is told once and in the usage, and it goes on when that is over."""
    monkeypatch.setattr(_care, "_ROUND", 0.05)
    run = await past.run(days=10)
    connection = store._engine._writer.connection
    connection.execute("CREATE TRIGGER broken BEFORE DELETE ON run BEGIN SELECT raise(ABORT, 'not now'); END")

    store.retain(WEEK)
    async with asyncio.timeout(200):
        while (await store.get_usage()).problem is None:
            await asyncio.sleep(0.01)
    assert "not now" in (await store.get_usage()).problem
    await asyncio.sleep(0.2)
    assert caplog.text.count("what is old could not be erased") == 1
    assert await store.get_run(run) is not None

    async with asyncio.timeout(200):
        while await store.get_run(run) is not None or (await store.get_usage()).problem is not None:
            # within an attempt that fails it is there again when that is rolled back
            connection.execute("DROP TRIGGER IF EXISTS broken")
            await asyncio.sleep(0.01)


async def test_it_is_closed_in_the_middle(path, monkeypatch):
    """A store that is being cared for closes at once, leaves one file, and goes on after the next start."""
    fill(path, 20_000)
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    with monkeypatch.context() as patch:
        # however slowly this test gets on: the rest is not erased before it closes the store
        patch.setattr(_care.Care, "_pause", lambda care, _seconds: care._wake.wait())
        store.retain(Retention(general=Keep(runs=0)))
        while (await store.get_usage()).erased == 0:
            await asyncio.sleep(0.005)
        await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["data.db"]

    await store.open()
    assert (left := (await store.get_usage()).runs) > 0
    await round_of(store, Retention(general=Keep(runs=0)))
    usage = await store.get_usage()
    assert (usage.runs, usage.erased) == (0, 20_000)
    assert left < 20_000
    await store.close()


async def test_runs_begin_and_end_while_others_go(store, past):
    """A child that begins while its parent is looked at keeps it; nothing else is disturbed."""
    runs = [await past.run(days=20 - number / 1000) for number in range(300)]
    store.retain(Retention(general=Keep(runs=5)))
    children = []
    for parent in runs:
        child = store.new_id()
        store.write(
            BeginRun(
                id=child, operation="c", trigger="call", node=store.node, at=_care.time.time_ns() // 1000, parent=parent
            )
        )
        children.append(child)
        await asyncio.sleep(0)
    for child in children:
        assert await store.write(EndRun(id=child, state=State.SUCCEEDED, at=1, duration=1)) is True
    await round_of(store, Retention(general=Keep(runs=5)))

    assert (await store.get_usage()).runs == 5
