"""What the writer knows of runs from one batch to the next."""

import asyncio
import sqlite3

import pytest

from binp.store.contract import AddLabels, State, StoreError, TakeRun
from binp.store.sqlite import _run_rows


@pytest.mark.parametrize("count", [1, 7, 8, 9, 127, 129, 700])
async def test_any_number_of_runs_goes_into_one_batch(store, writes, count):
    """However many rows there are, all of them reach the file, each with its own values."""
    begins = [writes.begin(f"work {number % 5}", actor=f"a{number % 3}") for number in range(count)]
    for begin in begins:
        store.write(begin)
        store.write(writes.record(begin.id, 1, f"said by {begin.id}"))
        store.write(AddLabels(run=begin.id, labels=(f"l{begin.id}", "all")))
    await asyncio.gather(*(_await(store.write(writes.end(begin.id, result=str(begin.id)))) for begin in begins))

    for begin in begins:
        run = await store.get_run(begin.id)
        assert (run.operation, run.actor, run.state) == (begin.operation, begin.actor, State.SUCCEEDED)
        assert (run.result, run.records, run.labels) == (str(begin.id), 1, (f"l{begin.id}", "all"))
        assert [record.message for record in await store.get_records(begin.id)] == [f"said by {begin.id}"]


async def _await(ack):
    return await ack


async def test_a_run_that_another_program_deleted_is_not_brought_back(path, store, writes):
    """What the writer remembers of open runs does not outlive a change by somebody else."""
    begin = writes.begin()
    await store.write(begin)
    foreign = sqlite3.connect(path)
    with foreign:
        foreign.execute("DELETE FROM run")
    foreign.close()

    assert await store.write(writes.record(begin.id, 1)) is False
    assert await store.write(writes.end(begin.id)) is False
    assert await store.get_run(begin.id) is None


async def test_more_runs_are_open_than_are_remembered(store, writes, monkeypatch):
    """A run that is forgotten is looked up again."""
    monkeypatch.setattr(_run_rows, "_REMEMBERED", 3)
    begins = [writes.begin() for _ in range(10)]
    for begin in begins:
        await store.write(begin)
    for begin in begins:
        assert await store.write(writes.record(begin.id, 1))
        assert await store.write(writes.end(begin.id))

    assert [(await store.get_run(begin.id)).records for begin in begins] == [1] * 10
    assert store._engine._writer._file.runs == {}


async def test_a_failed_batch_leaves_nothing_in_memory(store, writes):
    """What a batch made of a run is undone with the batch, in memory too."""
    begin = writes.begin(state=State.QUEUED)
    await store.write(begin)
    taken = store.write(TakeRun(id=begin.id, node=store.node, at=1))
    bad = store.write(writes.end(begin.id, epoch=2, result=2**70))
    with pytest.raises(StoreError):
        await bad

    assert await taken is True
    run = await store.get_run(begin.id)
    assert (run.state, run.epoch, run.rev) == (State.RUNNING, 2, 2)
    assert await store.write(writes.end(begin.id, epoch=2)) is True
