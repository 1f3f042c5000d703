"""What is due is started once, or kept as left out."""

import asyncio
from datetime import timedelta

import pytest

from binp.schedule._ticker import Ticker
from binp.store.contract import MoveSchedule, RunQuery, State
from binp.store.query import parse

MINUTE = timedelta(minutes=1)


@pytest.fixture
def ran(binp):
    """A function that is started each minute, and what it was called with."""
    calls = []

    @binp.schedule(every=MINUTE, args={"room": "bath"})
    async def sweep(room: str = "hall") -> None:
        calls.append(room)

    return calls


async def ended(hand):
    """Wait until nothing runs any more, all ends are in the history, and the schedules know of them."""
    entries = hand.binp.schedule._entries.values()
    while (
        hand.binp.home.runs.active
        or any(state is State.RUNNING for state, _ in await hand.runs())
        # what has ended in the history is told a moment later to who has started it
        or any(entry.is_running for entry in entries)
    ):
        await asyncio.sleep(0.01)


async def test_a_tick_is_started_when_it_comes(hand, ran, noon):
    """A schedule begins when it is first seen, says when to look again, and starts each tick with its arguments."""
    assert await hand.look() == pytest.approx(30)
    await hand.look(seconds=59.9)
    assert await hand.started() == []
    await hand.look(seconds=0.2)
    await ended(hand)

    assert ran == ["bath"]
    assert await hand.runs() == [(State.SUCCEEDED, noon + MINUTE)]
    (run,) = (await hand.binp.home.store.find_runs(RunQuery())).runs
    assert (run.trigger, run.actor, run.arguments) == ("schedule", run.operation, '{"room":"bath"}')
    await hand.look()
    await ended(hand)
    assert len(ran) == 1


async def test_it_looks_again_right_before_the_next(hand, ran):
    """Between two ticks it sleeps until the next one, and never longer than half a minute, for a clock may be set."""
    await hand.look()
    assert await hand.look(seconds=50) == pytest.approx(10)
    assert await hand.look(seconds=-40) == pytest.approx(30)


async def test_a_pause_of_the_process_is_made_up_for_once(hand, ran, noon):
    """After a restart one start makes up for what was missed; one run says what was left out."""
    await hand.look()
    hand.restart()
    await hand.look(minutes=5, seconds=3)
    await ended(hand)

    assert await hand.started() == [noon + 5 * MINUTE]
    assert await hand.reasons() == [
        "missed: nothing was there to start it in time: 4 ticks from 2026-11-21 12:01:00 to 2026-11-21 12:04:00 UTC"
    ]


async def test_what_a_schedule_has_started_is_found(hand, ran, noon):
    """The runs of a schedule are found by its name, those that were left out as well; others are not."""
    await hand.look()
    await hand.look(minutes=5)
    await ended(hand)
    binp = hand.binp
    await (await binp.schedule.fire("ran.<locals>.sweep")).result()
    query = parse('trigger:schedule by:"ran.<locals>.sweep"')
    found = (await binp.home.store.find_runs(query)).runs
    assert {run.state for run in found} == {State.SUCCEEDED, State.SKIPPED}
    assert len(found) == len(await hand.runs()) - 1


async def test_a_clock_that_is_set_back_starts_nothing_twice(hand, ran, noon):
    """Set back by minutes, it waits; set back by years, it begins anew, and still starts no tick a second time."""
    await hand.look()
    await hand.look(minutes=1)
    await hand.look(seconds=-50)
    await hand.look(seconds=50)
    await ended(hand)
    assert await hand.started() == [noon + MINUTE]

    await hand.look(days=-365)
    await hand.look(minutes=1)
    await ended(hand)
    assert await hand.started() == [noon + MINUTE, noon - timedelta(days=365) + 2 * MINUTE]
    hand.restart()
    await hand.look(days=365)
    await ended(hand)
    starts = await hand.started()
    assert len(starts) == len(set(starts)) == 2 + (noon + 2 * MINUTE in starts)


async def test_two_processes_start_a_tick_once(hand, ran, noon):
    """Whoever is second finds that the tick was started; nobody starts it again after a takeover."""
    await hand.look()
    await hand.look(minutes=1)
    await ended(hand)
    hand.restart()
    entry = hand.binp.schedule._entries["ran.<locals>.sweep"]
    entry.until = noon
    await hand.look()
    await ended(hand)

    assert ran == ["bath"]
    assert await hand.runs() == [(State.SUCCEEDED, noon + MINUTE)]


async def test_what_was_started_before_a_crash_is_not_said_to_be_missed(hand, ran, noon):
    """Where a process ended between start and note, the tick counts as started, and the rest as missed."""
    await hand.look()
    await hand.look(minutes=1)
    await ended(hand)
    hand.restart()
    hand.binp.schedule._entries["ran.<locals>.sweep"].until = noon
    await hand.look(minutes=3)
    await ended(hand)

    assert await hand.started() == [noon + MINUTE, noon + 4 * MINUTE]
    assert await hand.reasons() == [
        "missed: nothing was there to start it in time: 2 ticks from 2026-11-21 12:02:00 to 2026-11-21 12:03:00 UTC"
    ]


async def test_the_note_of_a_started_tick_need_not_be_on_the_disk(hand, ran, monkeypatch):
    """The run says that the tick was started: the note beside it costs no write to the disk of its own."""
    store, notes = hand.binp.home.store, []
    write = store.write

    def spy(given):
        if isinstance(given, MoveSchedule):
            notes.append(given.durable)
        return write(given)

    monkeypatch.setattr(store, "write", spy)
    await hand.look()
    await hand.look(minutes=1)
    assert notes == [True, False]
    await ended(hand)
    # two that were missed: one is made up for, and what is left out is on the disk with what says so
    await hand.look(minutes=2)
    assert notes == [True, False, True, False]
    await ended(hand)


async def test_another_timing_begins_anew(hand, ran, binp):
    """What a schedule said before it was changed is not made up for."""
    await hand.look()

    @binp.schedule("*/10 * * * *", name="ran.<locals>.sweep")
    async def other() -> None: ...

    await hand.look(minutes=25)
    assert await hand.runs() == []


async def test_a_paused_schedule_leaves_out_what_comes(hand, ran, binp, noon, monkeypatch):
    """Paused, nothing is started; resumed, it goes on with the next tick and says what was left out."""
    from binp.schedule import _registry

    monkeypatch.setattr(_registry, "now", lambda: int(hand.now.timestamp() * 1_000_000))
    name = "ran.<locals>.sweep"
    await hand.look()
    await binp.schedule.pause(name, actor="ann")
    assert await hand.look(minutes=3) == pytest.approx(30)
    assert await hand.runs() == []
    (info,) = await binp.schedule.schedules()
    assert (info.paused, info.paused_by, info.paused_at) == (True, "ann", noon)

    await binp.schedule.resume(name)
    await hand.look()
    await hand.look(minutes=1)
    await ended(hand)
    assert await hand.started() == [noon + 4 * MINUTE]
    assert await hand.reasons() == [
        "skipped: the schedule was paused: 3 ticks from 2026-11-21 12:01:00 to 2026-11-21 12:03:00 UTC"
    ]


async def test_a_tick_that_comes_while_it_looks_waits_for_the_next_look(hand, ran, binp, noon):
    """Who is paused is read before a tick comes: it is started by the next look, which is at once, and knows it."""
    await hand.look()
    moments = iter([noon + timedelta(seconds=59.9)])
    late = noon + timedelta(seconds=61)
    schedule = binp.schedule
    ticker = Ticker(binp.home, schedule._entries, schedule._operation_of, lambda: next(moments, late).timestamp())
    assert await ticker.look() == 0
    await schedule.pause("ran.<locals>.sweep")
    await ticker.look()
    assert await hand.runs() == []


@pytest.fixture
def slow(binp):
    """A way to schedule something that takes until it is let go."""
    gate = asyncio.Event()

    def schedule(overlap):
        @binp.schedule(every=MINUTE, overlap=overlap, name="slow")
        async def body() -> None:
            await gate.wait()

        return gate

    return schedule


async def test_an_overlapping_tick_is_left_out(hand, slow, noon):
    """With overlap="skip" a tick that comes during the run of the one before is left out, with the reason."""
    gate = slow("skip")
    await hand.look()
    await hand.look(minutes=1)
    await hand.look(minutes=1)
    gate.set()
    await ended(hand)
    await hand.look(minutes=1)
    await ended(hand)

    assert await hand.started() == [noon + MINUTE, noon + 3 * MINUTE]
    assert await hand.reasons() == ["skipped: the run of the one before had not ended: 2026-11-21 12:02:00 UTC"]


async def test_an_overlapping_tick_waits(hand, slow, noon):
    """With overlap="queue" one tick waits for the end of the run before it; a further one is left out."""
    gate = slow("queue")
    await hand.look()
    await hand.look(minutes=1)
    await hand.look(minutes=1)
    await hand.look(minutes=1)
    assert await hand.started() == [noon + MINUTE]
    gate.set()
    await ended(hand)
    await hand.look()
    await ended(hand)

    assert await hand.started() == [noon + MINUTE, noon + 2 * MINUTE]
    assert await hand.reasons() == ["skipped: the one before it still waits: 2026-11-21 12:03:00 UTC"]


async def test_a_waiting_tick_survives_a_restart(hand, slow, noon):
    """A tick that waits is dealt with by whoever takes over."""
    gate = slow("queue")
    await hand.look()
    await hand.look(minutes=1)
    await hand.look(minutes=1)
    gate.set()
    await ended(hand)
    hand.restart()
    await hand.look()
    await ended(hand)
    assert await hand.started() == [noon + MINUTE, noon + 2 * MINUTE]


async def test_overlapping_ticks_run_beside_each_other(hand, slow, noon):
    """With overlap="parallel" each tick is started."""
    gate = slow("parallel")
    await hand.look()
    await hand.look(minutes=1)
    await hand.look(minutes=1)
    assert len(hand.binp.home.runs.active) == 2
    gate.set()
    await ended(hand)
    assert await hand.started() == [noon + MINUTE, noon + 2 * MINUTE]


async def test_a_schedule_that_cannot_be_started_does_not_stop_the_others(hand, ran, binp, caplog):
    """An error in one schedule is logged, and the others go on."""

    @binp.schedule(every=MINUTE, args={"level": "high"})
    async def broken(level: int) -> None: ...

    await hand.look()
    await hand.look(minutes=1)
    await ended(hand)
    assert ran == ["bath"]
    assert "broken' could not be looked after" in caplog.text
    assert "level: Input should be a valid integer" in caplog.text


async def test_what_cannot_be_started_is_said_once(hand, ran, binp, caplog):
    """A schedule that is tried again each second says once why it is not started, and is started when that is over."""
    binp.home.runs._limit = 0
    for _ in range(3):
        await hand.look(seconds=30)
    assert caplog.text.count("could not be looked after") == 1
    binp.home.runs._limit = 10
    assert await hand.look(seconds=1) > 1
    await ended(hand)
    assert ran == ["bath"]
    binp.home.runs._limit = 0
    await hand.look(minutes=1)
    assert caplog.text.count("could not be looked after") == 2


async def test_what_comes_during_a_shutdown_is_for_the_next_process(hand, ran, binp, noon, caplog):
    """A process that ends starts no tick, leaves none out, and does not complain: the next one starts it."""
    release = asyncio.Event()

    @binp.action
    async def long() -> None:
        await release.wait()

    await binp.home.open(serving=True)
    await hand.look()
    await binp.action.start(long)
    closing = asyncio.create_task(binp.home.close())
    while not binp.home.is_ending:
        await asyncio.sleep(0)
    assert await hand.look(minutes=1) > 1
    assert await hand.started() == [None]
    release.set()
    await closing
    assert "could not be looked after" not in caplog.text

    await binp.home.ensure()
    hand.restart()
    await hand.look(seconds=5)
    await ended(hand)
    assert (await hand.started(), ran) == ([None, noon + MINUTE], ["bath"])


async def test_it_goes_on_by_itself(hand, binp):
    """With a real clock a second's schedule starts each second once, and ends with the home."""
    seen = asyncio.Queue()

    @binp.schedule(every=timedelta(seconds=1))
    async def beat() -> None:
        seen.put_nowait(binp.journal.current)

    await binp.home.open(serving=True)
    binp.home.lead()
    first, second = [await asyncio.wait_for(seen.get(), 30) for _ in range(2)]
    await ended(hand)
    runs = [await binp.home.store.get_run(run) for run in (first, second)]
    assert runs[1].due > runs[0].due
    assert all(run.due % 1_000_000 == 0 and run.due <= run.started for run in runs)
    await binp.home.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "binp schedules"]


async def test_nothing_is_started_where_the_home_has_no_schedules(binp):
    """A home that is told so looks after nothing, though it leads: while a file is being written, for one."""

    @binp.schedule(every=timedelta(seconds=1))
    async def beat() -> None: ...

    binp.home.has_schedules = False
    await binp.home.open(serving=True)
    binp.home.lead()

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "binp schedules"]
    assert len(await binp.schedule.schedules()) == 1
