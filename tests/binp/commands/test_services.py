"""Services do what they are told, wherever that is said."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from binp.store.contract import RunQuery, State
from binp.store.sqlite import _delivery


async def runs_of(things: Any, name: str) -> list[Any]:
    """The lives of a service, oldest first."""
    return list(reversed((await things.binp.home.store.find_runs(RunQuery(operation=name, limit=200))).runs))


def restart(name: str) -> list[list[str]]:
    return [["stop_service", name], ["start_service", name]]


async def test_a_service_is_stopped_and_started(things: Any, hand: Any, until: Any) -> None:
    """P3, SVC-03, N-12c: services run in one process alone, which does what is wanted, and keeps who wanted it."""
    await until(lambda: things.states["poll"] == "running")
    await hand.stop_service("poll")
    await until(lambda: things.states["poll"] == "stopped" and not things.alive)
    await hand.start_service("poll")
    await hand.start_service("poll")
    await until(lambda: things.alive == ["poll"])
    await hand.start_service("deaf")
    await until(lambda: sorted(things.alive) == ["deaf", "poll"])

    async def is_kept() -> bool:
        # here it is obeyed at once, and kept soon
        kept = {row.name: row.desired for row in await things.binp.home.store.get_services()}
        return kept.items() >= {"poll": True, "deaf": True, "web": False}.items()

    await until(is_kept)

    async def is_seen() -> bool:
        return {one["name"]: one["status"] for one in await hand.services()} == things.states

    await until(is_seen)
    assert things.begun["poll"] == 2


async def test_what_nobody_knows_is_not_commanded(things: Any, hand: Any, until: Any) -> None:
    """SVC-03: a name of no service means nothing, and neither does starting what runs, or stopping what does not."""
    await until(lambda: things.states["poll"] == "running")
    before = things.states
    await hand.many(
        [["start_service", "nobody"], ["stop_service", "nobody"], ["start_service", "poll"], ["stop_service", "web"]]
    )
    # a command that comes behind them, and is seen to be obeyed
    await hand.start_service("deaf")
    await until(lambda: things.states["deaf"] == "running")
    assert things.states == {**before, "deaf": "running"}
    assert things.begun["poll"] == 1


async def test_what_another_process_alone_knows(things: Any, here: Any, there: Any, until: Any) -> None:
    """SVC-03: what only the process that leads defines is commanded there alone, and elsewhere means nothing."""

    @things.binp.service(name="own", autostart=False)
    async def own() -> None:
        await things.live("own")

    await there.start_service("own")
    await there.start_service("deaf")
    await until(lambda: things.states["deaf"] == "running")
    assert things.states["own"] == "stopped"
    await here.start_service("own")
    await until(lambda: "own" in things.alive)
    assert "own" not in [one["name"] for one in await there.services()]


async def test_a_restart_is_one_restart(things: Any, hand: Any, until: Any) -> None:
    """P1, P3, N-12b: stop and start right after each other end one life and begin one; start and stop end all."""
    await until(lambda: things.alive == ["poll"])
    for lives in range(2, 12):
        await hand.many(restart("poll"))
        await until(lambda lives=lives: things.begun["poll"] == lives and things.alive == ["poll"])
    await hand.many([["start_service", "poll"], ["stop_service", "poll"]])
    await until(lambda: things.states["poll"] == "stopped" and not things.alive)
    # a further command, so that nothing of the first ones is still to come
    await hand.start_service("poll")
    await until(lambda: things.alive == ["poll"])
    assert (things.begun["poll"], things.peak) == (12, 1)


async def test_started_while_it_ends(things: Any, hand: Any, until: Any) -> None:
    """P1, P3: started while it cleans up it runs when that is done, and not before; stopped again it does not."""
    await hand.start_service("slow")
    await until(lambda: things.alive.count("slow") == 1 and things.begun["slow"] == 1)
    await hand.stop_service("slow")
    await until(lambda: things.over == ["slow"])
    await hand.many([["start_service", "slow"], ["stop_service", "slow"], ["start_service", "slow"]])
    await hand.start_service("deaf")
    await until(lambda: "deaf" in things.alive)
    assert (things.begun["slow"], things.alive.count("slow")) == (1, 1)
    things.let("slow")
    await until(lambda: things.begun["slow"] == 2 and things.states["slow"] == "running")
    await hand.stop_service("slow")
    await until(lambda: things.states["slow"] == "stopped")
    assert things.begun["slow"] == 2


async def test_one_that_is_given_up_is_started_again(things: Any, hand: Any, until: Any) -> None:
    """P5, P6: what failed too often is failed until somebody starts it; each of its lives is in the history."""
    for count in (1, 2):
        await hand.start_service("failing")
        await until(lambda lives=2 * count: things.states["failing"] == "failed" and things.begun["failing"] == lives)
        info = next(one for one in things.binp.service.services if one.name == "failing")
        assert (info.error, info.restarts) == ("given up after 1 restart in 300 s; last: OSError: no", 1)

    async def is_kept() -> bool:
        return [run.state for run in await runs_of(things, "failing")] == [State.FAILED] * 4

    await until(is_kept)
    assert {run.error for run in await runs_of(things, "failing")} == {"OSError: no"}
    # stopped, it is what it was
    await hand.stop_service("failing")
    things.let("well")
    await hand.start_service("failing")
    await until(lambda: things.states["failing"] == "running" and "failing" in things.alive)


async def test_what_was_commanded_is_obeyed(things: Any, hand: Any, until: Any) -> None:
    """SVC-03: whoever has waited until a command is obeyed sees nothing of what was before it, wherever he looks."""
    await hand.start_service("failing")
    for count in range(2, 20, 2):
        await until(lambda lives=count: things.states["failing"] == "failed" and things.begun["failing"] == lives)
        await hand.start_service("failing")
        assert await hand.obeyed("failing") is True
        # it fails again, but not before it was restarted
        seen = next(one for one in await hand.services() if one["name"] == "failing")
        assert (seen["status"], seen["restarts"]) != ("failed", 1) or things.begun["failing"] == count + 2
    # what runs, and what nobody changes
    await hand.start_service("poll")
    await hand.stop_service("web")
    assert (await hand.obeyed("poll"), await hand.obeyed("web")) == (True, True)


async def test_one_that_waits_for_its_next_life(things: Any, hand: Any, until: Any) -> None:
    """P3, P5: in the delay it is stopped at once; stopped and started it does not wait for the end of the delay."""
    await hand.start_service("late")
    await until(lambda: things.states["late"] == "restarting")
    # it is started already: the delay goes on
    await hand.start_service("late")
    await hand.many(restart("late"))
    await until(lambda: things.begun["late"] == 2 and things.states["late"] == "restarting")
    await hand.stop_service("late")
    await until(lambda: things.states["late"] == "stopped")
    things.let("well")
    await hand.start_service("late")
    await until(lambda: things.states["late"] == "running")
    assert things.begun["late"] == 3


async def test_one_that_is_completed_is_started_again(things: Any, hand: Any, until: Any) -> None:
    """P3: what has done its work does it again when it is told to, and once for each time."""
    for lives in (1, 2):
        await hand.start_service("done")
        await until(lambda lives=lives: things.begun["done"] == lives and things.states["done"] == "completed")


async def test_one_that_does_not_stop(things: Any, hand: Any, until: Any, caplog: Any) -> None:
    """P1, P2: what does not stop in its time is stuck, and told so; started it waits; told again it is cancelled again.

    Whatever is said, a second copy does not come before the first has ended.
    """
    await hand.start_service("stubborn")
    await until(lambda: "stubborn" in things.alive)
    await hand.stop_service("stubborn")
    await until(lambda: things.states["stubborn"] == "stuck")
    assert "service 'stubborn' did not stop within 0.1 seconds" in caplog.text
    await hand.start_service("stubborn")
    await hand.start_service("deaf")
    await until(lambda: "deaf" in things.alive)
    assert (things.states["stubborn"], things.alive.count("stubborn")) == ("stuck", 1)
    await hand.stop_service("stubborn")
    await hand.stop_service("deaf")
    await until(lambda: "deaf" not in things.alive)
    # a start was taken back, which is no second stop
    assert things.states["stubborn"] == "stuck"
    await hand.stop_service("stubborn")
    await until(lambda: things.states["stubborn"] == "stopped")
    await hand.start_service("stubborn")
    await until(lambda: things.states["stubborn"] == "running")
    things.let("stubborn")
    assert things.peak == 1


async def test_one_that_is_not_ready(things: Any, hand: Any, until: Any) -> None:
    """P2, P3: what has not said that it is ready is stopped as any other, and starts anew."""
    await hand.start_service("shy")
    await until(lambda: things.states["shy"] == "starting")
    await hand.stop_service("shy")
    await until(lambda: things.states["shy"] == "stopped")
    await hand.start_service("shy")
    await until(lambda: things.states["shy"] == "starting")
    things.let("shy")
    await until(lambda: things.states["shy"] == "running")
    assert things.begun["shy"] == 1


async def test_a_service_waits_for_another(things: Any, hand: Any, until: Any) -> None:
    """P3: what comes after a stopped one waits for it, which is seen from everywhere; it may be stopped meanwhile."""
    await hand.start_service("web")

    async def is_seen() -> bool:
        return {one["name"]: one["waits_for"] for one in await hand.services()}["web"] == ["deaf"]

    await until(is_seen)
    assert things.states["web"] == "waiting"
    await hand.stop_service("web")
    await until(lambda: things.states["web"] == "stopped")
    await hand.start_service("deaf")
    await until(lambda: things.states["deaf"] == "running")
    assert things.states["web"] == "stopped"
    await hand.start_service("web")
    await until(lambda: things.states["web"] == "running")


async def test_a_disabled_one_is_started_by_hand(things: Any, hand: Any, until: Any) -> None:
    """P3: what does not start by itself is started and stopped by hand as any other."""
    await until(lambda: things.states["poll"] == "running")
    assert things.states["off"] == "stopped"
    await hand.start_service("off")
    await until(lambda: "off" in things.alive)
    await hand.stop_service("off")
    await until(lambda: "off" not in things.alive and things.states["off"] == "stopped")


async def test_a_cancellation_that_nobody_asked_for(things: Any, hand: Any, until: Any) -> None:
    """P4, P6: it is a failure, with its text, in the state of the service and in the history."""
    await hand.start_service("torn")
    text = "CancelledError: raised inside, although nobody stopped the service"

    async def is_kept() -> bool:
        return [(run.state, run.error) for run in await runs_of(things, "torn")] == [(State.FAILED, text)]

    await until(is_kept)
    assert things.states["torn"] == "stopped"
    assert next(one.error for one in things.binp.service.services if one.name == "torn") == text


async def test_the_run_of_a_service_is_cancelled(things: Any, hand: Any, until: Any, history: Any) -> None:
    """P1, P6: cancelling the run of a service ends that life, and another one follows."""
    await until(lambda: things.alive == ["poll"])
    # its row is written beside it
    await until(lambda: runs_of(things, "poll"))
    (first,) = await runs_of(things, "poll")
    assert await hand.cancel(first.id) is True
    await until(lambda: things.begun["poll"] == 2 and things.alive == ["poll"])
    ended = await history.ended(things, first.id)
    assert (ended.state, ended.error, things.peak) == (State.CANCELLED, "cancelled", 1)


async def test_the_shutdown(things: Any, hand: Any, until: Any) -> None:
    """P7: what was started by hand is stopped before what it comes after; behind the end no command starts anything."""
    await hand.start_service("deaf")
    await hand.start_service("web")
    await until(lambda: sorted(things.alive) == ["deaf", "poll", "web"])
    await things.binp.home.wind_down()
    assert (things.alive, things.over[-3:]) in (([], ["web", "deaf", "poll"]), ([], ["poll", "web", "deaf"]))
    lives = things.lives
    await hand.start_service("poll")

    async def is_kept() -> bool:
        rows = await things.binp.home.store.get_services()
        return {row.name: row.desired for row in rows}["poll"] is True

    if (await hand.alive()) is not things.alive:
        await until(is_kept)
    await asyncio.sleep(0.05)
    assert (things.lives, set(things.states.values())) == (lives, {"stopped"})


@pytest.mark.parametrize("idle", ["is open", "is a guest"], indirect=True)
async def test_a_process_that_serves_nothing(things: Any, here: Any, idle: Any, until: Any) -> None:
    """P1, P9: services that are commanded where they run are not begun where the file is open for something else."""
    await until(lambda: things.alive == ["poll"])
    await here.many([*restart("poll"), ["start_service", "deaf"]])
    await until(lambda: sorted(things.alive) == ["deaf", "poll"] and things.begun["poll"] == 2)
    # which the other one has been told by now, as it was of this
    await idle.start("double", {"x": 1})
    await asyncio.sleep(0.1)
    assert await idle.alive() == []


@pytest.mark.parametrize("idle", ["is a guest"], indirect=True)
async def test_a_function_with_a_process_of_its_own_commands(things: Any, idle: Any, until: Any) -> None:
    """P3, P9: what is commanded in a process that was started for a function is obeyed where services run."""
    await until(lambda: things.alive == ["poll"])
    await idle.stop_service("poll")
    await idle.start_service("deaf")
    assert await idle.obeyed("deaf") is True
    await until(lambda: things.alive == ["deaf"])
    assert {one["name"]: one["status"] for one in await idle.services()}["deaf"] == "running"
    assert await idle.alive() == []


async def test_ten_thousand_commands(things: Any, hand: Any, until: Any) -> None:
    """P1, P3: whatever is commanded, there are never two copies, the last command wins, and none is left."""
    choose = random.Random(7)
    names, wanted = ["poll", "deaf", "off"], {}
    for _ in range(100):
        commands = []
        for _ in range(100):
            name, wanted_now = choose.choice(names), choose.random() < 0.5
            commands.append(["start_service" if wanted_now else "stop_service", name])
            wanted[name] = wanted_now
        await hand.many(commands)
    up = {name for name in names if wanted[name]}
    await until(lambda: {one for one in names if things.states[one] == "running"} == up and set(things.alive) == up)
    for name in names:
        await hand.stop_service(name)
    await until(lambda: not things.alive and {things.states[name] for name in names} == {"stopped"})
    assert things.peak == 1
    assert things.lives > 20


async def test_two_processes_command_at_once(things: Any, here: Any, there: Any, until: Any) -> None:
    """P1, P3, P9: of commands of two processes the one that is committed last wins; nothing runs in the other one."""
    choose = random.Random(11)
    names = ["poll", "deaf", "off"]

    async def command(hand: Any) -> None:
        for _ in range(25):
            verbs = ["start_service", "stop_service"]
            await hand.many([[choose.choice(verbs), choose.choice(names)] for _ in range(50)])

    async def is_so() -> bool:
        rows = {row.name: row.desired for row in await things.binp.home.store.get_services()}
        return all((things.states[name] == "running") is rows[name] for name in names) and set(things.alive) == {
            name for name in names if rows[name]
        }

    for _ in range(4):
        await asyncio.gather(command(here), command(there))
        await there.stop_service("poll")
        await until(is_so)
        assert await there.alive() == []
    for name in names:
        await there.start_service(name)
    await until(lambda: sorted(things.alive) == sorted(names))
    assert things.peak == 1


async def test_a_command_of_which_nothing_was_told(things: Any, hand: Any, until: Any, monkeypatch: Any) -> None:
    """P3: where changes could not be told one by one, what was commanded meanwhile is obeyed all the same, once."""
    await until(lambda: things.alive == ["poll"])
    # it is told that something has changed, and not what
    monkeypatch.setattr(_delivery, "_MOST_CHANGES", 0)
    await hand.start_service("deaf")
    await until(lambda: "deaf" in things.alive)
    await hand.many(restart("poll"))
    await until(lambda: things.begun["poll"] == 2 and "poll" in things.alive)
    await hand.stop_service("deaf")
    await until(lambda: things.alive == ["poll"])
    assert (things.lives, things.peak) == (3, 1)
