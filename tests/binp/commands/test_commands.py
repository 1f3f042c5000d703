"""Actions, services and schedules do what they are told, wherever that is said."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from binp.store.contract import RunQuery, State


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def states(things: Any) -> dict[str, str]:
    return {info.name: str(info.status) for info in things.binp.service.services}


async def ended(things: Any, run: int) -> Any:
    """The run when it has ended, wherever it was executed."""
    async with asyncio.timeout(60):
        await things.binp.home.runs.watch.ended(run)
    return await things.binp.home.store.get_run(run)


async def in_state(things: Any, run: int, state: State) -> None:
    async with asyncio.timeout(60):
        while (await things.binp.home.store.get_run(run)).state is not state:
            await asyncio.sleep(0.01)


async def test_a_service_is_stopped_and_started(things: Any, hand: Any) -> None:
    """SVC-03, N-12c: services run in one process alone, which does what is wanted, and keeps who wanted it."""
    await until(lambda: states(things)["poll"] == "running")
    await hand.stop_service("poll")
    await hand.stop_service("nobody")
    await until(lambda: states(things)["poll"] == "stopped" and not things.alive)
    await hand.start_service("poll")
    await hand.start_service("poll")
    await until(lambda: things.alive == ["poll"])
    await hand.start_service("deaf")
    await until(lambda: sorted(things.alive) == ["deaf", "poll"])
    rows = {row.name: row for row in await things.binp.home.store.get_services()}
    assert (rows["poll"].desired, rows["deaf"].desired, rows["web"].desired) == (True, True, False)
    async with asyncio.timeout(60):
        while {one["name"]: one["status"] for one in await hand.services()} != states(things):
            await asyncio.sleep(0.01)


async def test_a_service_waits_for_another(things: Any, hand: Any) -> None:
    """What comes after a service that is stopped waits for it, which is seen from everywhere."""
    await hand.start_service("web")
    async with asyncio.timeout(60):
        while [one["waits_for"] for one in await hand.services()] != [[], [], ["deaf"]]:
            await asyncio.sleep(0.01)
    assert states(things)["web"] == "waiting"
    await hand.start_service("deaf")
    await until(lambda: set(states(things).values()) == {"running"})


async def test_ten_thousand_commands(things: Any, hand: Any) -> None:
    """P1, P3: whatever is commanded, there are never two copies, the last command wins, and none is left."""
    choose = random.Random(7)
    names, wanted = ["poll", "deaf"], {}
    for _ in range(100):
        commands = []
        for _ in range(100):
            name, wanted_now = choose.choice(names), choose.random() < 0.5
            commands.append(["start_service" if wanted_now else "stop_service", name])
            wanted[name] = wanted_now
        await hand.many(commands)
    up = {name for name in names if wanted[name]}
    await until(lambda: {one for one in names if states(things)[one] == "running"} == up and set(things.alive) == up)
    for name in names:
        await hand.stop_service(name)
    await until(lambda: not things.alive and {states(things)[name] for name in names} == {"stopped"})
    assert things.peak == 1
    assert things.lives > 2


async def test_an_action_is_started(things: Any, hand: Any) -> None:
    """A run that was started anywhere is in the history of all, with its result or its error."""
    good = await ended(things, await hand.start("double", {"x": 4}))
    assert (good.state, good.result, good.arguments) == (State.SUCCEEDED, "8", '{"x":4,"y":0}')
    bad = await ended(things, await hand.start("double", {"x": -1}))
    assert (bad.state, bad.error) == (State.FAILED, "ValueError: below zero")


async def test_a_run_is_started_again(things: Any, hand: Any) -> None:
    """A run of anywhere is started again: a failed one as its next attempt, or with other arguments."""
    first = await things.binp.action.start("double", x=-1)
    await ended(things, first.id)
    second = await ended(things, await hand.rerun(first.id))
    assert (second.state, second.attempt, second.origin, second.actor) == (State.FAILED, 2, first.id, "ann")
    third = await ended(things, await hand.rerun(second.id, {"x": 1, "y": 5}))
    assert (third.state, third.result, third.attempt) == (State.SUCCEEDED, "7", 1)


async def test_a_run_is_cancelled(things: Any, hand: Any) -> None:
    """What runs here is cancelled from anywhere, once; what has ended is not."""
    handle = await things.binp.action.start("work", room="bath")
    await until(lambda: "bath" in things.alive)
    assert await hand.cancel(handle.id) is True
    run = await ended(things, handle.id)
    assert (run.state, run.error) == (State.CANCELLED, "cancelled")
    assert "bath" not in things.alive
    assert await hand.cancel(handle.id) is False
    assert await hand.cancel(5) is False


async def test_a_run_of_elsewhere_is_cancelled(things: Any, hand: Any) -> None:
    """What was started anywhere is cancelled from here."""
    run = await hand.start("work", {"room": "hall"})
    await in_state(things, run, State.RUNNING)
    assert await things.binp.home.runs.cancel(run) is True
    assert (await ended(things, run)).state is State.CANCELLED


async def test_a_place_is_one_for_all(things: Any, hand: Any) -> None:
    """A run without a place waits, wherever it was started; one that waits can be cancelled, and the next begins."""
    holds = await things.binp.action.start("work", room="bath")
    await until(lambda: "bath" in things.alive)
    waits, follows = await hand.start("work", {"room": "bath"}), await hand.start("work", {"room": "bath"})
    other = await hand.start("work", {"room": "hall"})
    await in_state(things, other, State.RUNNING)
    for run in (waits, follows):
        assert (await things.binp.home.store.get_run(run)).state is State.QUEUED
    assert await hand.cancel(waits) is True
    assert (await ended(things, waits)).state is State.CANCELLED
    assert await hand.cancel(holds.id) is True
    await in_state(things, follows, State.RUNNING)
    for run in (follows, other):
        await hand.cancel(run)
        await ended(things, run)


async def test_a_schedule_is_paused(things: Any, hand: Any) -> None:
    """Paused from anywhere, a schedule starts nothing; what came meanwhile is kept as left out when it goes on."""
    store = things.binp.home.store
    await until(lambda: things.beats)
    await hand.pause("beat")
    await hand.pause("beat")
    paused = {info.name: (info.paused, info.paused_by) for info in await things.binp.schedule.schedules()}
    assert paused == {"yearly": (False, None), "beat": (True, "ann")}
    # until a whole tick has come and gone
    await asyncio.sleep(2.1)
    await hand.resume("beat")
    beats = things.beats
    await until(lambda: things.beats > beats)
    left_out = (await store.find_runs(RunQuery(states=frozenset({State.SKIPPED})))).runs
    assert any(run.error.startswith("skipped: the schedule was paused") for run in left_out)


async def test_a_schedule_is_started_out_of_turn(things: Any, hand: Any) -> None:
    """Started from anywhere, also when it is paused, it is a run with the schedule's arguments."""
    await hand.pause("yearly")
    run = await ended(things, await hand.fire("yearly"))
    assert (run.operation, run.state, run.result, run.due) == ("double", State.SUCCEEDED, "8", None)
    assert (run.trigger, run.actor) == ("call", "ann")
