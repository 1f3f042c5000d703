"""Services: SVC rows, and what the originals got wrong there."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from binp import BINP
from binp.service import Info, Status
from binp.store.contract import RunQuery, State

QUICK = 0.05


def states(service, name=None):
    return [info.status for info in service.services if name in (None, info.name)]


async def test_decorator(service, until):
    """SVC-01: bare and with options the function comes back; with a running loop it starts at once."""

    async def first():
        """Described."""
        await asyncio.sleep(60)

    assert service(first) is first
    assert service(name="second", description="d", restart=False, autostart=False, restart_delay=1)(first) is first
    one, two = service.services
    assert one == Info(
        name="test_decorator.<locals>.first",
        description="Described.",
        status=Status.STARTING,
        autostart=True,
        restart=True,
        restart_delay=3,
    )
    assert (two.name, two.description, two.status, two.restart, two.restart_delay) == (
        "second",
        "d",
        "stopped",
        False,
        1,
    )
    await until(lambda: states(service) == [Status.RUNNING, Status.STOPPED])


async def test_states_of_a_life(service, until):
    """SVC-02: starting at once, running when the task first runs, restarting after a return, then again."""
    seen = []
    service.service_changed(lambda info: seen.append(info.status))
    lives = []

    @service(name="s", restart_delay=QUICK)
    async def short():
        lives.append(1)
        await asyncio.sleep(0)

    assert states(service) == [Status.STARTING]
    await asyncio.sleep(0)
    assert states(service) == [Status.RUNNING]
    await until(lambda: len(lives) == 3)
    await asyncio.sleep(0.01)
    assert seen[:5] == ["starting", "running", "restarting", "running", "restarting"]


async def test_restarting_is_seen_without_a_tick_in_between(service):
    """SVC-02, decision 21: whoever the body's last statement wakes sees ``restarting``."""
    done = asyncio.Event()

    @service(name="s", restart_delay=30)
    async def wakes():
        done.set()

    await done.wait()
    assert states(service) == [Status.RESTARTING]


async def test_failure_restarts(service, caplog, until):
    """SVC-02, N-03: after an exception it restarts, and the log says what happened, with the traceback."""
    lives = []

    @service(name="s", restart_delay=QUICK)
    async def fails():
        lives.append(1)
        raise ValueError("no")

    await until(lambda: len(lives) == 2)
    record = next(r for r in caplog.records if r.name == "Service")
    assert record.getMessage() == "service 's' failed: ValueError: no"
    assert record.exc_info[0] is ValueError
    assert service.services[0].error == "ValueError: no"


@pytest.mark.parametrize("error", [None, ValueError("no")])
async def test_without_restart_it_stays_stopped(service, error, until):
    """SVC-02: without restart the end is the end."""

    @service(name="s", restart=False)
    async def once():
        if error:
            raise error

    await until(lambda: states(service) == [Status.STOPPED])
    await asyncio.sleep(0.1)
    assert states(service) == [Status.STOPPED]
    assert service.services[0].error == ("ValueError: no" if error else None)


async def test_stop_and_start(service, until):
    """SVC-03: stop cancels, ``stopped`` only when the task has really ended; start makes it run again."""
    lives, leave = [], asyncio.Event()

    @service(name="s")
    async def stubborn():
        lives.append(1)
        try:
            await asyncio.sleep(60)
        finally:
            await leave.wait()

    await until(lambda: states(service) == [Status.RUNNING])
    service.stop("s")
    await asyncio.sleep(0.02)
    assert states(service) == [Status.RUNNING]
    leave.set()
    await until(lambda: states(service) == [Status.STOPPED])
    service.start("s")
    assert states(service) == [Status.STARTING]
    await until(lambda: len(lives) == 2)


async def test_commands_that_mean_nothing(service, until):
    """SVC-03: unknown names, starting what runs, stopping what is stopped: nothing happens."""
    lives = []

    @service(name="s")
    async def runs():
        lives.append(1)
        await asyncio.sleep(60)

    @service(name="off", autostart=False)
    async def off():
        lives.append(2)

    await until(lambda: states(service, "s") == [Status.RUNNING])
    service.start("s")
    service.stop("off")
    service.start("nothing")
    service.stop("nothing")
    await asyncio.sleep(0.02)
    assert lives == [1]


async def test_redefinition(service, caplog, until):
    """SVC-04: the old task is cancelled, a warning says so, one entry remains, never two copies at once."""
    alive, most = [], []

    async def life(tag):
        alive.append(tag)
        most.append(len(alive))
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            alive.remove(tag)

    @service(name="s")
    async def old():
        await life("old")

    await until(lambda: alive == ["old"])

    @service(name="s")
    async def new():
        await life("new")

    await until(lambda: alive == ["new"])
    assert len(service.services) == 1
    assert max(most) == 1
    assert any("redefining service 's'" in r.getMessage() for r in caplog.records)


async def test_one_decorator_for_two_functions(service):
    """N-01: a decorator object used twice registers two services."""
    quiet = service(autostart=False)

    @quiet
    async def first(): ...

    @quiet
    async def second(): ...

    assert [info.name.rpartition(".")[2] for info in service.services] == ["first", "second"]


async def test_events_are_snapshots(service, until):
    """SVC-05, N-12: each event is an object of its own that says what was so at that moment."""
    with service.service_changed.subscribe() as queue:

        @service(name="s", restart=False)
        async def once():
            pass

        await until(lambda: states(service) == [Status.STOPPED])
        events = [queue.get_nowait() for _ in range(queue.qsize())]
    assert [event.status for event in events] == ["starting", "running", "stopped"]
    assert len({id(event) for event in events}) == 3


async def test_stop_before_the_first_tick(service, until):
    """N-12b: stopped before its task ran at all, it is stopped, and can be started again."""
    lives = []

    @service(name="s")
    async def runs():
        lives.append(1)
        await asyncio.sleep(60)

    service.stop("s")
    await until(lambda: states(service) == [Status.STOPPED])
    assert lives == []
    service.start("s")
    await until(lambda: states(service) == [Status.RUNNING])


async def test_stop_and_start_back_to_back(service, until):
    """N-12b: the last command wins: stop();start() runs, start();stop() is stopped."""
    lives = []

    @service(name="s")
    async def runs():
        lives.append(1)
        await asyncio.sleep(60)

    await until(lambda: states(service) == [Status.RUNNING])
    service.stop("s")
    service.start("s")
    await until(lambda: len(lives) == 2 and states(service) == [Status.RUNNING])
    service.stop("s")
    service.start("s")
    service.stop("s")
    await until(lambda: states(service) == [Status.STOPPED])
    await asyncio.sleep(0.02)
    assert states(service) == [Status.STOPPED]


async def test_no_delay_is_no_busy_loop(service, caplog, until):
    """N-12b: restart_delay=0 and failing does not starve the loop: the delay has a floor and grows."""
    caplog.set_level(logging.CRITICAL)
    lives = []

    @service(name="s", restart_delay=0)
    async def fails():
        lives.append(asyncio.get_running_loop().time())
        raise ValueError

    await until(lambda: len(lives) >= 4)
    gaps = [later - earlier for earlier, later in zip(lives, lives[1:], strict=False)]
    assert gaps[0] >= 0.045
    assert gaps[1] >= 0.085
    assert gaps[2] >= 0.17


async def test_a_cancellation_from_inside_is_a_failure(service, until):
    """A CancelledError that nobody asked for is a failure, so the service restarts."""
    lives = []

    @service(name="s", restart_delay=QUICK)
    async def confused():
        lives.append(1)
        raise asyncio.CancelledError

    await until(lambda: len(lives) == 2)
    assert "nobody stopped the service" in service.services[0].error


async def test_random_commands(service, caplog, until):
    """Never two copies alive, and none left at the end, whatever is commanded."""
    caplog.set_level(logging.CRITICAL)
    alive, most, rng = [], [], random.Random(7)

    @service(name="s", restart_delay=0.0)
    async def body():
        alive.append(1)
        most.append(len(alive))
        try:
            await asyncio.sleep(rng.choice([0, 0.001, 1]))
            if rng.random() < 0.3:
                raise ValueError
        finally:
            try:
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            finally:
                alive.pop()

    for _ in range(2000):
        service.start("s") if rng.random() < 0.5 else service.stop("s")
        if rng.random() < 0.4:
            await asyncio.sleep(rng.choice([0, 0, 0, 0.001]))
    service.stop("s")
    await until(lambda: states(service) == [Status.STOPPED])
    assert max(most) == 1
    assert not alive


def test_at_import_it_waits_for_the_app(db):
    """N-12c: decorated without a loop it neither runs nor claims to be starting; a script is not held up."""
    binp = BINP(db=db)
    calls = []

    @binp.service
    async def poller():
        calls.append(1)

    async def main():
        await binp.kv.set(x=1)
        await asyncio.sleep(0.02)
        return states(binp.service)

    assert asyncio.run(main()) == [Status.STOPPED]
    assert calls == []


def test_a_loop_that_ends_stops_the_service(db, until):
    """A service that was started in a script ends with the script, without being restarted, and is recorded."""
    binp = BINP(db=db)
    begun, ended = [], []

    async def main():
        @binp.service(name="s")
        async def runs():
            await binp.journal.record("alive")
            try:
                begun.append(1)
                await asyncio.sleep(60)
            finally:
                ended.append(1)

        await until(lambda: begun)
        assert states(binp.service) == [Status.RUNNING]

    asyncio.run(main())
    assert ended == [1]

    async def look():
        await binp.home.ensure()
        return (await binp.home.store.find_runs(RunQuery())).runs

    [run] = asyncio.run(look())
    assert (run.operation, run.trigger, run.state, run.records) == ("s", "service", State.CANCELLED, 1)


async def test_each_life_is_a_run(binp):
    """Decision 18: each life of a service is one run, and what it records belongs to it."""

    @binp.service(name="s", restart_delay=QUICK)
    async def fails():
        binp.journal.record("here")
        print("there")
        raise ValueError("no")

    async def ended():
        page = await binp.home.store.find_runs(RunQuery(states=frozenset({State.FAILED})))
        return page.runs

    async with asyncio.timeout(60):
        while not (binp.home.is_open and (runs := await ended())):
            await asyncio.sleep(0.01)
    run = runs[-1]
    assert (run.trigger, run.error, run.records) == ("service", "ValueError: no", 2)
    assert [r.message for r in await binp.home.store.get_records(run.id)] == ["here", "there"]


async def test_started_inside_a_run_it_does_not_see_that_run(binp, until):
    """A service started from inside a run, or a request, lives in the base context: it does not see that run."""
    seen = []

    @binp.service(name="s", autostart=False)
    async def looks():
        seen.append(binp.journal.current)
        await asyncio.sleep(60)

    @binp.journal
    async def op():
        binp.service.start("s")
        await until(lambda: seen)
        return binp.journal.current

    current = await op()
    assert seen[0] is not None
    assert seen[0] != current
    run = await binp.home.store.get_run(seen[0])
    assert (run.operation, run.parent) == ("s", None)
