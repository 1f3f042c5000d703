"""Commands that come while the process that leads dies: whoever takes over obeys them, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import Any

import pytest

from binp.store.contract import Role, RunQuery, State


async def kill(leader: Any) -> None:
    leader.process.kill()
    await asyncio.to_thread(leader.process.wait)


@pytest.fixture
def own(commanding: Any, heir: Any) -> Any:
    """Gives commands in the process that takes over."""
    return commanding.Commands(heir)


@pytest.fixture
def leads(heir: Any, until: Any) -> Any:
    """Wait until the services run in the process that takes over."""

    async def wait() -> None:
        await until(lambda: heir.binp.home.store.role is Role.OWNER)
        # a service that nobody commands
        await until(lambda: heir.states["mark"] == "running")

    @heir.binp.service(name="mark")
    async def mark() -> None:
        await asyncio.Event().wait()

    return wait


async def is_wanted(things: Any, **running: bool) -> bool:
    """Whether that is committed."""
    rows = {row.name: row.desired for row in await things.binp.home.store.get_services()}
    return all(rows.get(name) is wanted for name, wanted in running.items())


async def leader_has(leader: Any, name: str) -> bool:
    return name in await leader.alive()


@pytest.mark.parametrize("moment", ["committed", "on its way", "afterwards", "from the one that dies"])
async def test_services(leader: Any, heir: Any, own: Any, leads: Any, until: Any, moment: str) -> None:
    """P1, P3, P9: what was commanded before, while or after the leader died is done by the next one, once."""
    await leader.start_service("web")
    await until(lambda: is_wanted(heir, web=True))
    await until(lambda: leader_has(leader, "poll"))
    assert heir.alive == []
    giver = leader if moment == "from the one that dies" else own
    if moment == "afterwards":
        await kill(leader)
    await giver.stop_service("poll")
    await giver.start_service("deaf")
    if moment in ("committed", "from the one that dies"):
        await until(lambda: is_wanted(heir, poll=False, deaf=True))
    await kill(leader)
    await leads()
    # it came after a service that was stopped, and waited there
    await until(lambda: sorted(heir.alive) == ["deaf", "web"])
    assert heir.states["poll"] == "stopped"
    assert (heir.begun["poll"], heir.begun["deaf"], heir.begun["web"], heir.peak) == (0, 1, 1, 1)


async def test_a_command_of_what_the_leader_does_not_know(leader: Any, heir: Any, own: Any, leads: Any) -> None:
    """P3: what only the process that takes over defines is commanded as well, and obeyed when it leads."""

    @heir.binp.service(name="new", autostart=False)
    async def new() -> None:
        await heir.live("new")

    @heir.binp.service(name="newer")
    async def newer() -> None:
        await heir.live("newer")

    await own.start_service("new")
    await own.stop_service("newer")
    await own.start_service("nobody")
    await kill(leader)
    await leads()
    assert "new" in heir.alive
    assert (heir.begun["new"], heir.begun["newer"], heir.states["newer"]) == (1, 0, "stopped")


async def test_ten_thousand_commands(leader: Any, heir: Any, own: Any, leads: Any, until: Any) -> None:
    """P1, P3: the leader is killed in the midst of commands: never two copies, the last wins, and none is left."""
    choose = random.Random(13)
    names = ["poll", "deaf", "off"]
    last: dict[str, bool] = {}

    async def command(count: int) -> None:
        for _ in range(count):
            name, running = choose.choice(names), choose.random() < 0.5
            await (own.start_service if running else own.stop_service)(name)
            last[name] = running
            await asyncio.sleep(0)

    await command(2000)
    giving = asyncio.ensure_future(command(8000))
    await asyncio.sleep(0.01)
    leader.process.kill()
    await giving
    await leads()
    up = {name for name in names if last[name]}
    await until(lambda: {one for one in names if heir.states[one] == "running"} == up and set(heir.alive) == up)
    for name in names:
        await own.stop_service(name)
    await until(lambda: not heir.alive and {heir.states[name] for name in names} == {"stopped"})
    assert heir.peak == 1


async def test_the_runs_of_the_dead(leader: Any, heir: Any, own: Any, leads: Any, until: Any, history: Any) -> None:
    """P6, P9: what ran there is interrupted, and can be started again; what is done is not done a second time."""
    poll = RunQuery(operation="poll")

    async def is_kept() -> bool:
        return bool((await heir.binp.home.store.find_runs(poll)).runs)

    await until(is_kept)
    (service,) = (await heir.binp.home.store.find_runs(poll)).runs
    run = await leader.start("steps")
    await until(lambda: leader_has(leader, "steps"))
    # asked for, and too late
    await own.cancel(run)
    await kill(leader)
    await leads()
    for each, states in ((service.id, {State.INTERRUPTED}), (run, {State.INTERRUPTED, State.CANCELLED})):
        assert (await history.ended(heir, each)).state in states
    (first,) = [step for step in await heir.binp.home.store.get_steps(run) if step.name == "first"]
    heir.let("steps")
    again = await history.ended(heir, await own.rerun(run))
    assert (again.state, again.attempt, again.origin) == (State.SUCCEEDED, 2, run)
    assert str(first.result) in again.result
    await until(lambda: heir.alive == ["poll"])


@pytest.mark.parametrize("moment", ["committed", "on its way", "afterwards", "from the one that dies"])
async def test_a_cancel(leader: Any, heir: Any, own: Any, leads: Any, until: Any, history: Any, moment: str) -> None:
    """A run of the process that takes over is cancelled, and nothing else, whenever and wherever that was said."""
    run, other = await own.start("work", {"room": "bath"}), await own.start("work", {"room": "hall"})
    await until(lambda: sorted(heir.alive) == ["bath", "hall"])
    if moment == "afterwards":
        await kill(leader)
    if moment == "from the one that dies":
        assert await leader.cancel(run) is True
    asking = asyncio.ensure_future(own.cancel(run)) if moment in ("on its way", "afterwards") else None
    if moment == "committed":
        assert await own.cancel(run) is True
    await asyncio.sleep(0)
    await kill(leader)
    assert (await history.ended(heir, run)).state is State.CANCELLED
    if asking is not None:
        assert await asking is True
    await leads()
    assert (await history.now(heir, other)).state is State.RUNNING
    assert "hall" in heir.alive
    heir.let("work hall")
    assert (await history.ended(heir, other)).state is State.SUCCEEDED


async def test_places(leader: Any, heir: Any, own: Any, leads: Any, until: Any, history: Any) -> None:
    """P1: the place of a run that died is free; those that waited anywhere have their turn, but for the cancelled."""
    dead = await leader.start("work", {"room": "bath"})
    await until(lambda: leader_has(leader, "bath"))
    waits, gone = [await leader.start("work", {"room": "bath"}) for _ in range(2)]
    mine = await own.start("work", {"room": "bath"})
    assert (await history.now(heir, mine)).state is State.QUEUED
    asking = asyncio.ensure_future(own.cancel(gone))
    await asyncio.sleep(0)
    await kill(leader)
    assert await asking is True
    await until(lambda: "bath" in heir.alive)
    heir.let("work bath")
    for run, state in (
        (dead, State.INTERRUPTED),
        (gone, State.CANCELLED),
        (waits, State.SUCCEEDED),
        (mine, State.SUCCEEDED),
    ):
        assert (await history.ended(heir, run)).state is state
    await leads()
    assert (heir.begun["bath"], heir.peak) == (2, 1)


async def test_keys(leader: Any, heir: Any, own: Any, leads: Any, until: Any) -> None:
    """What was started with a key is started once, though the leader dies before it says so."""
    assert isinstance(await leader.start("double", {"x": 2}, "theirs"), int)
    keys = [f"k{number}" for number in range(300)]
    starting = asyncio.ensure_future(own.at_once([["refusal", "start", "only", {}, key] for key in keys]))
    await asyncio.sleep(0.02)
    leader.process.kill()
    assert await starting == [None] * len(keys)
    await leads()
    again = await own.at_once([["refusal", "start", "only", {}, key] for key in keys])
    again.append(await own.refusal("start", "double", {"x": 2}, "theirs"))
    assert [text for text in again if not text.startswith("AlreadyStarted: ")] == []
    store = heir.binp.home.store
    unended = RunQuery(operation="only", states=frozenset({State.QUEUED, State.RUNNING}), limit=200)

    async def one_is_left() -> bool:
        return [run.state for run in (await store.find_runs(unended)).runs] == [State.RUNNING]

    await until(one_is_left)
    # cancelled between its turn and its beginning it would never begin
    await until(lambda: heir.begun["only"])
    (running,) = (await store.find_runs(unended)).runs
    assert await own.cancel(running.id) is True

    async def count() -> int:
        found, before = 0, None
        while True:
            page = await store.find_runs(RunQuery(operation="only", before=before, limit=200))
            found += len(page.runs)
            if not page.has_more:
                return found
            before = page.runs[-1].id

    assert await count() == len(keys)
    assert (heir.begun["only"], heir.peak) == (1, 1)


@pytest.mark.parametrize("giver", ["leader", "heir"])
async def test_schedules(leader: Any, heir: Any, own: Any, leads: Any, until: Any, history: Any, giver: str) -> None:
    """What was paused stays so, each tick comes once, and what was started out of turn is started once."""
    hand = leader if giver == "leader" else own
    await hand.pause("beat")
    run = await hand.fire("yearly", "k")
    await own.pause("yearly")
    await own.resume("yearly")
    resuming = asyncio.ensure_future(own.pause("yearly"))
    firing = asyncio.ensure_future(own.fire("yearly", "another"))
    await asyncio.sleep(0)
    await kill(leader)
    await resuming
    fired = await firing
    await leads()
    assert "AlreadyStarted: " in await own.refusal("fire", "yearly", "k")
    assert "AlreadyStarted: " in await own.refusal("fire", "yearly", "another")
    assert (await history.ended(heir, fired)).result == "8"
    assert (await history.ended(heir, run)).state in {State.SUCCEEDED, State.INTERRUPTED}
    paused = {info.name: (info.paused, info.paused_by) for info in await heir.binp.schedule.schedules()}
    assert paused == {"yearly": (True, "ann"), "beat": (True, "ann")}
    await asyncio.sleep(1.1)
    assert heir.beats == 0
    await own.resume("beat")
    await until(lambda: heir.beats)
    page = await heir.binp.home.store.find_runs(RunQuery(operation="beat", limit=200))
    due = [each.due for each in page.runs]
    assert len(due) == len(set(due))


async def test_a_leader_that_is_halted(leader: Any, heir: Any, own: Any, until: Any) -> None:
    """P1, P3, P9: a leader that is halted keeps its role: nothing is begun twice, and it obeys when it goes on."""
    await until(lambda: leader_has(leader, "poll"))
    leader.process.send_signal(signal.SIGSTOP)
    # its threads go on until one of them has come to see that
    os.waitid(os.P_PID, leader.process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        await own.stop_service("poll")
        await own.start_service("deaf")
        starting = asyncio.ensure_future(own.start("double", {"x": 3}, "k"))
        await asyncio.sleep(0.5)
        assert (heir.alive, heir.binp.home.store.role, starting.done()) == ([], Role.CLIENT, False)
    finally:
        leader.process.send_signal(signal.SIGCONT)
    await starting

    async def is_done() -> bool:
        return await leader.alive() == ["deaf"]

    await until(is_done)
    assert (await leader.begun("deaf"), await leader.begun("poll"), heir.alive) == (1, 1, [])
