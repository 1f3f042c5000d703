"""A life of a service as a run: what it is given, how it is cancelled, what becomes of its thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import pytest

from binp import BINP, Inject
from binp.runs import Threads
from binp.service import Status
from binp.service._life import _in_thread
from binp.store.contract import RunQuery, State
from buvar import di

QUICK = 0.05


async def runs(binp):
    return (await binp.home.store.find_runs(RunQuery())).runs


async def ended(binp, count):
    """The runs, newest first, when *count* of them have ended."""
    async with asyncio.timeout(60):
        while sum(run.state is not State.RUNNING for run in await runs(binp)) < count:
            await asyncio.sleep(0.01)
    return await runs(binp)


async def test_a_database_that_is_not_there_yet(tmp_path, caplog, until, status):
    """SVC-02: a service whose run cannot begin is tried again, until it can."""
    caplog.set_level(logging.CRITICAL)
    binp = BINP(db=f"sqlite:///{tmp_path / 'later' / 'data.db'}")
    lives = []

    @binp.service(name="s", restart_delay=QUICK)
    async def body():
        lives.append(1)
        await asyncio.Event().wait()

    await until(lambda: status(binp) is Status.RESTARTING)
    (tmp_path / "later").mkdir()
    await until(lambda: lives)
    assert status(binp) is Status.RUNNING
    await binp.home.close()


@pytest.mark.parametrize("restart", [True, False])
async def test_cancelling_its_run(binp, caplog, restart, until, status):
    """Decision 18: cancelling the run of a service ends that life; its policy decides whether there is another one."""
    ids, clean = [], []

    @binp.service(name="s", restart=restart, restart_delay=QUICK)
    async def body():
        ids.append(binp.journal.current)
        try:
            await asyncio.Event().wait()
        finally:
            clean.append(1)

    await until(lambda: ids)
    assert await binp.home.runs.cancel(ids[0], actor="ann")
    await until(lambda: clean)
    if restart:
        await until(lambda: len(ids) == 2)
        # a cancelled life leaves nothing behind: the next one is as any other
        assert await binp.home.runs.cancel(ids[1])
        await until(lambda: len(ids) == 3)
        assert binp.service.services[0].restarts == 2
        binp.service.stop("s")
    await until(lambda: status(binp) is Status.STOPPED)
    run = (await ended(binp, len(ids)))[-1]

    assert (run.state, run.error, run.cancel_requested) == (State.CANCELLED, "cancelled", True)
    assert binp.service.services[0].error is None
    assert not caplog.records


def test_cancelled_and_swallowed_it_still_ends_with_its_loop(db, until, status):
    """A life that swallows the cancellation of its run returns as any other; the loop's own is told from it."""
    binp = BINP(db=db)
    lives = []

    async def main():
        @binp.service(name="s", restart_delay=QUICK)
        async def body():
            lives.append(binp.journal.current)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if len(lives) > 1:
                    raise

        await until(lambda: lives)
        await binp.home.runs.cancel(lives[0])
        await until(lambda: len(lives) == 2)
        return (await ended(binp, 1))[-1]

    run = asyncio.run(main())
    assert run.state is State.SUCCEEDED
    assert (status(binp), len(lives)) == (Status.STOPPED, 2)


async def test_cancelling_the_run_of_a_thread(binp, until, status):
    """A function in a thread cannot be stopped: the life ends when it returns."""
    ids, leave = [], threading.Event()

    @binp.service(name="s", restart_delay=QUICK)
    def body():
        ids.append(binp.journal.current)
        leave.wait(100)

    await until(lambda: ids)
    await binp.home.runs.cancel(ids[0])
    await asyncio.sleep(0.05)
    assert (status(binp), len(ids)) == (Status.RUNNING, 1)
    leave.set()
    assert (await ended(binp, 1))[-1].state is State.CANCELLED


class Tool:
    is_open = True


async def tool() -> AsyncIterator[Tool]:
    made = Tool()
    try:
        yield made
    finally:
        made.is_open = False


@pytest.mark.parametrize("journaled", [False, True])
async def test_what_is_injected_outlives_the_thread(binp, journaled, until, status):
    """What was injected into a sync service is closed when its thread has returned, journaled or not."""
    di.register(tool, replace=True)
    given, seen, leave = [], [], threading.Event()

    def body(tool: Inject[Tool]):
        given.append(tool)
        leave.wait(100)
        seen.append(tool.is_open)

    binp.service(name="s")(binp.journal(body) if journaled else body)
    await until(lambda: given)
    binp.service.stop("s")
    await asyncio.sleep(0.05)
    assert (status(binp), given[0].is_open) == (Status.RUNNING, True)
    leave.set()
    await until(lambda: status(binp) is Status.STOPPED)
    assert (seen, given[0].is_open) == ([True], False)
    (run,) = await ended(binp, 1)
    assert run.state is State.CANCELLED


async def test_a_journaled_service_is_one_run(binp):
    """``@binp.service`` and ``@binp.journal`` on one function make one run for each life, in the journal."""

    @binp.service(name="s", restart=False)
    @binp.journal
    async def body():
        binp.journal.record("here")

    (run,) = await ended(await _open(binp), 1)
    assert (run.trigger, run.state, run.records) == ("service", State.SUCCEEDED, 1)
    assert run.journal is not None


async def _open(binp):
    await binp.home.ensure()
    return binp


async def test_an_awaitable_of_a_plain_function_is_awaited(binp, until, status):
    """A plain function around an asynchronous one is a service as well: decorators are often written so."""
    alive = []

    async def inner():
        alive.append(1)
        await asyncio.Event().wait()

    binp.service(name="s")(lambda: inner())
    await until(lambda: alive)
    assert status(binp) is Status.RUNNING


async def test_a_call_that_no_thread_has_begun_is_given_up():
    """Cancelled before a thread came to it, a call is never made, and nobody waits for it."""
    threads, leave, called = Threads(1), threading.Event(), []
    busy = asyncio.ensure_future(_in_thread(threads, lambda: leave.wait(100), threading.Event()))
    waiting = asyncio.ensure_future(_in_thread(threads, lambda: called.append(1), threading.Event()))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 60)
    leave.set()
    await busy
    await asyncio.sleep(0.02)
    assert called == []
    threads.close()
