"""Two processes on one file: clocks that are wrong, and changes of the same thing at once."""

import asyncio
import signal
import time

import pytest

from binp.kv import KV, KeyConflict
from binp.store import open_store
from binp.store.contract import (
    AddRecord,
    BadLine,
    BeginRun,
    EndRun,
    Import,
    PutKey,
    RunQuery,
    SetKeys,
    State,
    StoreError,
    Written,
)
from binp.store.sqlite import _outbox
from binp.store.sqlite._commit import FileTrouble

HOUR = 3600.0


@pytest.fixture
async def here(path):
    store = open_store(str(path), group="g", synchronous="OFF")
    yield store
    await store.close()


def ask(there, *command):
    return asyncio.to_thread(there.ask, *command)


@pytest.mark.parametrize("first", ["here", "there"])
async def test_a_clock_is_set_back(path, here, there, first, until):
    """A clock goes back an hour, with restarts and two processes: no id comes twice, no follower misses a run."""
    made = {"here": [], "there": []}
    told = []

    async def begin(count=20):
        for where, node in (("here", here.node), ("there", "other")):
            ids = [here.new_id() for _ in range(count)] if where == "here" else await ask(there, "ids", count)
            writes = [BeginRun(id=id, operation="o", trigger="call", node=node, at=1) for id in ids]
            if where == "here":
                assert [await here.write(write) for write in writes] == [True] * count
            else:
                assert await ask(there, "write", writes) == [True] * count
            made[where] += ids

    if first == "there":
        await ask(there, "open", str(path))
    await here.open()
    stop = here.listen(lambda changes: told.extend(change.id for change in changes if change.topic == "run"))
    if first == "here":
        await ask(there, "open", str(path))
    await begin()
    await ask(there, "skew", -HOUR)
    await begin()
    # what was written last is the newest, whatever the clock says
    assert made["there"] == sorted(made["there"])
    if first == "here":
        await ask(there, "close")
        await ask(there, "open", str(path))
        await begin()
        everything = {*made["here"], *made["there"]}
        await until(lambda: everything <= set(told))
        stop()
        await here.close()
        await here.open()
    await ask(there, "skew", -2 * HOUR)
    await begin()

    everything = [*made["here"], *made["there"]]
    assert len(set(everything)) == len(everything)
    for where in made.values():
        assert where == sorted(where)
    if first == "there":
        await until(lambda: set(everything) <= set(told))
    found, before = [], None
    while page := (await here.find_runs(RunQuery(before=before, limit=7))).runs:
        found += [run.id for run in page]
        before = found[-1]
    assert found == sorted(everything, reverse=True)
    stop()


async def test_a_restart_with_a_clock_that_is_behind(path, there):
    """After a restart with a clock that is an hour behind new runs are newer than all that there are."""
    await ask(there, "open", str(path))
    first = await ask(there, "ids", 3)
    await ask(there, "write", [BeginRun(id=id, operation="o", trigger="call", node="n", at=1) for id in first])
    await ask(there, "close")
    await ask(there, "skew", -HOUR)
    await ask(there, "open", str(path))

    assert min(await ask(there, "ids", 3)) > max(first)


async def test_updates_of_two_processes_lose_nothing(path, here, there):
    """Of the updates that two processes make of one key at once none is lost."""
    await here.open()
    await ask(there, "open", str(path))
    kv = KV("n", db=here)
    other = asyncio.create_task(ask(there, "update", "x", 100))
    await asyncio.gather(*(kv.update("x", lambda number: number + 1, default=0) for _ in range(100)))
    await other

    entry = await kv.entry("x")
    assert (entry.value, entry.version) == (200, 200)


async def test_what_another_process_waits_for_is_written_at_once(path, here, there, monkeypatch):
    """A record that a process awaits does not wait in the owner for others to come along."""
    monkeypatch.setattr(_outbox, "PATIENCE", 3600.0)
    await here.open()
    await ask(there, "open", str(path))
    (run,) = await ask(there, "ids", 1)
    await ask(there, "write", [BeginRun(id=run, operation="o", trigger="call", node=here.node, at=1)])

    began = time.monotonic()
    for seq in (1, 2, 3, 4):
        assert await ask(there, "write", [AddRecord(run=run, seq=seq, at=1, message="said")]) == [True]
    # without being told it would look every few seconds what there is
    assert time.monotonic() - began < 10


async def test_why_a_write_failed_is_told_to_another_process(path, here, there):
    """What the owner refuses fails in the process that wanted it with the same class, text and remedy."""
    await ask(there, "open", str(path))
    await here.open()
    with pytest.raises(BadLine) as caught:
        await here.write(Import(lines=('{"kind":"cake"}',)))
    with pytest.raises(StoreError) as other:
        await here.write(EndRun(id=1, state=State.RUNNING, at=1, duration=1))

    assert caught.value.line == 1
    assert caught.value.fix == "take it in with the version that wrote it, or a newer one"
    assert "a run cannot end as" in str(other.value)


@pytest.mark.parametrize("version", [2**63, 2**64, 2**100, -(2**64)])
async def test_a_version_that_no_key_can_have(path, here, there, version):
    """To expect one is a conflict, in the process that owns the database as in others."""
    await ask(there, "open", str(path))
    await here.open()
    kv = KV("n", db=here)
    await kv.set(k=1)
    write = PutKey(namespace="n", key="k", value=None, expected=version, at=1)

    assert await ask(there, "write", [write]) == [Written(is_done=False, version=1)]
    assert await here.write(write) == Written(is_done=False, version=1)
    with pytest.raises(KeyConflict) as caught:
        await kv.remove("k", if_version=version)
    assert (caught.value.expected, caught.value.found) == (version, 1)


async def test_a_disk_that_fills_up_within_a_batch_of_another_process(path, here, there, monkeypatch):
    """What was committed of a batch before the file took no more is not done again with the rest."""
    await here.open()
    await ask(there, "open", str(path))
    committer = here._engine._writer._committer
    honest, refused = committer.commit, []

    def commit(batch, seq):
        if not refused and any(getattr(receipt.write, "items", ()) == (("b", "1"),) for receipt in batch):
            refused.append(len(batch))
            raise FileTrouble(StoreError("there is no space left for the database"), is_passing=True)
        return honest(batch, seq)

    monkeypatch.setattr(committer, "commit", commit)
    # the one in the middle has a transaction of its own, so each of the others has one as well
    alone = Import(lines=('{"kind":"once","key":"x","at":1}',))
    first, last = (SetKeys(namespace="n", items=((key, "1"),), at=1) for key in "ab")
    told = await ask(there, "write", [first, alone, last])

    assert refused == [1]
    assert (told[0], told[2]) == (True, True)
    assert [(await here.get_key("n", key)).version for key in "ab"] == [1, 1]
    # nor was it told twice: that would make no sense, and cut the process off
    assert await ask(there, "write", [last]) == [True]
    assert len(here._engine._server._sessions) == 1


async def test_what_is_on_its_way_to_the_owner_is_queued(path, here, there, until):
    """Writes count as queued until they are heard of, also where the owner has been sent them and does nothing."""
    await ask(there, "open", str(path))
    await here.open()
    there.process.send_signal(signal.SIGSTOP)
    try:
        acks = [here.write(SetKeys(namespace="n", items=((f"k{number}", "1"),), at=1)) for number in range(3)]
        await until(lambda: not here._outbox.pending)
        assert here.queued == 3
    finally:
        there.process.send_signal(signal.SIGCONT)

    assert [await ack for ack in acks] == [True] * 3
    assert here.queued == 0
