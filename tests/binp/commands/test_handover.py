"""Commands that come while one process leaves the database to another, and goes on with what it has begun."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from binp.store.contract import Role, RunQuery, State


@pytest.fixture
def is_patient() -> bool:
    """There are."""
    return True


@pytest.fixture
async def left(leader: Any, heir: Any, until: Any) -> None:
    """The one that leads has begun both reports, and left the database to the other one."""

    async def has_both() -> bool:
        return {"report", "queued report"} <= set(await leader.alive())

    await until(has_both)
    await leader.leave()
    await until(lambda: heir.binp.home.store.role is Role.OWNER and "poll" in heir.alive)


async def runs_of(things: Any, name: str, *states: State) -> list[Any]:
    """Oldest first."""
    query = RunQuery(operation=name, states=frozenset(states) or None, limit=200)
    return list(reversed((await things.binp.home.store.find_runs(query)).runs))


@pytest.mark.usefixtures("left")
async def test_a_tick_does_not_overlap_with_a_run_of_elsewhere(leader: Any, heir: Any, until: Any) -> None:
    """A tick that comes while the run before it goes on, in the process that has left, is left out, or waits."""

    async def are_left_out() -> bool:
        return len(await runs_of(heir, "report", State.SKIPPED)) >= 2

    await until(are_left_out)
    reason = "skipped: the run of the one before had not ended"
    assert (await runs_of(heir, "report", State.SKIPPED))[-1].error.startswith(reason)
    for name in ("report", "queued report"):
        assert len(await runs_of(heir, name, State.RUNNING)) == 1
        assert name not in heir.alive
    heir.let("report")
    heir.let("queued report")
    await until(lambda: heir.begun["report"] and heir.begun["queued report"])
    assert heir.peak == 1


@pytest.mark.usefixtures("left")
async def test_what_goes_on_elsewhere_is_cancelled(
    leader: Any, heir: Any, commanding: Any, until: Any, history: Any
) -> None:
    """P3: what goes on in the process that has left is cancelled here, services are commanded here alone."""
    own = commanding.Commands(heir)
    (run,) = await runs_of(heir, "report", State.RUNNING)
    assert await own.cancel(run.id) is True
    assert (await history.ended(heir, run.id)).state is State.CANCELLED
    await own.start_service("deaf")
    await own.stop_service("poll")
    await until(lambda: "deaf" in heir.alive and "poll" not in heir.alive)
    # one that is shutting down starts nothing any more
    assert "AssertionError" not in (refused := await leader.refusal("start", "double", {"x": 1}))
    assert refused.startswith("TooManyRuns: ")
    await leader.start_service("off")
    await asyncio.sleep(0.1)
    assert not {"deaf", "poll", "off"} & set(await leader.alive())
    heir.let("report")
    heir.let("queued report")


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1])
async def test_a_command_between_two_leaders(leader: Any, heir: Any, commanding: Any, until: Any, pause: float) -> None:
    """P1, P3, P9: what is commanded while one process ends and the next begins to lead is obeyed by that, once."""
    own = commanding.Commands(heir)

    async def has_report() -> bool:
        return {"report", "poll"} <= set(await leader.alive())

    await until(has_report)
    await leader.leave()
    await asyncio.sleep(pause)
    await own.stop_service("poll")
    await own.start_service("deaf")
    await own.start_service("web")
    assert await own.obeyed("deaf") is True
    await until(lambda: heir.binp.home.store.role is Role.OWNER)
    await until(lambda: {"deaf", "web"} <= set(heir.alive) and "poll" not in heir.alive)
    assert not {"poll", "deaf", "web"} & set(await leader.alive())
    assert (heir.begun["deaf"], heir.begun["web"], heir.peak) == (1, 1, 1)
    heir.let("report")
    heir.let("queued report")
