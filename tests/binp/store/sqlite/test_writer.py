"""Group commit: grouping, limits, and a loop that is never idle."""

import asyncio
import errno
import gc
import os
import sqlite3
import threading
import time

import pytest

from binp.store import open_store
from binp.store.contract import AddRecord, Once, SetKeys, State, StoreClosed, StoreError
from binp.store.sqlite import _housekeeping, _outbox, _writer


async def test_a_crowd_shares_its_commits(store, writes):
    """What is queued while a commit is under way becomes one commit: far fewer commits than writes (N-10)."""

    async def work():
        for _ in range(10):
            write = writes.begin()
            await store.write(write)
            store.write(writes.record(write.id, 1))
            await store.write(writes.end(write.id))

    before = store._engine.commits
    await asyncio.gather(*(work() for _ in range(64)))

    assert store._engine.commits - before < 64 * 10 * 3 / 10


async def test_records_alone_wait_a_moment_for_company(store, writes, monkeypatch):
    """Records that nobody awaits are not committed one by one."""
    # on a busy machine the next one may be long in coming
    monkeypatch.setattr(_outbox, "PATIENCE", 60.0)
    write = writes.begin()
    await store.write(write)
    before = store._engine.commits
    for seq in range(1, 21):
        store.write(writes.record(write.id, seq))
        await asyncio.sleep(0.001)
    await store.write(writes.end(write.id))

    assert store._engine.commits - before <= 2
    assert (await store.get_run(write.id)).records == 20


async def test_an_awaited_record_does_not_wait_for_company(path, writes_of, monkeypatch):
    """Awaiting a record makes it urgent."""
    monkeypatch.setattr(_outbox, "PATIENCE", 60)
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    writes = writes_of(store)
    write = writes.begin()
    await store.write(write)
    began = time.perf_counter()
    for seq in range(1, 41):
        await store.write(writes.record(write.id, seq))

    assert time.perf_counter() - began < _outbox.PATIENCE
    await store.close()


async def saturate(seconds, store, writes):
    """64 tasks write while short callbacks keep the loop from ever being idle; how many runs were completed.

    The seconds are those that the loop's thread has a processor, so that a busy machine makes little difference.
    """
    loop = asyncio.get_running_loop()
    end = time.thread_time() + seconds
    done = 0

    def spin():
        until = time.thread_time() + 0.0002
        while time.thread_time() < until:
            pass
        if time.thread_time() < end:
            loop.call_soon(spin)

    async def work():
        nonlocal done
        while time.thread_time() < end:
            write = writes.begin()
            await store.write(write)
            await store.write(writes.end(write.id))
            done += 1

    spin()
    await asyncio.gather(*(work() for _ in range(64)))
    return done


async def test_a_saturated_loop_does_not_starve_the_writer(store, writes):
    """With callbacks of 0.2 ms without a pause, durable runs go on; without help it would be one wave of 64 or few."""
    assert await saturate(1.0, store, writes) > 320


async def test_too_many_records_fail_and_what_matters_is_taken(store, writes, monkeypatch):
    """Above the limit records fail with words, through their acknowledgement; runs and keys are still taken."""
    monkeypatch.setattr(_outbox, "_MOST", 10)
    write = writes.begin()
    await store.write(write)
    acks = [store.write(writes.record(write.id, seq)) for seq in range(1, 200)]
    key = store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    results = await asyncio.gather(*map(_await, acks), return_exceptions=True)

    failed = [result for result in results if result is not True]
    assert failed
    assert all(isinstance(result, StoreError) and "does not keep up" in str(result) for result in failed)
    assert await key is True
    assert (await store.get_run(write.id)).records == results.count(True)


async def _await(ack):
    return await ack


async def test_a_batch_that_fails_is_done_one_by_one(store, writes, caplog):
    """The bad ones among hundreds fail, each with its own reason, and the order of the others holds."""
    write = writes.begin()
    acks = [store.write(write)]
    for seq in range(1, 301):
        bad = seq % 100 == 0
        acks.append(store.write(writes.record(write.id, seq, None if bad else str(seq))))
    acks.append(store.write(writes.end(write.id)))
    acks.append(store.write(writes.record(write.id, 301)))
    results = await asyncio.gather(*map(_await, acks), return_exceptions=True)

    assert sum(isinstance(result, StoreError) for result in results) == 3
    assert results[0] is True
    assert results[-2:] == [True, False]
    kept = await store.get_run(write.id)
    assert (kept.records, kept.state) == (297, State.SUCCEEDED)
    assert len(await store.get_records(write.id, limit=1000)) == 297


async def test_numbers_that_sqlite_cannot_hold_fail_alone(store, writes):
    """An integer of more than 64 bits is refused where it stands."""
    bad = store.write(Once(key="x", at=2**70))
    good = store.write(Once(key="x", at=1))

    with pytest.raises(StoreError):
        await bad
    assert await good is True


async def test_an_acknowledgement_in_another_loop(store):
    """A thread with a loop of its own can await too."""
    results = []

    def work():
        async def write():
            return await store.write(Once(key="x", at=1))

        results.append(asyncio.run(write()))

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert results == [True]


async def test_waiting_has_a_limit(path, writes_of):
    """A thread waits as long as it says."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    ack = store.write(Once(key="x", at=1))

    with pytest.raises(TimeoutError, match="not committed within 0.05 seconds: once"):
        await asyncio.to_thread(ack.wait, 0.05)

    foreign.execute("ROLLBACK")
    foreign.close()
    assert await asyncio.to_thread(ack.wait) is True
    await store.close()


def test_a_store_whose_loop_is_gone_is_closed_from_outside(path, writes_of):
    """close_sync() commits what is queued when the loop has been closed, and the file can be opened again."""

    async def leave():
        store = open_store(str(path), synchronous="OFF")
        await store.open()
        write = writes_of(store).begin()
        store.write(write)
        return store, write.id

    store, run = asyncio.run(leave())
    store.close_sync()
    store.close_sync()
    with pytest.raises(StoreClosed):
        store.new_id()

    async def look():
        again = open_store(str(path), synchronous="OFF")
        await again.open()
        found = await again.get_run(run)
        await again.close()
        return found

    assert asyncio.run(look()).state is State.INTERRUPTED


async def test_nothing_is_left_behind(path):
    """After closing, no thread of the store runs and no file is open."""
    import os

    def files():
        return sum(str(path) in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _exists(fd))

    def _exists(fd):
        return os.path.lexists(f"/proc/self/fd/{fd}")

    for group in (None, "g"):
        store = open_store(str(path), group=group, synchronous="OFF")
        await store.open()
        await store.write(Once(key="x", at=1))
        await store.list_keys("n")
        assert files() > 2
        await store.close()
        gc.collect()

        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("binp")] == []
        assert files() == 0


def test_a_script_that_never_closes_ends_with_everything_kept(path, run_python):
    """A program that forgets to close ends by itself, without a warning, and loses nothing."""
    out = run_python(
        "import asyncio, warnings\n"
        "warnings.simplefilter('error')\n"
        "from binp.store import open_store\n"
        "from binp.store.contract import AddRecord, BeginRun\n"
        "async def main():\n"
        f"    store = open_store({str(path)!r})\n"
        "    await store.open()\n"
        "    run = store.new_id()\n"
        "    store.write(BeginRun(id=run, operation='a', trigger='call', node=store.node, at=1))\n"
        "    store.write(AddRecord(run=run, seq=1, at=1, message='last words'))\n"
        "    return store\n"
        "store = asyncio.run(main())\n"
        "print('end')\n"
    )

    assert out.strip() == "end"
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT message FROM record").fetchall() == [("last words",)]
    connection.close()


def test_record_rows_are_small():
    """A write on its way costs a few hundred bytes, not kilobytes."""
    import sys

    write = AddRecord(run=1, seq=1, at=1)
    assert sys.getsizeof(write) < 200


@pytest.fixture
def late(monkeypatch):
    """How long the disk is waited for: long, so that it does not come in between on a busy machine."""
    monkeypatch.setattr(_housekeeping, "_ON_DISK", 300.0)
    # a sign of life takes along what is not there yet
    monkeypatch.setattr(_writer, "BEAT", 300.0)


async def test_what_need_not_be_durable_is_on_the_disk_a_little_later(path, writes_of, late, monkeypatch):
    """durable=False does not wait for the disk, which has it after a second; what is durable takes it along at once."""
    store = open_store(str(path))
    await store.open()
    writes = writes_of(store)
    file = store._engine._writer._file

    def key(value, **given):
        return store.write(SetKeys(namespace="n", items=(("k", value),), at=1, **given))

    assert await key("1")
    assert file.unsynced is None
    assert await key("2", durable=False)
    assert file.unsynced is not None
    assert await key("3")
    assert file.unsynced is None
    with monkeypatch.context() as soon:
        soon.setattr(_housekeeping, "_ON_DISK", 1.0)
        assert await key("4", durable=False)
        assert await store.write(writes.begin(durable=False))
        while file.unsynced is not None:
            await asyncio.sleep(0.01)

    assert await key("5", durable=False)
    # changes nothing, so that SQLite has nothing to bring to the disk
    assert await store.write(writes.end(1)) is False
    assert file.unsynced is None
    assert (await store.get_key("n", "k")).value == "5"
    await store.close()


async def test_a_disk_that_fails_after_a_commit(path, late, monkeypatch):
    """What is committed is not done again because the disk did not take what came before it, and need not be there."""
    store = open_store(str(path))
    await store.open()
    file = store._engine._writer._file
    real, failed = os.fsync, []

    def fsync(descriptor):
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1, durable=False))
    monkeypatch.setattr(os, "fsync", fsync)

    assert await store.write(Once(key="x", at=1)) is True
    assert failed
    assert store.health.reason is None
    assert file.unsynced is not None
    assert await store.write(SetKeys(namespace="n", items=(("k", "2"),), at=1))
    assert file.unsynced is None
    await store.close()


async def test_records_alone_do_not_wait_for_the_disk(path, writes_of, late):
    """Records are committed without the disk; the end of their run, which is durable, brings them there."""
    store = open_store(str(path))
    await store.open()
    writes = writes_of(store)
    begin = writes.begin()
    await store.write(begin)
    await store.write(writes.record(begin.id, 1))
    file = store._engine._writer._file

    assert file.unsynced is not None
    await store.write(writes.end(begin.id))
    assert file.unsynced is None
    await store.close()
