"""Runs are cancelled and started again, wherever they are executed and wherever that is said."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from binp.store.contract import State


@pytest.fixture(params=["here", "there"])
def place(request: pytest.FixtureRequest, things: Any) -> Any:
    """Where runs are executed: in the process that leads, or in another one."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def is_alive(place: Any, until: Any) -> Any:
    """Wait until something is alive there, or not any more."""

    async def wait(name: str, *, alive: bool = True) -> None:
        async def is_so() -> bool:
            return (name in await place.alive()) is alive

        await until(is_so)

    return wait


@pytest.fixture
def has_said(things: Any, until: Any) -> Any:
    """Wait until a run has said something."""

    async def wait(run: int, text: str) -> None:
        async def is_so() -> bool:
            return any(text in record.message for record in await things.binp.home.store.get_records(run))

        await until(is_so)

    return wait


async def test_a_run_is_cancelled(things: Any, hand: Any, place: Any, is_alive: Any, history: Any) -> None:
    """What runs anywhere is cancelled from anywhere, once; what has ended, or is unknown, is not."""
    run = await place.start("work", {"room": "bath"})
    await is_alive("bath")
    assert await hand.cancel(run) is True
    ended = await history.ended(things, run)
    assert (ended.state, ended.error, ended.cancelled_by) == (State.CANCELLED, "cancelled", "ann")
    assert "bath" not in await place.alive()
    assert await hand.cancel(run) is False
    assert await hand.cancel(5) is False
    assert (await history.now(things, run)).rev == ended.rev


async def test_a_run_with_a_time_limit_is_cancelled(
    things: Any, hand: Any, place: Any, is_alive: Any, history: Any
) -> None:
    """Cancelled is not timed out."""
    run = await place.start("long")
    await is_alive("long")
    assert await hand.cancel(run) is True
    assert (await history.ended(things, run)).state is State.CANCELLED


async def test_both_cancel_it(things: Any, here: Any, there: Any, place: Any, is_alive: Any, history: Any) -> None:
    """Cancelled by two processes at the same time a run has one end, and nothing else is cancelled."""
    for _ in range(10):
        run = await place.start("work", {"room": "bath"})
        other = await place.start("work", {"room": "hall"})
        await is_alive("bath")
        await is_alive("hall")
        asked = await asyncio.gather(*(hand.cancel(run) for hand in (here, there, here, there)))
        assert any(asked)
        assert (await history.ended(things, run)).state is State.CANCELLED
        assert "hall" in await place.alive()
        await there.cancel(other)
        await history.ended(things, other)


async def test_a_run_that_waits_for_its_place_is_cancelled(things: Any, hand: Any, place: Any, history: Any) -> None:
    """What waits is cancelled at once, and never begins, though its place becomes free."""
    first = await place.start("work", {"room": "bath"})
    await history.in_state(things, first, State.RUNNING)
    waits = await place.start("work", {"room": "bath"})
    assert (await history.now(things, waits)).state is State.QUEUED
    assert await hand.cancel(waits) is True
    run = await history.now(things, waits)
    assert (run.state, run.error) == (State.CANCELLED, "cancelled")
    things.let("work bath")
    assert (await history.ended(things, first)).state is State.SUCCEEDED
    last = await history.ended(things, await place.start("work", {"room": "bath"}))
    assert (last.state, await place.begun("bath")) == (State.SUCCEEDED, 2)


async def test_a_run_that_waits_for_its_next_attempt_is_cancelled(
    things: Any, hand: Any, place: Any, has_said: Any, history: Any
) -> None:
    """Between two attempts a run is cancelled at once, and has no further one."""
    run = await place.start("again")
    await has_said(run, "attempt 1 failed")
    assert await hand.cancel(run) is True
    ended = await history.ended(things, run)
    assert (ended.state, ended.attempt) == (State.CANCELLED, 1)


async def test_a_thread_is_not_cancelled(things: Any, hand: Any, place: Any, has_said: Any, history: Any) -> None:
    """A function in a thread cannot be stopped: that it was asked for is kept, and the run ends as it does."""
    run = await place.start("thread")
    await has_said(run, "begun")
    assert await hand.cancel(run) is True
    row = await history.now(things, run)
    assert (row.state, row.cancel_requested, row.cancelled_by) == (State.RUNNING, True, "ann")
    assert await hand.cancel(run) is True
    things.let("thread")
    ended = await history.ended(things, run)
    assert (ended.state, ended.result) == (State.SUCCEEDED, '"done"')


async def test_a_run_goes_on_behind_its_steps(things: Any, hand: Any, place: Any, is_alive: Any, history: Any) -> None:
    """Cancelled in a step and started again, a run does not do again what was done, wherever that was."""
    run = await place.start("steps")
    await is_alive("steps")
    assert await hand.cancel(run) is True
    assert (await history.ended(things, run)).state is State.CANCELLED
    things.let("steps")
    again = await history.ended(things, await hand.rerun(run))
    (step, *_) = [one for one in await things.binp.home.store.get_steps(run) if one.name == "first"]
    assert (again.state, again.attempt, again.origin) == (State.SUCCEEDED, 2, run)
    assert json.loads(again.result)[0] == json.loads(step.result)
    assert step.run == run


async def test_a_run_is_started_again(things: Any, hand: Any, place: Any, history: Any) -> None:
    """A run of anywhere is started again: a failed one as its next attempt, or with other arguments."""
    first = await place.start("double", {"x": -1})
    await history.ended(things, first)
    second = await history.ended(things, await hand.rerun(first))
    assert (second.state, second.attempt, second.origin, second.actor) == (State.FAILED, 2, first, "ann")
    third = await history.ended(things, await hand.rerun(second.id, {"x": 1, "y": 5}))
    assert (third.state, third.result, third.attempt) == (State.SUCCEEDED, "7", 1)
    fourth = await history.ended(things, await hand.rerun(third.id))
    assert (fourth.state, fourth.result, fourth.attempt, fourth.origin) == (State.SUCCEEDED, "7", 1, None)


async def test_what_cannot_be_started_again(things: Any, hand: Any, place: Any, history: Any) -> None:
    """A run that is not there, arguments that do not fit, and a secret that was not kept are refused."""
    assert await hand.refusal("rerun", 5) == "RunLost: run 5 is not in the history"
    run = await place.start("login", {"user": "bob", "password": "wrong"})
    failed = await history.ended(things, run)
    assert (failed.state, "wrong" in failed.arguments) == (State.FAILED, False)
    assert "password: is required" in await hand.refusal("rerun", run)
    assert "user: Input should be a valid string" in await hand.refusal("rerun", run, {"user": 5, "password": "x"})
    again = await history.ended(things, await hand.rerun(run, {"password": "right"}))
    assert (again.state, again.result, "right" in again.arguments) == (State.SUCCEEDED, "5", False)


async def test_a_run_that_waits_is_started_again(things: Any, hand: Any, place: Any, history: Any) -> None:
    """Started again while it runs, a run goes on, and the other one waits for the place as any."""
    run = await place.start("work", {"room": "bath"})
    await history.in_state(things, run, State.RUNNING)
    other = await hand.rerun(run)
    row = await history.now(things, other)
    assert (row.state, row.attempt, row.origin) == (State.QUEUED, 1, None)
    assert (await history.now(things, run)).state is State.RUNNING
    things.let("work bath")
    assert (await history.ended(things, run)).state is State.SUCCEEDED
    assert (await history.ended(things, other)).state is State.SUCCEEDED


async def test_a_run_of_something_only_its_process_knows(things: Any, there: Any, history: Any) -> None:
    """It is cancelled from anywhere, and started again only where it is known."""

    @things.binp.action(name="own")
    async def own() -> None:
        await things.live("own")

    handle = await things.binp.action.start("own")
    await history.in_state(things, handle.id, State.RUNNING)
    assert await there.cancel(handle.id) is True
    assert (await history.ended(things, handle.id)).state is State.CANCELLED
    assert "no action named 'own'" in await there.refusal("rerun", handle.id)


async def test_what_was_asked_for_is_obeyed_though_nothing_was_told(
    things: Any, hand: Any, place: Any, is_alive: Any, history: Any, monkeypatch: Any
) -> None:
    """Where changes could not be told one by one, a run is cancelled all the same."""
    from binp.store.sqlite import _delivery

    run = await place.start("work", {"room": "bath"})
    await is_alive("bath")
    monkeypatch.setattr(_delivery, "_MOST_CHANGES", 0)
    assert await hand.cancel(run) is True
    assert (await history.ended(things, run)).state is State.CANCELLED
