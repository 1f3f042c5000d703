"""Services of a served BINP: when they are started, what is kept of commands, and their common end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest

from binp import BINP
from binp.service import Status
from binp.store import open_store
from binp.store.contract import RunQuery, SetDesired, SetObserved, State, StoreError


def states(binp):
    return {info.name: str(info.status) for info in binp.service.services}


def define(binp, name, **options):
    @binp.service(name=name, **options)
    async def body():
        await asyncio.Event().wait()


async def desired(binp, name):
    """What is kept as wanted of a service; it is committed a moment after the command."""
    return {row.name: row.desired for row in await binp.home.store.get_services()}.get(name)


def test_served_twice(db, until, served):
    """N-12c: a BINP that is served again, on the same loop or another, starts its services again."""
    binp = BINP(db=db)
    lives = []

    @binp.service
    async def body():
        lives.append(1)
        await asyncio.Event().wait()

    async def twice():
        for _ in range(2):
            before = len(lives)
            async with served(binp):
                await until(lambda count=before: len(lives) > count)

    asyncio.run(twice())
    asyncio.run(twice())
    assert len(lives) == 4


async def test_nothing_is_started_behind_the_end(db, served):
    """Between the end of the services and the end of the home no command starts one, wherever it comes from."""
    binp = BINP(db=db)
    define(binp, "s", autostart=False)
    async with served(binp):
        await binp.home.wind_down()
        binp.service.start("s")
        await binp.home.store.write(SetDesired(name="s", running=True, at=time.time_ns() // 1000))
        await asyncio.sleep(0.05)
        assert states(binp) == {"s": "stopped"}


async def test_commands_are_kept_with_who_gave_them(db, tmp_path, until, served):
    """SVC-03: what is wanted is kept for the process that takes over, with who wanted it."""
    binp = BINP(db=db)
    define(binp, "on")
    define(binp, "off", autostart=False)
    async with served(binp):
        await until(lambda: states(binp) == {"on": "running", "off": "stopped"})
        binp.service.stop("on", actor="ann")
        binp.service.start("off", actor="bob")
        await until(lambda: states(binp) == {"on": "stopped", "off": "running"})
        await asyncio.sleep(0.05)
        assert states(binp) == {"on": "stopped", "off": "running"}
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as connection:
        rows = connection.execute("SELECT name, desired, desired_by FROM service ORDER BY name").fetchall()
    assert rows == [("off", 1, "bob"), ("on", 0, "ann")]


async def test_a_command_of_here_is_obeyed_once(db, until, served):
    """N-12b: what was obeyed at once is not obeyed again when it is committed: a restart is one restart."""
    binp = BINP(db=db)
    lives, cancelled = [], []

    @binp.service(name="s")
    async def body():
        lives.append(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            await asyncio.sleep(0.05)
            raise

    async with served(binp):
        await until(lambda: lives)
        binp.service.stop("s")
        binp.service.start("s")
        await until(lambda: len(lives) == 2)
        await asyncio.sleep(0.1)
        assert (len(lives), len(cancelled)) == (2, 1)
        async with asyncio.timeout(200):
            while await desired(binp, "s") is not True:
                await asyncio.sleep(0.01)


async def test_a_restart_of_elsewhere_right_after_the_start_is_one(db, until, served, monkeypatch):
    """SVC-03, N-12b: what is restarted from elsewhere before anybody looked at commands is restarted."""
    binp = BINP(db=db)
    lives, is_committed = [], asyncio.Event()

    @binp.service(name="s")
    async def body():
        lives.append(1)
        await asyncio.Event().wait()

    async with served(binp):
        store = binp.home.store
        look = store.get_services

        async def look_late():
            await is_committed.wait()
            return await look()

        monkeypatch.setattr(store, "get_services", look_late)
        await until(lambda: lives)
        for running in (False, True):
            await store.write(SetDesired(name="s", running=running, at=time.time_ns() // 1000))
        is_committed.set()
        await until(lambda: len(lives) == 2)
        assert states(binp) == {"s": "running"}


async def test_stopped_before_it_could_start(binp):
    """N-12b: without an app, a service that is stopped right after its definition is not started."""
    define(binp, "s")
    binp.service.stop("s")
    await asyncio.sleep(0.05)
    assert states(binp) == {"s": "stopped"}


async def test_a_command_of_elsewhere_is_obeyed(db, until, served):
    """SVC-03: what another process wants is done here, each time that it is said."""
    binp = BINP(db=db)
    define(binp, "s")
    async with served(binp):
        await until(lambda: states(binp) == {"s": "running"})
        for running, state in ((False, "stopped"), (True, "running"), (False, "stopped")):
            await binp.home.store.write(SetDesired(name="s", running=running, at=time.time_ns() // 1000))
            await until(lambda wanted=state: states(binp) == {"s": wanted})


async def test_the_last_command_is_obeyed_whatever_the_clocks_say(db, until, served):
    """SVC-03: commands of the same microsecond, and of a clock that was set back, are told apart."""
    binp = BINP(db=db)
    define(binp, "s")
    async with served(binp):
        await until(lambda: states(binp) == {"s": "running"})
        now = time.time_ns() // 1000
        for at in (now, now, now - 3_600_000_000, now):
            for running, state in ((False, "stopped"), (True, "running")):
                await binp.home.store.write(SetDesired(name="s", running=running, at=at))
                await until(lambda wanted=state: states(binp) == {"s": wanted})


async def test_a_fresh_start_starts_what_starts_by_itself(db, until, served):
    """SVC-03: what an operator stopped runs again when the server is started afresh."""
    for _ in range(2):
        binp = BINP(db=db)
        define(binp, "on")
        define(binp, "off", autostart=False)
        async with served(binp):
            await until(lambda here=binp: states(here) == {"on": "running", "off": "stopped"})
            async with asyncio.timeout(200):
                while (await desired(binp, "on"), await desired(binp, "off")) != (True, False):
                    await asyncio.sleep(0.01)
            binp.service.stop("on")
            binp.service.start("off")
            await until(lambda here=binp: states(here) == {"on": "stopped", "off": "running"})


FIRST = """
import asyncio, sys
from binp import BINP
from binp.store import open_store

async def main(path):
    binp = BINP(db=open_store(path, group="g"))
    for name, autostart in (("stopped here", True), ("stopped there", True), ("on", True), ("off", False)):
        @binp.service(name=name, autostart=autostart)
        async def body():
            await asyncio.Event().wait()
    assert binp.app
    await binp.home.open(serving=True)
    binp.home.lead()
    await asyncio.sleep(0.05)
    binp.service.stop("stopped here")
    binp.service.start("off")
    await binp.kv.set(ready=1)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


async def test_what_was_wanted_survives_a_takeover(tmp_path, until, served):
    """N-12c: the process that takes over runs what the other one ran, not what an operator had stopped there."""
    path = str(tmp_path / "data.db")
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(FIRST), path], stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"ready\n"
        binp = BINP(db=open_store(path, group="g"))
        define(binp, "stopped here")
        define(binp, "stopped there")
        define(binp, "on")
        define(binp, "off", autostart=False)
        define(binp, "new")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(first.kill)
            await stack.enter_async_context(served(binp))
            assert set(states(binp).values()) == {"stopped"}
            binp.service.stop("stopped there", actor="ann")
            async with asyncio.timeout(200):
                while (await binp.service.snapshot())[1].status != Status.STOPPED:
                    await asyncio.sleep(0.01)
            first.kill()
            running = {"on": "running", "off": "running", "new": "running"}
            await until(lambda: running.items() <= states(binp).items())
            await asyncio.sleep(0.05)
            assert states(binp) == {"stopped here": "stopped", "stopped there": "stopped", **running}


@pytest.fixture
def hasty(db):
    """A BINP with little time to shut down."""
    binp = BINP(db=db)
    binp.home.overrides["grace"] = 4
    return binp


async def test_one_that_does_not_stop_is_over_for_the_history(hasty, caplog, until, served):
    """N-12d: a stuck service is told as ``stuck``, its run is over, and what it says later is late, no error."""
    leave, said = asyncio.Event(), []

    @hasty.service(name="good")
    async def good():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)

    @hasty.service(name="deaf")
    async def deaf():
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()
        said.append(await hasty.journal.record("later"))
        print("later")

    async with served(hasty):
        await until(lambda: states(hasty) == {"good": "running", "deaf": "running"})
    assert states(hasty) == {"good": "stopped", "deaf": "stuck"}
    leave.set()
    await until(lambda: states(hasty) == {"good": "stopped", "deaf": "stopped"})

    assert said == [False]
    first, second = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert re.fullmatch(r"service 'deaf' did not stop within [0-9.]+ seconds", first)
    assert second.startswith("record 'later' came after run")
    await hasty.home.ensure()
    found = {run.operation: run for run in (await hasty.home.store.find_runs(RunQuery())).runs}
    assert (found["good"].state, found["good"].error) == (State.CANCELLED, "cancelled: the service was stopped")
    assert (found["deaf"].state, found["deaf"].error) == (
        State.CANCELLED,
        "cancelled: the service was stopped; it did not stop",
    )
    rows = {row.name: json.loads(row.status)["status"] for row in await hasty.home.store.get_services()}
    assert rows == {"good": "stopped", "deaf": "stuck"}
    await hasty.home.close()


async def test_a_service_that_is_one_journaled_call(hasty, caplog, until, served):
    """N-12d: a run inside of a service is no run that the shutdown waits for: it ends when the service is stopped."""
    begun = []
    hasty.home.overrides["grace"] = 100

    @hasty.journal(operation="work")
    async def work():
        begun.append(1)
        await asyncio.Event().wait()

    @hasty.service(name="s")
    async def body():
        await work()

    since = 0.0
    async with served(hasty):
        await until(lambda: begun)
        since = time.monotonic()
    assert time.monotonic() - since < 60
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    await hasty.home.ensure()
    found = {run.operation: run for run in (await hasty.home.store.find_runs(RunQuery())).runs}
    assert {name: str(run.state) for name, run in found.items()} == {"s": "cancelled", "work": "cancelled"}
    await hasty.home.close()


@pytest.mark.parametrize("running", [False, True])
async def test_who_awaits_a_command_knows_that_it_is_kept(db, until, served, running):
    """SVC-03: an awaited start or stop is committed, and obeyed already."""
    binp = BINP(db=db)
    define(binp, "s", autostart=not running)
    async with served(binp):
        await until(lambda: states(binp) == {"s": "stopped" if running else "running"})
        await (binp.service.start if running else binp.service.stop)("s", actor="ann")
        assert await desired(binp, "s") is running
        await until(lambda: states(binp) == {"s": "running" if running else "stopped"})


async def test_a_command_that_nobody_keeps_can_be_awaited(service, binp):
    """SVC-03: what nobody would take over from, or of no service, can be awaited as well."""
    define(binp, "s")
    for each in (service.stop("nobody"), binp.service.stop("nobody"), binp.service.stop("s"), binp.service.start("s")):
        assert await each is None


async def test_who_awaits_a_command_is_told_that_it_is_not_kept(db, until, served, caplog):
    """SVC-03: a command that is obeyed and cannot be kept raises where it is awaited."""
    binp = BINP(db=db)
    define(binp, "s")
    async with served(binp):
        await until(lambda: states(binp) == {"s": "running"})
        await binp.home.store.close()
        told = binp.service.stop("s")
        with pytest.raises(StoreError):
            await told
        await until(lambda: states(binp) == {"s": "stopped"})


async def test_what_ends_late_is_not_told_over_what_another_process_tells(db, until):
    """P9: a process that finishes its runs says nothing more of services, which the next one has begun to run."""
    binp = BINP(db=db)
    leave = asyncio.Event()

    @binp.service(name="deaf", stop_timeout=0.1)
    async def deaf():
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()

    await binp.home.open(serving=True)
    try:
        binp.home.lead()
        await until(lambda: states(binp) == {"deaf": "running"})
        await binp.service.shut_down(5)
        assert states(binp) == {"deaf": "stuck"}
        told = SetObserved(name="deaf", status='{"status": "running"}', node="heir", at=1, obeyed="wish")
        await binp.home.store.write(told)
        leave.set()
        await until(lambda: states(binp) == {"deaf": "stopped"})
        # with what was said before it
        await binp.kv.set(done=True)
        (row,) = await binp.home.store.get_services()
        assert (row.node, row.obeyed) == ("heir", "wish")
    finally:
        leave.set()
        await binp.home.close()
