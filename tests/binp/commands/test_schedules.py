"""Schedules are paused, go on and are started out of turn, wherever that is said."""

from __future__ import annotations

import asyncio
from typing import Any

from binp.store.contract import RunQuery, State


async def paused(things: Any) -> dict[str, tuple[bool, str | None]]:
    return {info.name: (info.paused, info.paused_by) for info in await things.binp.schedule.schedules()}


async def left_out(things: Any) -> list[str]:
    """Why ticks were left out."""
    query = RunQuery(states=frozenset({State.SKIPPED}), limit=200)
    return [run.error for run in (await things.binp.home.store.find_runs(query)).runs]


async def test_a_schedule_is_paused(things: Any, hand: Any, until: Any) -> None:
    """Paused from anywhere, a schedule starts nothing; what came meanwhile is kept as left out when it goes on."""
    await until(lambda: things.beats)
    await hand.pause("beat")
    await hand.pause("beat")
    assert await paused(things) == {"yearly": (False, None), "beat": (True, "ann")}
    # until a whole tick has come and gone
    await asyncio.sleep(1.1)
    beats = things.beats
    await asyncio.sleep(1.1)
    assert things.beats == beats
    await hand.resume("beat")
    await until(lambda: things.beats > beats)
    assert any(reason.startswith("skipped: the schedule was paused") for reason in await left_out(things))
    # each tick was started or left out, once
    page = await things.binp.home.store.find_runs(RunQuery(operation="beat", limit=200))
    due = [run.due for run in page.runs]
    assert len(due) == len(set(due))


async def test_a_schedule_is_started_out_of_turn(things: Any, hand: Any, history: Any) -> None:
    """Started from anywhere, also when it is paused, it is a run with the schedule's arguments."""
    await hand.pause("yearly")
    run = await history.ended(things, await hand.fire("yearly"))
    assert (run.operation, run.state, run.result, run.due) == ("double", State.SUCCEEDED, "8", None)
    assert (run.trigger, run.actor) == ("call", "ann")


async def test_a_key_starts_it_once(things: Any, here: Any, there: Any, hand: Any, history: Any) -> None:
    """Started out of turn with a key it is started once, whoever sends the key again; its run may be started again."""
    run = await history.ended(things, await hand.fire("yearly", "k"))
    for one in (here, there):
        assert (await one.refusal("fire", "yearly", "k")).startswith("AlreadyStarted: ")
    again = await history.ended(things, await hand.rerun(run.id, {"y": 1}))
    assert (again.state, again.result) == (State.SUCCEEDED, "9")


async def test_a_name_of_nobody(things: Any, hand: Any) -> None:
    """A name that is not there is refused where the command is given, and nothing is kept of it."""
    for command in ("pause", "resume", "fire"):
        assert "no schedule named 'yearl'" in await hand.refusal(command, "yearl")
    assert "yearl" not in [row.name for row in await things.binp.home.store.get_schedules()]


async def test_both_pause_it(things: Any, here: Any, there: Any) -> None:
    """Of commands of two processes at the same time that say the same, the first counts; the others change nothing."""
    for number in range(10):
        name, verb = ("yearly", "pause") if number % 2 == 0 else ("yearly", "resume")
        before = {row.name: row for row in await things.binp.home.store.get_schedules()}.get(name)
        await asyncio.gather(*(hand.at_once([[verb, name]] * 3) for hand in (here, there)))
        row = {row.name: row for row in await things.binp.home.store.get_schedules()}[name]
        assert row.paused is (verb == "pause")
        if before is not None and before.paused_at is not None:
            assert row.paused_at != before.paused_at
        # said again it is the same moment
        await asyncio.gather(*(hand.at_once([[verb, name]] * 3) for hand in (here, there)))
        again = {row.name: row for row in await things.binp.home.store.get_schedules()}[name]
        assert (again.paused, again.paused_at) == (row.paused, row.paused_at)
