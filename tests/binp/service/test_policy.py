"""When a service is restarted, when it is given up, and what thousands of commands make of it."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime

import pytest

from binp import Service
from binp.errors import BinpError
from binp.service import Status
from binp.store.contract import RunQuery

QUICK = 0.05


def info(service):
    return service.services[0]


async def test_one_that_fails_too_often_is_given_up(service, caplog, until):
    """P5: after as many restarts as it may have it is failed, with the reason, until somebody starts it."""
    caplog.set_level(logging.CRITICAL)
    lives = []

    @service(name="s", restart_delay=QUICK, max_delay=QUICK, max_restarts=2)
    async def body():
        lives.append(1)
        raise OSError("no network")

    await until(lambda: info(service).status is Status.FAILED)
    assert len(lives) == 3
    assert info(service).error == "given up after 2 restarts in 300 s; last: OSError: no network"
    service.stop("s")
    assert info(service).status is Status.FAILED
    service.start("s")
    await until(lambda: len(lives) == 4)
    await until(lambda: info(service).status is Status.FAILED)
    assert len(lives) == 6


async def test_a_failure_is_told_with_its_time_and_its_run(binp, caplog, until):
    """SVC-05: of the last failure it is known when and in which run it was, until somebody starts the service."""
    caplog.set_level(logging.CRITICAL)
    lives, goes_on = [], asyncio.Event()
    began = datetime.now(UTC)

    @binp.service(name="s", restart_delay=600)
    async def body():
        lives.append(1)
        await goes_on.wait()
        raise OSError("no network")

    await until(lambda: info(binp.service).status is Status.RUNNING)
    assert (info(binp.service).failed_at, info(binp.service).failed_run) == (None, None)
    goes_on.set()
    await until(lambda: info(binp.service).status is Status.RESTARTING)
    told = info(binp.service)
    assert began <= told.failed_at <= datetime.now(UTC)
    assert 590 < (told.next_start - told.failed_at).total_seconds() < 660
    async with asyncio.timeout(200):
        while not (runs := (await binp.home.store.find_runs(RunQuery(operation="s"))).runs):
            await asyncio.sleep(0.01)
    assert [run.id for run in runs] == [told.failed_run]
    goes_on.clear()
    binp.service.stop("s")
    await until(lambda: info(binp.service).status is Status.STOPPED)
    assert (info(binp.service).failed_at, info(binp.service).next_start) == (told.failed_at, None)
    binp.service.start("s")
    await until(lambda: info(binp.service).status is Status.RUNNING)
    assert (info(binp.service).error, info(binp.service).failed_at, info(binp.service).failed_run) == (None, None, None)


async def test_restarts_are_counted_within_their_window(service, caplog, until):
    """P5: what was long ago counts no more."""
    caplog.set_level(logging.CRITICAL)
    lives = []

    @service(name="s", restart_delay=QUICK, max_delay=QUICK, max_restarts=2, window=QUICK)
    async def body():
        lives.append(1)
        raise OSError("no network")

    await until(lambda: len(lives) == 8)
    service.stop("s")
    await until(lambda: info(service).status is Status.STOPPED)


async def test_one_that_returns_is_completed(service, caplog, until):
    """With restart="on-failure" a failure is answered by another life, a return by the end."""
    caplog.set_level(logging.CRITICAL)
    lives = []

    @service(name="s", restart="on-failure", restart_delay=QUICK)
    async def body():
        lives.append(1)
        if len(lives) < 3:
            raise OSError("no")

    await until(lambda: info(service).status is Status.COMPLETED)
    assert len(lives) == 3
    service.start("s")
    await until(lambda: len(lives) == 4)
    await until(lambda: info(service).status is Status.COMPLETED)


@pytest.mark.parametrize(("restart", "shown"), [("always", True), ("never", False), ("on-failure", True)])
async def test_restart_in_words(service, restart, shown):
    """The words mean what the booleans of the original do."""

    @service(restart=restart)
    async def body():
        await asyncio.Event().wait()

    assert info(service).restart is shown


def test_a_word_that_means_nothing_is_refused():
    """A misspelt word is refused where it is written."""
    with pytest.raises(BinpError, match="did you mean 'on-failure'"):
        Service()(restart="on-failre")


async def test_one_that_does_not_stop_in_its_time_is_stuck(service, caplog, until):
    """P2: how long it may take to stop is its own."""
    caplog.set_level(logging.CRITICAL)
    release = asyncio.Event()

    @service(name="s", stop_timeout=0.05)
    async def body():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    await until(lambda: info(service).status is Status.RUNNING)
    service.stop("s")
    await until(lambda: info(service).status is Status.STUCK)
    release.set()
    await until(lambda: info(service).status is Status.STOPPED)


async def test_ten_thousand_commands(service, caplog, until):
    """P1, P3: whatever is commanded, there are never two copies, the last command wins, and none is left."""
    caplog.set_level(logging.CRITICAL)
    choose = random.Random(11)
    alive = peak = generations = 0

    def define(tag):
        @service(name="s", restart_delay=QUICK, max_delay=QUICK, stop_timeout=0.05)
        async def body():
            nonlocal alive, peak, generations
            alive += 1
            generations += 1
            peak = max(peak, alive)
            # it swallows one cancellation, and ends some time after that
            deaf, was_deaf = tag % 3 == 0, False
            try:
                for _ in range(choose.randrange(1, 40)):
                    try:
                        await asyncio.sleep(0)
                    except asyncio.CancelledError:
                        if not deaf:
                            raise
                        deaf, was_deaf = False, True
                if was_deaf:
                    return
                if tag % 2:
                    raise OSError("no")
                await asyncio.Event().wait()
            finally:
                alive -= 1

    define(1)
    wanted = True
    for number in range(10_000):
        what = choose.random()
        if what < 0.02:
            define(number)
            wanted = True
        elif what < 0.5:
            service.start("s")
            wanted = True
        else:
            service.stop("s")
            wanted = False
        if choose.random() < 0.3:
            await asyncio.sleep(0)
    up = {Status.RUNNING, Status.RESTARTING}
    await until(lambda: info(service).status in (up if wanted else {Status.STOPPED}))
    service.stop("s")
    await until(lambda: info(service).status is Status.STOPPED and not alive)
    assert peak == 1
    assert generations > 50
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("service ")]
