"""Cancelled in every state and at every await: dependencies closed in reverse, records kept, one end, no task left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from binp import Inject
from binp.store.contract import FINISHED, RunQuery, State
from buvar import di

#: more steps of the loop than a whole run takes
STEPS = 60


class Outer: ...


class Inner: ...


@pytest.fixture
def said() -> list[str]:
    """What was opened, closed and done, in order."""
    return []


@pytest.fixture
def work(binp, said) -> Iterator[str]:
    """An action with two dependencies that wait while they are opened, and while they are closed."""

    async def outer() -> AsyncIterator[Outer]:
        await asyncio.sleep(0)
        said.append("open outer")
        try:
            yield Outer()
        finally:
            await asyncio.sleep(0)
            said.append("close outer")

    async def inner(outer: Outer) -> AsyncIterator[Inner]:
        await asyncio.sleep(0)
        said.append("open inner")
        try:
            yield Inner()
        finally:
            await asyncio.sleep(0)
            said.append("close inner")

    di.register(outer)
    di.register(inner)

    @binp.action(name="work")
    async def work(*, inner: Inject[Inner]) -> str:
        for number in range(5):
            binp.journal.record(f"step {number}")
            said.append(f"step {number}")
            await asyncio.sleep(0)
        await binp.journal.record("last")
        said.append("last")
        return "done"

    return "work"


def check(said: list[str], messages: list[str]) -> None:
    opened = [one.removeprefix("open ") for one in said if one.startswith("open ")]
    closed = [one.removeprefix("close ") for one in said if one.startswith("close ")]
    assert closed == opened[::-1]
    assert said.index(f"close {closed[-1]}") == len(said) - 1 if closed else True
    # what was said before is there, in order; "last" is appended when it is committed
    done = [one for one in said if one.startswith("step")]
    assert messages[: len(done)] == done
    assert set(messages[len(done) :]) <= {"last"}


@pytest.mark.parametrize("way", ["through the store", "at once"])
async def test_at_every_await(binp, work, said, way, until):
    """N-07: wherever it is, a cancelled run closes what it opened, keeps what it said, and has one end."""
    await binp.home.ensure()
    before = asyncio.all_tasks()
    states = set()
    for step in range(STEPS):
        said.clear()
        handle = await binp.action.start(work)
        for _ in range(step):
            await asyncio.sleep(0)
        if step == STEPS - 1:
            # on a busy machine a commit takes more steps of the loop than these
            await asyncio.wait_for(handle.wait(), 60)
        run = next((run for run in binp.home.runs.active if run.id == handle.id), None)
        if way == "through the store":
            await handle.cancel()
        elif run is not None:
            run.cancel()
        ended = await asyncio.wait_for(handle.wait(), 60)
        states.add(ended.state)
        assert ended.state in {State.CANCELLED, State.SUCCEEDED}, ended.error
        assert (ended.result, ended.error is None) == (
            ('"done"', True) if ended.state is State.SUCCEEDED else (None, False)
        )
        check(said, [record.message for record in await binp.home.store.get_records(handle.id)])
        # it has ended: told again, nothing happens
        assert await handle.cancel() is False
        assert (await binp.home.store.get_run(handle.id)).rev == ended.rev
    assert binp.home.runs.active == []
    page = await binp.home.store.find_runs(RunQuery(limit=200))
    assert len(page.runs) == STEPS
    assert all(run.state in FINISHED for run in page.runs)
    if way == "at once":
        assert states == {State.CANCELLED, State.SUCCEEDED}
    await until(lambda: not (asyncio.all_tasks() - before))


async def test_while_it_takes_its_place(binp):
    """N-07: cancelled while it is being taken from the queue, a run has its end, and gives its place back."""
    inside = asyncio.Event()

    @binp.action(name="placed", concurrency=1)
    async def placed() -> None:
        inside.set()
        await asyncio.Event().wait()

    for step in range(STEPS):
        inside.clear()
        handle = await binp.action.start("placed")
        if step == STEPS - 1:
            # on a busy machine a commit takes more steps of the loop than these
            await asyncio.wait_for(inside.wait(), 60)
        for _ in range(step):
            await asyncio.sleep(0)
        (run,) = binp.home.runs.active
        run.cancel()
        await asyncio.wait_for(handle.wait(), 60)
        assert (await binp.home.store.get_run(handle.id)).state is State.CANCELLED


async def test_before_its_first_step(binp, work, said):
    """Cancelled before its row is committed, nothing of it is done, and it has its end."""
    await binp.home.ensure()
    starting = asyncio.ensure_future(binp.action.start(work))
    while not binp.home.runs.active:
        await asyncio.sleep(0)
    binp.home.runs.active[0].cancel()
    handle = await starting
    ended = await asyncio.wait_for(handle.wait(), 60)
    assert (ended.state, said) == (State.CANCELLED, [])


async def test_the_one_who_waits_may_give_up(binp, work, said):
    """Who starts it, or waits for it, and is cancelled himself, does not cancel the run."""
    await binp.home.ensure()
    starting = asyncio.ensure_future(binp.action.start(work))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    handle = await binp.action.start(work)
    waiting = asyncio.ensure_future(handle.result())
    await asyncio.sleep(0)
    waiting.cancel()
    assert await handle.result() == "done"
    page = await binp.home.store.find_runs(RunQuery())
    # the end of the one that nobody waits for comes by itself
    while not all(run.state in FINISHED for run in page.runs):
        await asyncio.sleep(0.01)
        page = await binp.home.store.find_runs(RunQuery())
    assert [run.state for run in page.runs] == [State.SUCCEEDED] * 2
