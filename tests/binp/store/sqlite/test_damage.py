"""Bytes that something else changed in the file while it is open."""

import asyncio
import contextlib
import sqlite3

import pytest

from binp.store import open_store
from binp.store.contract import (
    Health,
    Keep,
    Retention,
    RunQuery,
    SetDesired,
    SetKeys,
    StoreDamaged,
    StoreError,
    as_datetime,
)
from binp.store.sqlite import (
    _connect,
    _indexing,
    _writer,
    back_up,
    check,
    export,
    usage_of,
)


def key(name, value="1"):
    return SetKeys(namespace="n", items=((name, value),), at=1)


@pytest.fixture
async def large(path, no_index, monkeypatch, writes_of):
    """A store with a run in it, of a file that is too large to be looked through when it is opened; and its run.

    Nothing but what a test does meets what is damaged: the index is not written.
    """
    monkeypatch.setattr(_writer, "_PROBE", 0.01)
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    writes = writes_of(store)
    begin = writes.begin()
    await store.write(begin)
    await store.write(writes.record(begin.id, 1))
    await store.write(writes.end(begin.id))
    await store.write(key("before"))
    await store.close()
    monkeypatch.setattr(_connect, "_SMALL", 0)
    await store.open()
    yield store, begin.id
    await store.close()


def damage(path, table):
    """Overwrite the page at which *table* begins."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 512)


def forget(store):
    """Let the writer read from the file again what it has read before."""
    store._engine._writer.connection.execute("PRAGMA shrink_memory")


async def test_a_read_that_meets_damage(large, path, caplog, until):
    """It fails in words, the health tells of it until the store is closed, and what is sound is read and written."""
    store, run = large
    told = []
    store.on_health(told.append)
    damage(path, "record")
    assert not store.health.reason

    for _ in range(2):
        with pytest.raises(StoreDamaged, match="the database is damaged") as caught:
            await store.get_records(run)
    assert "binp restore" in caught.value.fix
    assert (store.health.is_damaged, store.health.is_degraded, store.health.passes) == (True, False, False)
    assert store.health.since is not None
    assert "binp check" in store.health.fix
    assert [row.id for row in (await store.find_runs(RunQuery())).runs] == [run]
    assert await store.write(key("after")) is True
    assert (await store.get_key("n", "after")).value == (await store.get_key("n", "before")).value == "1"
    await until(lambda: told)
    assert [health.is_damaged for health in told] == [True]
    said = [record for record in caplog.records if "cannot be read" in record.message]
    assert len(said) == 1
    assert said[0].exc_info is None

    await store.close()
    await store.open()
    assert store.health == Health()


@pytest.mark.parametrize("read", ["get_value", "get_key", "list_keys", "get_run", "find_runs", "get_once", "get_usage"])
async def test_every_read_says_so(large, path, read):
    """Single rows and lists alike."""
    store, run = large
    for table in ("kv", "run", "once"):
        damage(path, table)
    given = {"get_run": (run,), "find_runs": (RunQuery(),), "get_once": ("x",), "list_keys": ("n",), "get_usage": ()}

    with pytest.raises(StoreDamaged, match="the database is damaged"):
        await getattr(store, read)(*given.get(read, ("n", "before")))
    assert store.health.is_damaged


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("labels = CAST(x'ff41' AS TEXT)", "Could not decode"),
        ("labels = '[\"a\"'", "a text in it is not JSON"),
        ("state = 9", "9 is not a state of a run"),
    ],
)
async def test_a_row_that_is_not_what_was_written(large, path, change, what):
    """Bytes inside a row that SQLite cannot know to be wrong are damage where they make no sense."""
    store, run = large
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"UPDATE run SET {change}")

    with pytest.raises(StoreDamaged, match=what):
        await store.get_run(run)
    with pytest.raises(StoreDamaged, match=what):
        await store.find_runs(RunQuery())
    assert store.health.is_damaged


def test_a_moment_that_nobody_can_have_written():
    """Microseconds that are no moment are damage as well, and no crash."""
    with pytest.raises(StoreDamaged, match="is not a moment"):
        as_datetime(2**62)


async def test_a_mistake_in_the_writer_itself_ends_nothing(store, monkeypatch, caplog, until):
    """Whatever goes wrong between two batches, the thread that writes goes on: nobody waits for ever."""
    monkeypatch.setattr(_writer, "_PROBE", 0.01)
    writer = store._engine._writer
    honest = writer._keep_house
    left = [1, 2, 3]

    def fail():
        if left:
            raise RuntimeError(f"mistake {left.pop()}")
        return honest()

    writer._keep_house = fail
    for name in "abc":
        assert await store.write(key(name)) is True
    await until(lambda: not store.health.reason)
    assert "the store itself failed" in caplog.text


async def test_a_write_that_meets_damage(large, path, writes_of, caplog, monkeypatch):
    """It fails in words, and so does every later one: none is acknowledged that might land where nobody finds it."""
    store, run = large
    writes = writes_of(store)
    begin = writes.begin()
    await store.write(begin)
    await store.write(key("kept"))
    damage(path, "record")
    forget(store)

    with pytest.raises(StoreDamaged, match="the database is damaged"):
        await store.write(writes.record(begin.id, 1))
    assert (store.health.is_degraded, store.health.passes, store.health.is_damaged) == (True, False, False)
    # many attempts later, if there were any
    await asyncio.sleep(0.2)
    monkeypatch.setattr(_writer, "_PROBE", 300.0)
    for write in (key("later"), writes.record(begin.id, 2), writes.begin()):
        with pytest.raises(StoreError, match="the database is damaged"):
            await store.write(write)
    assert store.health.is_degraded
    assert (await store.get_key("n", "kept")).value == "1"
    assert (await store.get_run(run)).records == 1
    await store.close()

    assert not [record for record in caplog.records if record.exc_info]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT key FROM kv ORDER BY key").fetchall() == [("before",), ("kept",)]
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (2,)


async def test_housekeeping_that_meets_damage(path, large, monkeypatch, caplog, until):
    """Where only the index cannot be written that is told, and what is written is kept."""
    store, _ = large
    monkeypatch.setattr(_indexing, "_SOON", 0.01)
    await store.close()
    await store.open()
    damage(path, "unindexed")
    forget(store)
    await store.write(key("nudge"))
    await until(lambda: store.health.reason)

    assert store.health.is_damaged
    assert not store.health.is_degraded
    assert await store.write(key("after")) is True
    assert not [record for record in caplog.records if record.exc_info]


async def test_care_that_meets_damage(path, large, caplog, until):
    """Where it cannot be found out what is old that is the problem that is told; what is written is kept."""
    store, _ = large
    damage(path, "run")
    store.retain(Retention(general=Keep(days=1)))
    await until(lambda: store._engine.problem)

    assert "the database is damaged" in store._engine.problem
    assert await store.write(key("after")) is True
    assert not [record for record in caplog.records if record.exc_info]


async def test_trouble_that_is_over_leaves_damage_known(large, path, monkeypatch, until):
    """A lock that comes and goes does not make a damaged database sound."""
    store, run = large
    damage(path, "record")
    with pytest.raises(StoreDamaged):
        await store.get_records(run)
    connection = store._engine._writer.connection
    connection.execute("PRAGMA query_only = 1")
    ack = store.write(key("waits"))
    await until(lambda: store.health.is_degraded)
    assert store.health.passes
    connection.execute("PRAGMA query_only = 0")

    assert await ack is True
    await until(lambda: not store.health.is_degraded)
    assert store.health.is_damaged


async def test_damage_that_is_quoted(large, path):
    """Where SQLite quotes what is not text any more its module fails in another way, which is damage as well."""
    store, run = large
    await store.close()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"CREATE TABLE service", b"CREATE \xe1\x8bBLE service"))

    assert "the database is damaged" in next(check(path)).problems[0]
    for look in (lambda path: list(export(path)), usage_of, lambda path: back_up(path, path.with_name("copy.db"))):
        with pytest.raises(StoreDamaged, match="the database is damaged"):
            look(path)
    with pytest.raises(StoreDamaged, match="the database is damaged"):
        await store.open()
    path.write_bytes(whole)
    await store.open()
    assert (await store.get_run(run)).records == 1


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"    attempt INTEGER", b"    atdempt INTEGER", "table run has not the columns that it was made with"),
        (b"CREATE TABLE service (\n    name", b"CREATE TABLE service (\n    nbme", "table service has not the columns"),
    ],
)
async def test_tables_that_are_not_what_they_were(large, path, writes_of, old, new, what):
    """Where the file tells of other tables than those that were made, that is damage, in words with a remedy."""
    store, _ = large
    await store.close()
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))

    with pytest.raises(StoreDamaged, match=what):
        list(export(path))
    await store.open()
    writes = (writes_of(store).begin(), SetDesired(name="s", running=True, actor=None, at=1))
    failures = []
    for write in writes:
        try:
            await store.write(write)
        except StoreError as error:
            failures.append(error)
    (failed,) = failures
    assert isinstance(failed, StoreDamaged)
    assert "the tables of the database are not what they were" in failed.what
    assert failed.where == str(path)
    assert "binp restore" in failed.fix
