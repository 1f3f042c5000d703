"""A function in a thread asks whether it shall end, as it cannot be cancelled."""

from __future__ import annotations

import asyncio
import time

import pytest

from binp import BINP
from binp.errors import BinpError
from binp.service import Status


@pytest.fixture
async def lives(binp):
    """What a sync service has heard that waits an hour between two readings."""
    heard = []

    @binp.service(name="meter", restart_delay=0.05)
    def body():
        heard.append("begun")
        while not binp.service.stopping(within=3600):
            heard.append("waited")
        heard.append("ended")

    return heard


async def test_a_thread_ends_when_its_service_is_stopped(binp, lives, until, status):
    """SVC-02: told to stop, it leaves its wait at once, and can be started again."""
    await until(lambda: lives == ["begun"])
    binp.service.stop("meter")
    await until(lambda: status(binp) is Status.STOPPED)
    assert lives == ["begun", "ended"]

    binp.service.start("meter")
    await until(lambda: lives == ["begun", "ended", "begun"])
    assert status(binp) is Status.RUNNING
    await binp.service.shut_down(60)
    assert lives == ["begun", "ended"] * 2


async def test_a_thread_ends_when_its_life_is_cancelled(binp, lives, until, status):
    """The life is over and the next one begins, which has not been told anything."""
    await until(lambda: status(binp) is Status.RUNNING and len(lives) == 1)
    (run,) = binp.home.runs.active
    await binp.home.runs.cancel(run.id)
    await until(lambda: len(lives) == 3)
    assert lives == ["begun", "ended", "begun"]
    await until(lambda: status(binp) is Status.RUNNING)
    await binp.service.shut_down(60)


async def test_threads_of_an_async_service_can_ask_too(binp, until):
    """What it has left behind in a thread learns that its life is over."""
    begun, ended = [], []

    @binp.service
    async def body():
        def thread():
            begun.append(binp.service.stopping())
            ended.append(binp.service.stopping(within=3600))

        await asyncio.to_thread(thread)

    await until(lambda: begun)
    await binp.service.shut_down(60)
    await until(lambda: ended)
    assert (begun, ended) == ([False], [True])


async def test_on_a_loop_nobody_waits(binp):
    """An async function is cancelled; a wait would block everything else."""
    assert binp.service.stopping() is False
    with pytest.raises(BinpError, match="would block the event loop"):
        binp.service.stopping(within=1)


def test_outside_of_a_service_nobody_is_told_to_stop():
    """A function that is called in a test waits as long as it says, and goes on."""
    began = time.monotonic()
    assert BINP().service.stopping(within=0.05) is False
    assert time.monotonic() - began >= 0.05
