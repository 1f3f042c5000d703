"""Services that say when they are ready, and whose health is looked at."""

from __future__ import annotations

import asyncio
import logging

import pytest

from binp import BINP, Service
from binp.errors import BinpError
from binp.service import Status
from binp.store.contract import RunQuery, State

QUICK = 0.05


def info(service):
    return service.services[0]


async def test_starting_until_it_is_ready(service, until):
    """With ready=True it is starting until it says so, in each of its lives."""
    seen, open_up, fail = [], asyncio.Event(), asyncio.Event()
    service.service_changed(lambda changed: seen.append(changed.status))

    @service(name="s", ready=True, restart_delay=QUICK)
    async def body():
        await open_up.wait()
        service.ready()
        service.ready()
        await fail.wait()

    await asyncio.sleep(0.02)
    assert info(service).status is Status.STARTING
    open_up.set()
    await until(lambda: info(service).status is Status.RUNNING)
    open_up.clear()
    fail.set()
    await until(lambda: len(seen) == 4)
    await asyncio.sleep(0.02)
    open_up.set()
    await until(lambda: len(seen) >= 5)
    assert seen[:5] == ["starting", "running", "restarting", "starting", "running"]


async def test_a_thread_says_that_it_is_ready(service, until):
    """A sync service says it from its thread."""

    @service(name="s", ready=True, restart=False)
    def body():
        service.ready()
        wait.result(60)

    wait = asyncio.run_coroutine_threadsafe(asyncio.sleep(60), asyncio.get_running_loop())
    await until(lambda: info(service).status is Status.RUNNING)
    service.stop("s")
    wait.cancel()
    await until(lambda: info(service).status is Status.STOPPED)


async def test_ready_means_nothing_elsewhere(service, until):
    """Called outside of a service, in one that is ready without saying so, or after its end, it changes nothing."""
    left = []
    service.ready()

    @service(name="s", restart_delay=60)
    async def body():
        service.ready()

        async def later():
            await gate.wait()
            service.ready()

        left.append(asyncio.ensure_future(later()))

    gate = asyncio.Event()
    await until(lambda: info(service).status is Status.RESTARTING)
    gate.set()
    await left[0]
    assert info(service).status is Status.RESTARTING


async def test_one_that_is_late_is_a_failure(db, caplog, until):
    """What is not ready in its time is cancelled, fails for that reason, and is tried again."""
    caplog.set_level(logging.CRITICAL)
    binp, lives = BINP(db=db), []

    @binp.service(name="s", ready=True, start_timeout=0.05, restart_delay=QUICK)
    async def body():
        lives.append(1)
        if len(lives) == 2:
            binp.service.ready()
        await asyncio.Event().wait()

    await until(lambda: info(binp.service).status is Status.RUNNING)
    assert info(binp.service).error == "not ready within 0.05 s"
    assert info(binp.service).restarts == 1
    await asyncio.sleep(0.2)
    assert len(lives) == 2

    async def ends():
        runs = (await binp.home.store.find_runs(RunQuery())).runs
        return [(run.state, run.error) for run in runs if run.state is not State.RUNNING]

    await until(ends)
    assert await ends() == [(State.FAILED, "not ready within 0.05 s")]
    await binp.home.close()


async def test_one_that_swallows_its_end_fails_all_the_same(service, caplog, until):
    """What returns when it is told that it is late has failed, and is shown as stuck as long as it goes on."""
    caplog.set_level(logging.CRITICAL)
    leave, seen = asyncio.Event(), []
    service.service_changed(lambda changed: seen.append(changed.status))

    @service(name="s", ready=True, start_timeout=0.02, stop_timeout=0.02, restart="on-failure", restart_delay=60)
    async def body():
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                service.ready()

    await until(lambda: info(service).status is Status.STUCK)
    leave.set()
    await until(lambda: info(service).status is Status.RESTARTING)
    assert info(service).error == "not ready within 0.02 s"
    await until(lambda: len(seen) == 3)
    assert seen == ["starting", "stuck", "restarting"]


async def test_one_that_is_unwell_is_restarted(service, caplog, until):
    """After as many failed checks in a row as it may have, and not before, it fails for what the last one found."""
    caplog.set_level(logging.CRITICAL)
    answers, lives, seen = [True, False, True, False, False], [], []
    service.service_changed(lambda changed: seen.append((str(changed.status), changed.healthy, changed.health_error)))

    async def check():
        return answers.pop(0) if answers else True

    @service(name="s", health=check, health_every=0.02, health_failures=2, restart_delay=QUICK)
    async def body():
        lives.append(1)
        await asyncio.Event().wait()

    await until(lambda: len(lives) == 2 and len(seen) >= 9)
    assert info(service).error == "unhealthy, 2 checks in a row: the check says False"
    assert info(service).restarts == 1
    no = "the check says False"
    assert seen[:9] == [
        ("starting", None, None),
        ("running", None, None),
        ("running", True, None),
        ("running", False, no),
        ("running", True, None),
        ("running", False, no),
        ("restarting", None, None),
        ("running", None, None),
        ("running", True, None),
    ]


async def raises():
    raise OSError("no network")


async def is_late():
    await asyncio.Event().wait()


async def cancels():
    raise asyncio.CancelledError


async def leaves():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (raises, "OSError: no network"),
        (is_late, "no answer within 0.02 s"),
        (cancels, "CancelledError"),
        (leaves, "SystemExit: 3"),
    ],
)
async def test_whatever_a_check_does(service, caplog, check, text, until):
    """A check that raises or does not answer has failed; it is logged once, and the service goes on."""

    @service(name="s", health=check, health_every=0.02, health_failures=10_000)
    async def body():
        await asyncio.Event().wait()

    await until(lambda: info(service).healthy is False)
    await asyncio.sleep(0.1)
    assert (info(service).status, info(service).health_error) == (Status.RUNNING, text)
    assert caplog.messages == [f"service 's' is not healthy: {text}"]


async def test_nobody_looks_at_what_is_not_ready_or_has_ended(service, until):
    """Checks begin when it is ready and end with it; a command to stop ends them at once."""
    checks, go = [], asyncio.Event()

    async def check():
        checks.append(1)

    @service(name="s", ready=True, health=check, health_every=0.01)
    async def body():
        await go.wait()
        service.ready()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)

    await asyncio.sleep(0.1)
    assert not checks
    go.set()
    await until(lambda: len(checks) > 2)
    service.stop("s")
    before = len(checks)
    await until(lambda: info(service).status is Status.STOPPED)
    assert len(checks) == before
    assert info(service).healthy is None


def test_a_loop_that_ends_during_a_check():
    """A loop that is being closed is not held up by a check."""

    async def main():
        service, begun = Service(), asyncio.Event()

        async def check():
            begun.set()
            await asyncio.Event().wait()

        @service(name="s", health=check, health_every=0.5)
        async def body():
            await asyncio.Event().wait()

        await begun.wait()

    asyncio.run(asyncio.wait_for(main(), 60))


async def needs(port):
    return bool(port)


def plain():
    return True


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"health": needs}, "the check of health= is called without port"),
        ({"health": plain}, "is not an async function"),
        ({"health": 3}, "health=3 is not an async function"),
        ({"health_every": 0}, "health_every=0 is not a time"),
        ({"health_failures": 0}, "health_failures=0 is never reached"),
        ({"start_timeout": -1}, "start_timeout=-1 is not a time"),
    ],
)
def test_nonsense_is_refused(options, text):
    """An option that makes no sense is refused where it is written."""
    with pytest.raises(BinpError, match=text):
        Service()(**options)
