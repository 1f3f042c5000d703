"""A database that takes no writes for a while."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest

from binp.store import open_store
from binp.store.contract import AddRecord, Health, SetKeys, State, StoreError
from binp.store.sqlite import _client, _commit, _flight, _outbox, _writer
from binp.store.sqlite._receipt import Receipt
from binp.store.sqlite._tend import Checkpoint, Erase


def key(name="k", value="1"):
    return SetKeys(namespace="n", items=((name, value),), at=1)


@pytest.fixture
def hurry(monkeypatch):
    """Attempts follow each other quickly."""
    monkeypatch.setattr(_writer, "_PROBE", 0.01)


@pytest.fixture
def no_patience(hurry, monkeypatch):
    """Writes do not wait for a file that takes none."""
    monkeypatch.setattr(_writer, "PATIENCE", 0.0)


class Foreign:
    """Another program, which holds a lock."""

    def __init__(self, path):
        program = (
            "import sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('BEGIN IMMEDIATE')\n"
            "print('locked', flush=True)\n"
            "sys.stdin.read()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout.readline() == b"locked\n"

    def end(self):
        self.process.communicate()


@pytest.fixture
def lock():
    with contextlib.ExitStack() as stack:

        def hold(path):
            foreign = Foreign(path)
            stack.callback(foreign.end)
            return foreign

        yield hold


def patient(store, milliseconds=20):
    store._engine._writer.connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


async def test_writes_wait_for_a_file_that_is_locked(path, store, writes, hurry, lock, caplog, until):
    """While another program holds a lock, writes wait, the store says why since when, and reads go on."""
    told = []
    end = store.on_health(told.append)
    await store.write(key())
    patient(store)
    foreign = lock(path)
    before = time.time_ns() // 1000
    begin = writes.begin()
    acks = [store.write(begin), store.write(writes.record(begin.id, 1)), store.write(writes.end(begin.id))]
    await until(lambda: store.health.is_degraded)

    assert "locked by another program" in store.health.reason
    assert "end the program" in store.health.fix
    assert before - 1_000_000 < store.health.since < time.time_ns() // 1000 + 1_000_000
    assert store.queued == 3
    assert (await store.get_key("n", "k")).value == "1"

    foreign.end()
    assert [await ack for ack in acks] == [True, True, True]
    await until(lambda: not store.health.is_degraded)
    assert (await store.get_run(begin.id)).state is State.SUCCEEDED
    await until(lambda: len(told) == 2)
    assert [health.is_degraded for health in told] == [True, False]
    assert told[1] == Health()
    # the index may have been due just then, which says so itself
    said = [record.message for record in caplog.records if record.name == "binp.store"]
    said = [message for message in said if not message.startswith("the index of runs could not be written")]
    assert len(said) == 2
    assert said[0].startswith("the store takes no writes: the database is locked by another program")
    assert said[1] == "the store takes writes again"
    end()


async def test_who_has_waited_for_long_is_told_why(path, store, no_patience, lock, until):
    """After a while those who wait hear of the reason, threads too; what comes later is tried as well."""
    patient(store)
    foreign = lock(path)
    ack = store.write(key())
    waiting = asyncio.create_task(asyncio.to_thread(store.write(key("other")).wait))

    for one in (ack, waiting):
        with pytest.raises(StoreError, match="locked by another program"):
            await one
    with pytest.raises(StoreError, match="locked by another program"):
        await store.write(key())
    assert store.health.is_degraded

    foreign.end()
    await until(lambda: not store.health.is_degraded)
    assert await store.write(key()) is True


async def test_what_needs_no_space_does_not_say_that_writes_are_taken(path, store, no_patience, lock, caplog, until):
    """What is done for the file itself while it takes no writes, done or not, is no sign that it takes them again."""
    patient(store)
    lock(path)
    with pytest.raises(StoreError, match="locked by another program"):
        await store.write(key())

    async def is_done(write):
        receipt = Receipt(write)
        store._outbox.put(receipt)
        with contextlib.suppress(StoreError):
            await receipt
            return True
        return False

    # what comes just when the file is tried fails with that
    await until(lambda: is_done(Checkpoint()))
    assert not await is_done(Erase(runs=(1,), at=1))

    assert store.health.is_degraded
    assert "the store takes writes again" not in [record.message for record in caplog.records]


async def test_a_store_is_closed_while_its_file_is_locked(path, lock, until):
    """Closing tries once more, tells whoever waits, and ends."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    patient(store)
    lock(path)
    ack = store.write(key())
    await until(lambda: store.health.is_degraded)
    await store.close()

    with pytest.raises(StoreError, match="locked by another program"):
        await ack


async def test_ends_that_are_never_written_are_told(path, store, writes, no_patience, lock, caplog, until):
    """Ends of runs that were kept for later, and for which no later came, are logged when it is closed."""
    begins = [writes.begin() for _ in range(3)]
    for begin in begins:
        await store.write(begin)
    patient(store)
    foreign = lock(path)
    for begin in begins[1:]:
        with pytest.raises(StoreError, match="locked by another program"):
            await store.write(writes.end(begin.id))
    assert "without the ends" not in caplog.text
    await store.close()
    ids = ", ".join(str(begin.id) for begin in begins[1:])
    assert f"the store was closed without the ends of 2 runs: {ids}" in caplog.text

    foreign.end()
    caplog.clear()
    await store.open()
    patient(store)
    await store.write(begin := writes.begin())
    foreign = lock(path)
    with pytest.raises(StoreError, match="locked by another program"):
        await store.write(writes.end(begin.id))
    foreign.end()
    await until(lambda: not store.health.is_degraded)
    await store.close()
    assert "without the ends" not in caplog.text


async def test_a_file_that_may_not_be_written_to_any_more(path, store, no_patience, until):
    """A file that became read-only refuses with words, and is written to when that is over."""
    connection = store._engine._writer.connection
    await store.write(key())
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="the database cannot be written to"):
        await store.write(key())

    assert store.health.fix == "make the file and its directory writable"
    connection.execute("PRAGMA query_only = 0")
    await until(lambda: not store.health.is_degraded)
    assert await store.write(key()) is True


async def test_a_log_that_was_removed_takes_no_more_writes(path, store):
    """Nothing is acknowledged into a write-ahead log that is not there any more."""
    await store.write(key())
    path.with_name("data.db-wal").unlink()

    with pytest.raises(StoreError, match="removed or replaced"):
        await store.write(key())
    assert store.health.is_degraded


@pytest.mark.parametrize("what", ["data.db", "data.db-wal", "folder"])
@pytest.mark.parametrize("are_times_put_back", [False, True])
async def test_what_was_removed_is_noticed_however_long_all_was_well(
    path, store, what, are_times_put_back, monkeypatch
):
    """Writes that found all in its place for long look again, whatever the folder's times are set to."""
    monkeypatch.setattr(_commit, "_TICK", 50_000_000)
    monkeypatch.setattr(_commit, "_TRUSTED", 60.0)
    before = path.parent.stat()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        await store.write(key())
    place = path.parent if what == "folder" else path.with_name(what)
    aside = place.with_name(place.name + "-aside")
    place.rename(aside)
    if what == "folder":
        place.mkdir()
    if are_times_put_back:
        # as by one who copies a whole folder back
        os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))

    for _ in range(2):
        with pytest.raises(StoreError, match="removed or replaced"):
            await store.write(key())
    assert store.health.is_degraded
    if what == "folder":
        place.rmdir()
    aside.rename(place)


async def test_a_directory_that_was_removed(path, caplog):
    """A store whose directory is gone is closed all the same, and says that it could not say so."""
    store = open_store(str(path))
    await store.open()
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1, durable=False))
    shutil.rmtree(path.parent)
    await store.close()

    assert any(record.levelname in {"WARNING", "ERROR"} for record in caplog.records if record.name == "binp.store")


async def test_a_disk_that_is_full(small_disk, writes_of, no_patience, until):
    """When the disk is full, what was acknowledged stays, the rest is told, and writing goes on with space."""
    store = open_store(str(small_disk / "data.db"))
    await store.open()
    writes = writes_of(store)
    kept, refused = [], None
    while refused is None:
        begin = writes.begin(arguments='"' + "x" * 20_000 + '"')
        try:
            await store.write(begin)
            kept.append(begin.id)
        except StoreError as error:
            refused = begin.id, error

    assert "there is no space left for the database" in str(refused[1])
    assert store.health.fix == "free some space; nothing that was acknowledged is lost"
    assert kept
    assert [(await store.get_run(run)).state for run in kept] == [State.RUNNING] * len(kept)
    assert await store.get_run(refused[0]) is None

    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    await until(lambda: not store.health.is_degraded)
    assert await store.write(writes.end(kept[0])) is True
    await store.close()


def test_a_disk_that_reports_errors(path, run_python):
    """An error of the disk is told, loses nothing that was acknowledged, and is got over."""
    out = run_python(
        "import asyncio, logging, resource\n"
        "from binp.store import open_store\n"
        "from binp.store.contract import SetKeys, StoreError\n"
        "from binp.store.sqlite import _writer\n"
        "logging.disable()\n"
        "_writer.PATIENCE, _writer._PROBE = 0.0, 0.01\n"
        "def key(value):\n"
        "    return SetKeys(namespace='n', items=(('k', value),), at=1)\n"
        "async def main():\n"
        f"    store = open_store({str(path)!r})\n"
        "    await store.open()\n"
        "    await store.write(key('1'))\n"
        f"    size = __import__('os').stat({str(path)!r} + '-wal').st_size\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 2000, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        await store.write(key('2'))\n"
        "    except StoreError as error:\n"
        "        print(error.what)\n"
        "    print((await store.get_key('n', 'k')).value, store.health.is_degraded)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "    while store.health.is_degraded:\n"
        "        await asyncio.sleep(0.01)\n"
        "    await store.write(key('3'))\n"
        "    print((await store.get_key('n', 'k')).value)\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )

    assert out.splitlines() == ["the disk reports an error (disk I/O error)", "1 True", "3"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT key, value FROM kv").fetchall() == [("k", "3")]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


class Lying:
    """A connection whose next commit reports an error, before or after it is done."""

    def __init__(self, connection, *, commits):
        self._connection = connection
        self._commits = commits
        self._is_armed = True

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, sql, *parameters):
        if sql == "COMMIT" and self._is_armed:
            self._is_armed = False
            if self._commits:
                self._connection.execute(sql)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(sql, *parameters)


@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize("kind", ["run", "record", "key"])
async def test_a_commit_whose_outcome_is_unknown_is_looked_up(store, writes, hurry, commits, kind, until):
    """When a commit reports an error, the file tells whether it was done: it is acknowledged once, and done once."""
    begin = writes.begin()
    if kind == "record":
        await store.write(begin)
    file = store._engine._writer._file
    file.connection = Lying(file.connection, commits=commits)
    write = {"run": begin, "record": writes.record(begin.id, 1), "key": key("a/b", "7")}[kind]

    assert await store.write(write) is True
    if kind == "key":
        found = await store.get_key("n", "a/b")
        assert (found.value, found.version) == ("7", 1)
    else:
        run = await store.get_run(begin.id)
        assert (run.records, run.rev) == (int(kind == "record"), 1)
    await until(lambda: not store.health.is_degraded)


async def test_other_processes_are_told(path, worker, lock, until):
    """A process that writes through another one knows when that cannot write, and when it can again."""
    owner = worker(path, "g", "idle")
    owner.read(1)
    store = open_store(str(path), group="g")
    await store.open()
    assert store.role == "client"
    foreign = lock(path)
    ack = store.write(key(value="0"))
    await until(lambda: store.health.is_degraded)

    assert "locked by another program" in store.health.reason
    late = open_store(str(path), group="other")
    with pytest.raises(StoreError):
        await late.open()
    foreign.end()
    await until(lambda: not store.health.is_degraded)
    assert await ack is True
    assert await store.write(key()) is True
    await store.close()


async def test_nothing_grows_without_bound_while_nothing_is_written(path, store, writes, hurry, lock, monkeypatch):
    """Behind a lock, what nobody awaits is refused above a limit; far above it all is, but for ends of what began."""
    monkeypatch.setattr(_outbox, "_MOST", 100)
    begins = [writes.begin() for _ in range(10)]
    for begin in begins:
        await store.write(begin)
    patient(store)
    foreign = lock(path)
    records = [store.write(writes.record(begins[0].id, seq)) for seq in range(1, 1001)]
    keys = []
    for number in range(1000):
        keys.append(store.write(key(str(number))))
        # attempts are made meanwhile, each with all that is queued
        if number % 100 == 0:
            await asyncio.sleep(0.05)
    ends = [store.write(writes.end(begin.id)) for begin in begins]

    assert store.queued <= 100 * _outbox._UTMOST + len(ends)
    foreign.end()
    results = await asyncio.gather(*map(_await, (*records, *keys, *ends)), return_exceptions=True)
    refused = [result for result in results if result is not True]
    assert all(isinstance(result, StoreError) and "does not keep up" in str(result) for result in refused)
    assert results[-len(ends) :] == [True] * len(ends)
    assert results[:1000].count(True) <= 100
    assert results[1000:2000].count(True) <= 100 * _outbox._UTMOST
    assert (await store.get_run(begins[0].id)).records == results[:1000].count(True)


async def _await(ack):
    return await ack


async def test_a_client_sends_no_more_than_its_owner_can_take(path, worker, lock, monkeypatch, until):
    """What is on its way to an owner that cannot write is bounded, by number and by size; the rest waits here."""
    owner = worker(path, "g")
    owner.read(1)
    monkeypatch.setattr(_client, "_BATCH", 10)
    monkeypatch.setattr(_flight, "_MOST", 100)
    store = open_store(str(path), group="g")
    await store.open()
    run = store.new_id()
    foreign = lock(path)
    acks = [store.write(AddRecord(run=run, seq=seq, at=1, message="x")) for seq in range(1, 2001)]
    client = store._engine._client
    await until(lambda: len(client._flight) >= 100)

    assert len(client._flight) <= 110
    assert store.queued >= 1880
    monkeypatch.setattr(_flight, "_MOST_CHARACTERS", 5)
    foreign.end()
    # of an unknown run
    assert [await ack for ack in acks] == [False] * 2000
    await store.close()
