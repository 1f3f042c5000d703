"""What is committed gets from the log into the file, and nobody who writes waits for that."""

import asyncio
import logging
import sqlite3
import time

import pytest

from binp.store import open_store
from binp.store.contract import SetKeys, StoreError
from binp.store.sqlite import _checkpoint
from binp.store.sqlite._checkpoint import Checkpoints, pages_in_log
from binp.store.sqlite._receipt import Failure

PATIENCE = 200


def write(store, number, size=20_000):
    return store.write(SetKeys(namespace="n", items=((f"k{number % 100}", "x" * size),), at=number))


@pytest.fixture
def log(path):
    return path.with_name(path.name + "-wal")


def test_the_pages_of_a_log_are_counted(path, log):
    """N-06: each time it begins anew only what was written since counts, although it does not become shorter."""
    assert pages_in_log(log) == 0
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (v)")
    for round_ in range(3):
        for number in range(50):
            connection.execute("INSERT INTO t VALUES (randomblob(?))", (5000 * (number % (round_ + 1)),))
            # a checkpoint that changes nothing knows it as well
            if number % 10 == 0:
                counted = pages_in_log(log)
                assert counted == connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    size = log.stat().st_size
    connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.execute("INSERT INTO t VALUES (1)")
    assert 0 < pages_in_log(log) < 5
    assert log.stat().st_size == size
    connection.close()


async def test_what_is_committed_gets_into_the_file(store, path, log, until):
    """The log is brought into the file when it has some pages, by nobody who writes, and is used again then."""
    assert store._engine._writer.connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0] > 10_000
    small = path.stat().st_size
    for number in range(400):
        await write(store, number)
    await until(lambda: path.stat().st_size > small + 1_000_000)
    # whoever writes when all of it is in the file begins it anew
    async with asyncio.timeout(PATIENCE):
        before = after = 0
        while after >= before:
            before = after
            await asyncio.gather(*(write(store, number) for number in range(300)))
            await asyncio.sleep(0.2)
            after = pages_in_log(log)


async def test_a_log_that_is_always_written_to_does_not_grow_for_ever(store, log, monkeypatch, until):
    """Where somebody always writes, the last pages are brought in between two commits, and it begins anew."""
    monkeypatch.setattr(_checkpoint, "_PAGES", 50)
    monkeypatch.setattr(_checkpoint, "_MANY", 200)
    monkeypatch.setattr(_checkpoint, "_LOOK", 0.01)
    is_enough = False
    counts = []

    async def crowd(first):
        number = first
        while not is_enough:
            number += 1
            await write(store, number)

    tasks = [asyncio.create_task(crowd(100 * place)) for place in range(4)]

    def begun_anew():
        counts.append(pages_in_log(log))
        return sum(after < before for before, after in zip(counts, counts[1:], strict=False)) >= 5

    await until(begun_anew)
    is_enough = True
    await asyncio.gather(*tasks)


async def test_a_reader_keeps_nobody_from_writing(store, path, until):
    """What somebody reads of the log stays in it meanwhile, and whoever writes does not wait for them."""
    await write(store, 0)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM kv").fetchone() == (1,)
    for number in range(1, 600):
        await write(store, number)
    assert reader.execute("SELECT count(*) FROM kv").fetchone() == (1,)
    # what is looked at meanwhile is still read, and nobody writes from here on
    await asyncio.sleep(0.5)
    reader.close()
    await until(lambda: store._engine._writer._checkpoints._done >= 1000)


async def test_a_reader_without_an_end_is_told(store, path, monkeypatch, caplog):
    """N-06: who reads for so long that the log becomes large is told of as a problem, until they are done."""
    monkeypatch.setattr(_checkpoint, "_BY_ITSELF", 1500)
    await write(store, 0)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM kv").fetchone() == (1,)
    for number in range(1, 600):
        await write(store, number)
    async with asyncio.timeout(PATIENCE):
        while "somebody has been reading" not in ((await store.get_usage()).problem or ""):
            await asyncio.sleep(0.01)
    reader.close()
    async with asyncio.timeout(PATIENCE):
        while (await store.get_usage()).problem is not None:
            await asyncio.sleep(0.01)
    assert sum("write-ahead log" in record.message for record in caplog.records) == 1


def test_who_refuses_to_do_the_rest_is_asked_again(path, monkeypatch):
    """A checkpoint that could not be queued is asked for another time, one that is queued only once."""
    monkeypatch.setattr(_checkpoint, "_MANY", 0)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    asked = []
    answers = [Failure(StoreError("very much is queued")), None, None]
    checkpoints = Checkpoints(path, lambda receipt: asked.append(receipt) or answers[len(asked) - 1])
    writer.execute("CREATE TABLE t (v)")
    for number in range(3):
        writer.execute("INSERT INTO t VALUES (randomblob(?))", (5_000_000 * 2**number,))
        checkpoints._look()
        assert len(asked) == min(number + 1, 2)
    checkpoints.stop()
    writer.close()


def test_a_busy_disk_is_left_to_itself(path, monkeypatch):
    """The one who writes is asked for the rest where that takes no time, or where the log has become very long."""
    monkeypatch.setattr(_checkpoint, "_MANY", 5000)
    monkeypatch.setattr(_checkpoint, "_QUICK", -1.0)
    monkeypatch.setattr(_checkpoint, "_FAR", 4)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    # it holds the log, which does not begin anew
    reader = sqlite3.connect(path, isolation_level=None)
    asked = []
    checkpoints = Checkpoints(path, asked.append)
    writer.execute("CREATE TABLE t (v)")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM t").fetchone()
    for most in (6000, 12000, 18000, 24000):
        while pages_in_log(path.with_name(path.name + "-wal")) < most:
            writer.execute("INSERT INTO t VALUES (randomblob(4000000))")
        checkpoints._look()
        assert len(asked) == (most > 20000)
    checkpoints.stop()
    reader.close()
    writer.close()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError("No space left in memory")])
async def test_a_file_that_takes_no_pages_is_told_once(store, monkeypatch, caplog, error, until):
    """What cannot get into the file stays in the log, and is kept; it is said once why, and tried again."""
    monkeypatch.setattr(_checkpoint, "_AGAIN", 0.01)
    checkpoints = store._engine._writer._checkpoints
    attempts = []

    def fail():
        attempts.append(time.monotonic())
        if len(attempts) < 5:
            raise error

    monkeypatch.setattr(checkpoints, "carry", fail)
    with caplog.at_level(logging.WARNING, "binp.store"):
        for number in range(400):
            await write(store, number)
        await until(lambda: len(attempts) >= 5)
    told = [record.message for record in caplog.records if "write-ahead log" in record.message]
    assert len(told) == 1
    assert "No space left" in told[0]
    assert await store.get_value("n", "k1")


async def test_closing_does_not_wait_for_a_checkpoint(path, log):
    """The store is closed while pages are brought in, with everything in the file and nothing beside it."""
    for _ in range(10):
        store = open_store(str(path))
        await store.open()
        await asyncio.gather(*(write(store, number) for number in range(300)))
        await store.close()
        assert not log.exists()
    check = sqlite3.connect(path)
    assert check.execute("SELECT count(*) FROM kv").fetchone() == (100,)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
