"""Actions are started wherever that is said, and have their places in all processes together."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from binp.store.contract import FINISHED, RunQuery, State

#: what is said of one that is left out
FULL = "skipped: 1 is running, and there may be no more"


async def test_an_action_is_started(things: Any, hand: Any, history: Any) -> None:
    """A run that was started anywhere is in the history of all, with its result or its error."""
    good = await history.ended(things, await hand.start("double", {"x": 4}))
    assert (good.state, good.result, good.arguments) == (State.SUCCEEDED, "8", '{"x":4,"y":0}')
    bad = await history.ended(things, await hand.start("double", {"x": -1}))
    assert (bad.state, bad.error) == (State.FAILED, "ValueError: below zero")


async def test_what_cannot_be_started(things: Any, hand: Any) -> None:
    """Arguments that do not fit, and a name of nobody, are refused where the command is given; no run is made."""

    @things.binp.action(name="own")
    async def own() -> None: ...

    refused = [await hand.refusal("start", *each) for each in (("double", {"x": "much"}), ("dubble", {"x": 1}))]
    assert "x: Input should be a valid integer" in refused[0]
    assert "did you mean 'double'?" in refused[1]
    if (await hand.alive()) is not things.alive:
        # what only the process that leads knows
        assert "no action named 'own'" in await hand.refusal("start", "own")
    page = await things.binp.home.store.find_runs(RunQuery(where=()))
    assert [run for run in page.runs if run.trigger != "service" and run.trigger != "schedule"] == []


async def test_a_key_starts_one_run(things: Any, here: Any, there: Any, hand: Any, history: Any) -> None:
    """Whoever starts something with a key starts it once: the same key means nothing in any process, at any time."""
    run = await hand.start("double", {"x": 4}, "k")
    for one in (here, there):
        assert (await one.refusal("start", "double", {"x": 4}, "k")).startswith("AlreadyStarted: ")
    other = await hand.start("double", {"x": 4}, "another")
    assert len({run, other}) == 2
    failed = (await history.ended(things, await hand.start("double", {"x": -1}))).id
    await hand.rerun(failed, None, "k")
    for one in (here, there):
        assert (await one.refusal("rerun", failed, None, "k")).startswith("AlreadyStarted: ")
    assert (await things.binp.home.store.get_once("k")).run == run


async def test_two_processes_use_a_key_at_once(things: Any, here: Any, there: Any, until: Any) -> None:
    """Of many starts with one key, given in two processes at the same time, one run comes."""
    keys = [f"k{number}" for number in range(20)]
    commands = [["refusal", "start", "double", {"x": 1}, key] for key in keys]
    first, second = await asyncio.gather(here.at_once(commands), there.at_once(commands))
    for one, other in zip(first, second, strict=True):
        assert (one is None) is not (other is None)
        assert (one or other).startswith("AlreadyStarted: ")
    query = RunQuery(operation="double", states=frozenset({State.SUCCEEDED}), limit=200)

    async def are_done() -> bool:
        return len((await things.binp.home.store.find_runs(query)).runs) == len(keys)

    await until(are_done)


async def test_a_place_is_one_for_all(things: Any, here: Any, hand: Any, until: Any, history: Any) -> None:
    """A run without a place waits, wherever it was started; one that waits can be cancelled, and the next begins."""
    holds = await here.start("work", {"room": "bath"})
    await until(lambda: "bath" in things.alive)
    waits, follows = [await hand.start("work", {"room": "bath"}) for _ in range(2)]
    other = await hand.start("work", {"room": "hall"})
    await history.in_state(things, other, State.RUNNING)
    for run in (waits, follows):
        assert (await history.now(things, run)).state is State.QUEUED
    assert await hand.cancel(waits) is True
    assert (await history.ended(things, waits)).state is State.CANCELLED
    assert await hand.cancel(holds) is True
    await history.in_state(things, follows, State.RUNNING)
    for run in (follows, other):
        await hand.cancel(run)
        await history.ended(things, run)


async def test_places_go_back_however_a_run_ends(things: Any, here: Any, there: Any, until: Any, history: Any) -> None:
    """P1: of runs of two processes that want one place there is never more than one inside, and each has its turn."""
    choose = random.Random(3)
    left = {}
    for number in range(16):
        holder = here if number % 2 else there
        left[await holder.start("work", {"room": "bath"})] = holder

    async def is_inside(holder: Any) -> bool:
        return "bath" in await holder.alive()

    inside = RunQuery(operation="work", states=frozenset({State.RUNNING}))
    while left:
        running = [run.id for run in (await things.binp.home.store.find_runs(inside)).runs]
        assert len(running) <= 1
        for run in running:
            # cancelled between its turn and its beginning it would never begin
            holder = left.pop(run)
            await until(lambda holder=holder: is_inside(holder))
            await choose.choice([here, there]).cancel(run)
            assert (await history.ended(things, run)).state is State.CANCELLED
        await asyncio.sleep(0.005)
    assert (things.begun["bath"], await there.begun("bath")) == (8, 8)


async def test_what_has_no_place_is_left_out(things: Any, here: Any, there: Any, hand: Any, history: Any) -> None:
    """With when_full="skip" the place that a run of any process has is taken for all."""
    for holder in (here, there):
        first = await holder.start("only")
        await history.in_state(things, first, State.RUNNING)
        run = await history.ended(things, await hand.start("only"))
        assert (run.state, run.error) == (State.SKIPPED, FULL)
        await hand.cancel(first)
        await history.ended(things, first)
    last = await hand.start("only")
    await history.in_state(things, last, State.RUNNING)
    await hand.cancel(last)


async def test_what_runs_is_replaced(things: Any, here: Any, there: Any, hand: Any, history: Any) -> None:
    """With when_full="replace" a new run takes the place of the one that runs, in whichever process that is."""
    for number, holder in enumerate((here, there)):
        first = await holder.start("newest", {"number": number})
        await history.in_state(things, first, State.RUNNING)
        second = await hand.start("newest", {"number": 2})
        ended = await history.ended(things, first)
        assert (ended.state, ended.cancelled_by) == (State.CANCELLED, f"run {second}")
        await history.in_state(things, second, State.RUNNING)
        await hand.cancel(second)
        await history.ended(things, second)


@pytest.mark.parametrize("are_at_once", [True, False])
async def test_the_newest_is_left(
    things: Any, here: Any, there: Any, hand: Any, history: Any, are_at_once: bool
) -> None:
    """With when_full="replace" the newest takes the place of all before it, also of those that wait for theirs."""
    runs = [await here.start("newest", {"number": 0})]
    if not are_at_once:
        await history.in_state(things, runs[0], State.RUNNING)
    for number in range(1, 6):
        runs.append(await (hand if number % 2 else there).start("newest", {"number": number}))
        if not are_at_once:
            await history.in_state(things, runs[-1], State.RUNNING)
    await history.in_state(things, runs[-1], State.RUNNING)
    for run in runs[:-1]:
        assert (await history.ended(things, run)).state is State.CANCELLED
    things.let("newest 5")
    assert (await history.ended(things, runs[-1])).result == "5"


async def test_what_takes_too_long(things: Any, hand: Any, history: Any) -> None:
    """A run has the time that its action says, wherever it is executed."""
    run = await history.ended(things, await hand.start("short"))
    assert (run.state, run.error) == (State.FAILED, "RunTimedOut: it took longer than 0.05 s")


async def test_what_blocks_the_loop_is_named(things: Any, hand: Any, history: Any) -> None:
    """P8: a run that blocks the loop of the process that executes it is told of, with the line, while it does."""
    run = await history.ended(things, await hand.start("block"))
    (record,) = await things.binp.home.store.get_records(run.id)
    assert record.message.startswith("the event loop is blocked since ")
    assert "by block at " in record.message
    assert record.at < run.ended


async def test_a_thousand_runs(things: Any, here: Any, there: Any, until: Any) -> None:
    """P1, P6: whatever is started and cancelled in two processes, no place is taken twice, and all runs end."""
    choose = random.Random(5)

    async def command(hand: Any) -> None:
        runs: list[int] = []
        for _ in range(25):
            starts: list[list[Any]] = [["start", "work", {"room": choose.choice("abc")}] for _ in range(8)]
            starts += [["start", "only"], ["start", "newest", {"number": 1}]]
            runs += await hand.at_once(starts)
            await hand.at_once([["cancel", choose.choice(runs)] for _ in range(10)])
        # those that wait, the youngest first, so that none of them begins
        await hand.at_once([["cancel", run] for run in reversed(runs)])

    await asyncio.gather(command(here), command(there))
    unended = RunQuery(states=frozenset(set(State) - FINISHED), where=(), limit=200)

    async def are_done() -> bool:
        page = await things.binp.home.store.find_runs(unended)
        return not [run for run in page.runs if run.operation in ("work", "only", "newest")]

    await until(are_done)
    await until(lambda: things.alive == ["poll"])
    assert (await there.alive(), things.peak) == ([], 1)
