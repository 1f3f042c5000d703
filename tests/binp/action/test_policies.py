"""What is done when an action takes long, fails, or runs already."""

import asyncio
import contextlib
import queue
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from binp import BINP, Inject
from binp.errors import BinpError
from binp.operations import Retry
from binp.runs import RunCancelled, RunSkipped, RunTimedOut
from binp.store import open_store
from binp.store.contract import RunQuery, State, StoreError
from binp.store.sqlite import _delivery
from buvar import di


async def run_of(handle):
    return await asyncio.wait_for(handle.wait(), 60)


async def messages(binp, run):
    return [record.message for record in await binp.home.store.get_records(run)]


# --- time


@pytest.mark.parametrize("limit", [0.05, timedelta(milliseconds=50)])
async def test_what_takes_too_long_has_failed(binp, limit):
    """An async action that takes longer than it may is cancelled, and its run has failed with the reason."""
    seen = []

    @binp.action(timeout=limit)
    async def sleep() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    handle = await binp.action.start(sleep)
    with pytest.raises(RunTimedOut, match=r"it took longer than 0.05 s"):
        await handle.result()
    run = await run_of(handle)
    assert (run.state, run.error_type, seen) == (State.FAILED, "RunTimedOut", ["cleaned up"])


async def test_a_timeout_of_its_own_is_just_an_error(binp):
    """A TimeoutError that the function itself raises is told as it is."""

    @binp.action(timeout=30)
    async def ask() -> None:
        raise TimeoutError("the thermostat does not answer")

    run = await run_of(await binp.action.start(ask))
    assert run.error == "TimeoutError: the thermostat does not answer"


async def test_what_swallows_that_its_time_is_over_has_failed(binp):
    """A function that returns although it was cancelled for its time-out has failed, as it would have in a thread."""

    @binp.action(timeout=0.05)
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"

    run = await run_of(await binp.action.start(stubborn))
    assert (run.state, run.error) == (State.FAILED, "RunTimedOut: it took longer than 0.05 s")


async def test_what_holds_up_the_loop_beyond_its_time_has_failed(binp):
    """Whether the timer or the function comes first, one that took longer than it may has failed."""

    @binp.action(timeout=0.05)
    async def busy() -> str:
        time.sleep(0.1)
        return "too late"

    run = await run_of(await binp.action.start(busy))
    assert (run.state, run.error) == (State.FAILED, "RunTimedOut: it took longer than 0.05 s")


async def test_a_thread_that_takes_too_long_is_waited_for(binp):
    """A thread cannot be stopped: its run says so, ends when it does, and has failed."""
    release = threading.Event()

    @binp.action(timeout=0.05)
    def wait() -> None:
        release.wait(100)

    handle = await binp.action.start(wait)
    while not await messages(binp, handle.id):
        await asyncio.sleep(0.01)
    release.set()
    run = await run_of(handle)
    assert run.error == "RunTimedOut: it took longer than 0.05 s"
    (said,) = await messages(binp, handle.id)
    assert said == "it takes longer than 0.05 s; a thread cannot be stopped, so its end is waited for"


@pytest.mark.parametrize("journal_is_outside", [True, False])
async def test_a_thread_with_a_journal_is_waited_for_as_well(binp, journal_is_outside):
    """ACT-03: a journal around a synchronous action changes nothing: no run of it ends before its thread."""
    release, ended = threading.Event(), []

    def wait() -> None:
        release.wait(100)
        ended.append(1)

    decorators = [binp.action(timeout=0.05, name="wait"), binp.journal]
    function = wait
    for decorate in decorators if journal_is_outside else reversed(decorators):
        function = decorate(function)
    handle = await binp.action.start("wait")
    while not (handle.done or await messages(binp, handle.id)):
        await asyncio.sleep(0.01)
    assert not handle.done
    release.set()
    run = await run_of(handle)
    assert (run.error, ended) == ("RunTimedOut: it took longer than 0.05 s", [1])
    assert run.journal is not None
    assert len((await binp.home.store.find_runs(RunQuery())).runs) == 1


# --- a thread that asks


async def test_a_thread_that_asks_ends_when_it_is_cancelled(binp):
    """A thread is told at once that its run was cancelled; what returns for that reason has not succeeded."""
    begun = threading.Event()

    @binp.action
    def work() -> str:
        assert not binp.action.stopping()
        begun.set()
        while not binp.action.stopping(within=3600):
            """Works."""
        return "half of it"

    handle = await binp.action.start(work)
    await asyncio.to_thread(begun.wait, 60)
    assert await handle.cancel()
    with pytest.raises(RunCancelled):
        await asyncio.wait_for(handle.result(), 60)
    assert (await run_of(handle)).result is None


async def test_a_thread_that_does_not_ask_succeeds_although_it_was_cancelled(binp):
    """What was done in spite of a request to cancel is done, and has its result."""
    begun, release = threading.Event(), threading.Event()

    @binp.action
    def work() -> str:
        begun.set()
        release.wait(60)
        return "all of it"

    handle = await binp.action.start(work)
    await asyncio.to_thread(begun.wait, 60)
    assert await handle.cancel()
    (run,) = binp.home.runs.active
    while not run.cancel_requested:
        await asyncio.sleep(0.01)
    release.set()
    assert await handle.result() == "all of it"


async def test_a_thread_that_asks_ends_when_its_time_is_over(binp):
    """Each attempt is told of its own time-out, and of no other's; the run has failed at it."""
    heard = []

    @binp.action(timeout=0.2, retries=1, retry_delay=0)
    def work() -> None:
        heard.append(binp.action.stopping())
        heard.append(binp.action.stopping(within=3600))

    run = await run_of(await binp.action.start(work))
    assert (run.error, run.attempt) == ("RunTimedOut: it took longer than 0.2 s", 2)
    assert heard == [False, True] * 2


async def test_a_function_inside_a_run_asks_for_it(binp):
    """What a run calls is told to end with it, in a run of its own as well."""
    begun, heard = threading.Event(), queue.Queue()

    @binp.journal
    def part() -> None:
        begun.set()
        heard.put(binp.action.stopping(within=3600))

    @binp.action
    async def work() -> None:
        await part()

    handle = await binp.action.start(work)
    await asyncio.to_thread(begun.wait, 60)
    await handle.cancel()
    assert await asyncio.to_thread(heard.get, timeout=60)
    assert (await run_of(handle)).state is State.CANCELLED


async def test_a_thread_of_an_async_action_is_told_of_the_time_out(binp):
    """Whoever waits for a thread is cancelled at the time-out; the thread, which cannot be, is told at that moment."""
    heard: queue.Queue[bool] = queue.Queue()

    @binp.action(timeout=0.2)
    async def work() -> None:
        await asyncio.to_thread(lambda: heard.put(binp.action.stopping(within=3600)))

    run = await run_of(await binp.action.start(work))
    assert run.error == "RunTimedOut: it took longer than 0.2 s"
    assert await asyncio.to_thread(heard.get, timeout=60)


async def test_what_was_told_to_end_inside_a_run_is_not_the_run(binp):
    """A run is told of by its own part alone: cancelled later, and never asking itself, it keeps its result."""
    begun, part_ended, go = threading.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @binp.journal
    def part() -> None:
        begun.set()
        assert binp.action.stopping(within=3600)

    @binp.action
    def work() -> str:
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(part(), loop).result()
        part_ended.set()
        go.wait(60)
        return "all of it"

    handle = await binp.action.start(work)
    await asyncio.to_thread(begun.wait, 60)
    [inner] = [run for run in binp.home.runs.active if run.id != handle.id]
    inner.cancel("enough")
    await asyncio.to_thread(part_ended.wait, 60)
    assert await handle.cancel()
    [outer] = binp.home.runs.active
    while not outer.cancel_requested:
        await asyncio.sleep(0.01)
    go.set()
    assert await handle.result() == "all of it"


async def test_who_may_ask_whether_to_end(binp):
    """On a loop nothing may wait; outside of a run the answer is no, after the wait."""

    @binp.action
    async def ask() -> bool:
        with pytest.raises(BinpError, match="would block the event loop"):
            binp.action.stopping(within=1)
        return binp.action.stopping()

    assert await (await binp.action.start(ask)).result() is False
    before = time.monotonic()
    assert await asyncio.to_thread(lambda: binp.action.stopping(within=0.1)) is False
    assert time.monotonic() - before >= 0.1


async def test_dependencies_are_closed_in_peace(binp):
    """The time limit is for the function: what was injected is closed after it, without haste."""
    seen = []

    class Thermostat: ...

    async def thermostat() -> AsyncIterator[Thermostat]:
        try:
            yield Thermostat()
        finally:
            await asyncio.sleep(0.2)
            seen.append("closed")

    di.register(thermostat)

    @binp.action(timeout=0.05)
    async def use(*, it: Inject[Thermostat]) -> None:
        await asyncio.Event().wait()

    run = await run_of(await binp.action.start(use))
    assert (run.error, seen) == ("RunTimedOut: it took longer than 0.05 s", ["closed"])


# --- again


async def test_a_failed_attempt_is_followed_by_another(binp):
    """All attempts are one run: each failure is a record with its traceback, and the end says which attempt it was."""
    attempts = []

    @binp.action(retries=3, retry_delay=0.01)
    async def flaky() -> str:
        attempts.append(binp.journal.current)
        if len(attempts) < 3:
            raise OSError(f"not yet: {len(attempts)}")
        return "done"

    handle = await binp.action.start(flaky)
    assert await handle.result() == "done"
    run = await run_of(handle)
    assert (run.state, run.attempt, attempts) == (State.SUCCEEDED, 3, [handle.id] * 3)
    records = await binp.home.store.get_records(handle.id)
    assert [record.level for record in records] == ["warning", "warning"]
    assert records[0].message.startswith("attempt 1 failed, the next one comes in 0.0 s: OSError: not yet: 1")
    assert "flaky" in records[1].fields


async def test_the_last_attempt_is_the_outcome(binp):
    """When all attempts have failed, the run has failed like the last one."""
    attempts = []

    @binp.action(retries=2, retry_delay=0)
    def hopeless() -> None:
        attempts.append(1)
        raise OSError(f"attempt {len(attempts)}")

    run = await run_of(await binp.action.start(hopeless))
    assert (run.state, run.error, run.attempt, len(attempts)) == (State.FAILED, "OSError: attempt 3", 3, 3)


async def test_it_is_cancelled_between_attempts(binp):
    """A run that waits for its next attempt is cancelled at once."""
    attempts = []

    @binp.action(retries=5, retry_delay=60)
    async def flaky() -> None:
        attempts.append(1)
        raise OSError("no")

    handle = await binp.action.start(flaky)
    while not await messages(binp, handle.id):
        await asyncio.sleep(0.01)
    assert await handle.cancel()
    with pytest.raises(RunCancelled):
        await asyncio.wait_for(handle.result(), 60)
    assert len(attempts) == 1


async def test_a_cancelled_attempt_is_not_tried_again(binp):
    """Cancelled is not failed."""
    attempts, begun = [], asyncio.Event()

    @binp.action(retries=5, retry_delay=0)
    async def work() -> None:
        attempts.append(1)
        begun.set()
        await asyncio.Event().wait()

    handle = await binp.action.start(work)
    await begun.wait()
    await handle.cancel()
    assert (await run_of(handle)).state is State.CANCELLED
    assert len(attempts) == 1


async def test_a_journaled_action_is_one_run_however_often_it_is_tried(binp):
    """Each attempt of an action that is journaled as well belongs to the run that was started."""
    attempts = []

    @binp.action(retries=1, retry_delay=0)
    @binp.journal
    async def flaky() -> None:
        attempts.append(binp.journal.current)
        if len(attempts) == 1:
            raise OSError("no")

    handle = await binp.action.start(flaky)
    await handle.result()
    assert attempts == [handle.id] * 2
    assert len((await binp.home.store.find_runs(RunQuery())).runs) == 1


async def test_a_run_that_is_started_again_may_fail_as_often_as_any(binp):
    """Attempts are counted on, but those of the run before use up none of the retries of this one."""
    attempts = []

    @binp.action(retries=1, retry_delay=0)
    async def flaky() -> str:
        attempts.append(1)
        if len(attempts) < 4:
            raise OSError("no")
        return "done"

    first = await run_of(await binp.action.start(flaky))
    assert (first.state, first.attempt) == (State.FAILED, 2)
    again = await binp.action.rerun(first.id)
    assert await again.result() == "done"
    assert (await run_of(again)).attempt == 4


def test_waits_grow(binp):
    """Each further attempt waits longer, up to a bound, and by up to a tenth more or less."""

    @binp.action(retries=9, retry_delay=2, retry_backoff=3, retry_max_delay=10)
    async def flaky() -> None: ...

    retry = binp.action.find(flaky).policy.retry
    for attempt, whole in ((1, 2), (2, 6), (3, 10), (9, 10)):
        waits = [retry.wait(attempt) for _ in range(50)]
        assert whole * 0.9 <= min(waits) < max(waits) <= whole * 1.1
    assert 9 <= retry.wait(1_000_000) <= 11
    assert Retry(limit=9, delay=0).wait(1_000_000) == 0


# --- at once


@pytest.fixture
def gated(binp):
    """A way to define an action that waits until it is let go; who is inside; and the gate."""
    inside, gate = [], asyncio.Event()

    def define(**options):
        @binp.action(name="work", **options)
        async def work(room: str = "bath") -> str:
            inside.append(room)
            try:
                await gate.wait()
            finally:
                inside.remove(room)
            return room

    define.inside, define.gate = inside, gate
    return define


async def test_one_waits_for_the_other(binp, gated, until):
    """What has no place waits queued, begins in the order it came, and counts its duration from then on."""
    gated(concurrency=1)
    handles = [await binp.action.start("work", room=str(number)) for number in range(4)]
    await until(lambda: gated.inside == ["0"])
    states = [(await binp.home.store.get_run(handle.id)).state for handle in handles]
    assert states == [State.RUNNING, State.QUEUED, State.QUEUED, State.QUEUED]
    gated.gate.set()
    runs = [await run_of(handle) for handle in handles]
    assert [run.state for run in runs] == [State.SUCCEEDED] * 4
    assert all(before.ended <= after.started for before, after in zip(runs, runs[1:], strict=False))


async def test_as_many_as_there_are_places(binp, gated, until):
    """There are never more at once than the limit says."""
    gated(concurrency=3)
    handles = [await binp.action.start("work", room=str(number)) for number in range(9)]
    await until(lambda: len(gated.inside) == 3)
    await asyncio.sleep(0.05)
    assert len(gated.inside) == 3
    gated.gate.set()
    assert [(await run_of(handle)).state for handle in handles] == [State.SUCCEEDED] * 9


async def test_places_per_value(binp, gated, until):
    """Each value of a parameter has places of its own."""
    gated(concurrency=1, per="room")
    for room in ("bath", "office", "bath"):
        await binp.action.start("work", room=room)
    await until(lambda: len(gated.inside) == 2)
    await asyncio.sleep(0.05)
    assert sorted(gated.inside) == ["bath", "office"]
    gated.gate.set()


async def test_what_is_skipped_has_not_failed(binp, gated, until):
    """Decision 19: whoever knows the two fields of the original alone sees no error of one that was skipped."""
    gated(concurrency=1, when_full="skip")
    binp.journal(binp.action.find("work").function)
    await binp.action.start("work")
    await until(lambda: gated.inside)
    second = await binp.action.start("work")
    with pytest.raises(RunSkipped):
        await second.result()
    (found,) = [one for one in await binp.journal.history() if one.id == second.id]
    assert (found.state, found.error, bool(found.finished_at)) == (State.SKIPPED, None, True)
    gated.gate.set()


async def test_what_has_no_place_is_skipped(binp, gated, until):
    """With when_full="skip" it is kept as skipped, with the reason where lists show it."""
    gated(concurrency=1, when_full="skip")
    await binp.action.start("work")
    await until(lambda: gated.inside)
    second = await binp.action.start("work")
    with pytest.raises(RunSkipped, match="1 is running, and there may be no more"):
        await second.result()
    run = await run_of(second)
    why = "skipped: 1 is running, and there may be no more"
    assert (run.state, run.error) == (State.SKIPPED, why)
    assert await messages(binp, second.id) == [why]
    gated.gate.set()


async def test_what_runs_is_replaced(binp, gated, until):
    """With when_full="replace" what runs is cancelled, and the new one takes its place."""
    gated(concurrency=1, when_full="replace")
    first = await binp.action.start("work", room="old")
    await until(lambda: gated.inside == ["old"])
    second = await binp.action.start("work", room="new")
    assert (await run_of(first)).state is State.CANCELLED
    await until(lambda: gated.inside == ["new"])
    gated.gate.set()
    assert await second.result() == "new"


async def test_one_that_waits_is_cancelled(binp, gated, caplog, until):
    """A run that waits is cancelled at once, and the others go on."""
    gated(concurrency=1)
    first, second, third = [await binp.action.start("work", room=str(number)) for number in range(3)]
    await until(lambda: gated.inside == ["0"])
    await second.cancel()
    assert (await run_of(second)).state is State.CANCELLED
    gated.gate.set()
    assert [(await run_of(handle)).state for handle in (first, third)] == [State.SUCCEEDED] * 2
    assert "was ended elsewhere" not in caplog.text


async def test_a_failure_frees_the_place(binp):
    """However a run ends, the next one has its place."""

    @binp.action(concurrency=1)
    async def fail() -> None:
        raise OSError("no")

    handles = [await binp.action.start(fail) for _ in range(5)]
    assert [(await run_of(handle)).state for handle in handles] == [State.FAILED] * 5


# --- over a restart


async def test_what_waits_survives_a_restart(db):
    """What is queued when a process ends in order is executed by the next one that serves; what ran is not repeated."""
    begun, ran = asyncio.Event(), []

    def define(binp):
        @binp.action(name="work", concurrency=1)
        async def work(room: str) -> str:
            ran.append(room)
            begun.set()
            if room == "first":
                await asyncio.Event().wait()
            return room

    binp = BINP(db=db)
    define(binp)
    await binp.home.open(serving=True)
    binp.home.lead()
    first = await binp.action.start("work", room="first")
    second = await binp.action.start("work", room="second")
    await begun.wait()
    binp.home.hurry()
    await binp.home.close()
    with pytest.raises(RunSkipped, match="goes on when the app is served again"):
        await second.result()

    again = BINP(db=db)
    define(again)
    await again.home.ensure()
    assert (await again.home.store.get_run(second.id)).state is State.QUEUED
    await again.home.open(serving=True)
    again.home.lead()
    while (run := await again.home.store.get_run(second.id)).state not in {State.SUCCEEDED, State.FAILED}:
        await asyncio.sleep(0.01)
    assert (run.state, run.result, run.epoch) == (State.SUCCEEDED, '"second"', 2)
    assert (await again.home.store.get_run(first.id)).state is State.CANCELLED
    assert ran == ["first", "second"]
    await again.home.close()


OTHER = """
import asyncio, sys
from binp import BINP
from binp.store import open_store

async def main(path):
    binp = BINP(db=open_store(path, group="g"))

    @binp.action(name="work", concurrency=1)
    async def work(room: str) -> str:
        await asyncio.Event().wait()

    @binp.action(name="gone", concurrency=1)
    async def gone() -> None:
        await asyncio.Event().wait()

    await binp.home.open(serving=True)
    for _ in range(2):
        await binp.action.start("work", room="there")
        await binp.action.start("gone")
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("is_told", [True, False])
async def test_what_a_killed_process_queued_is_executed_by_another(tmp_path, monkeypatch, is_told):
    """What waits in a process that is killed is executed where it leads; what ran there is interrupted."""
    if not is_told:
        # all that the process that leads hears is that there was something
        monkeypatch.setattr(_delivery, "_MOST_CHANGES", 0)
    path = str(tmp_path / "data.db")
    binp = BINP(db=open_store(path, group="g"))
    done = asyncio.Event()

    @binp.action(name="work", concurrency=1)
    async def work(room: str) -> str:
        done.set()
        return room

    await binp.home.open(serving=True)
    binp.home.lead()
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(OTHER), path, stdout=subprocess.PIPE
    )
    assert await other.stdout.readline() == b"ready\n"
    other.kill()
    await asyncio.wait_for(done.wait(), 60)
    store = binp.home.store
    async with asyncio.timeout(60):
        while (await store.find_runs(RunQuery(states=frozenset({State.QUEUED, State.RUNNING})))).runs:
            await asyncio.sleep(0.01)
    runs = {(run.operation, run.state): run for run in (await store.find_runs(RunQuery())).runs}
    assert set(runs) == {
        ("work", State.INTERRUPTED),
        ("work", State.SUCCEEDED),
        ("gone", State.INTERRUPTED),
    }
    await other.wait()
    gone = [run.error for run in (await store.find_runs(RunQuery(operation="gone"))).runs]
    assert any("cannot be executed here: there is no action named 'gone'" in error for error in gone)
    await binp.home.close()


async def test_what_cannot_be_executed_any_more_keeps_nothing_else_waiting(tmp_path, monkeypatch):
    """Of what a process left queued, each is executed that can be: whatever is wrong with others, or at first."""
    path = tmp_path / "data.db"
    began = asyncio.Event()

    def define(binp):
        @binp.action(name="work", concurrency=1)
        async def work(room: str) -> str:
            began.set()
            if room == "first":
                await asyncio.Event().wait()
            return room

    binp = BINP(db=str(path))
    define(binp)
    await binp.home.open(serving=True)
    binp.home.lead()
    await binp.action.start("work", room="first")
    torn = await binp.action.start("work", room="torn")
    last = await binp.action.start("work", room="last")
    await asyncio.wait_for(began.wait(), 60)
    binp.home.hurry()
    await binp.home.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE run SET arguments = '{' WHERE id = ?", (torn.id,))

    again = BINP(db=str(path))
    define(again)
    await again.home.open(serving=True)
    look = again.home.store.get_orphans
    tries = []

    async def get_orphans():
        tries.append(None)
        if len(tries) == 1:
            raise StoreError("the disk reports an error")
        return await look()

    monkeypatch.setattr(again.home.store, "get_orphans", get_orphans)
    again.home.lead()
    async with asyncio.timeout(60):
        while (run := await again.home.store.get_run(last.id)).state is not State.SUCCEEDED:
            await asyncio.sleep(0.01)
    run = await again.home.store.get_run(torn.id)
    assert run.state is State.INTERRUPTED
    assert "cannot be executed here" in run.error
    await again.home.close()


# --- options that make no sense


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": 0}, "timeout=0 is not a time"),
        (
            {"timeout": "soon"},
            "timeout='soon' is not a time\n  fix:   write seconds, as timeout=600, or timeout=\"3h\"",
        ),
        ({"retries": "3"}, "retries='3' is not a number\n  fix:   write retries=3"),
        ({"retry_delay": None}, "retry_delay=None is not a number\n  fix:   write a number"),
        ({"concurrency": "1"}, "concurrency='1' is not a number\n  fix:   write concurrency=1"),
        ({"concurrency": True}, "concurrency=True is not a number"),
        ({"name": 5}, "name=5 is not text\n  fix:   write it in quotes: name='5'"),
        ({"description": 5}, "description=5 is not text"),
        ({"confirm": True}, 'confirm=True is nothing to ask\n  fix:   write the question, as confirm="Really?"'),
        ({"labels": [7]}, "the label 7 is not text\n  fix:   write it in quotes: '7'"),
        ({"retries": -1}, "cannot be obeyed"),
        ({"retry_backoff": 0.5, "retries": 1}, "cannot be obeyed"),
        ({"concurrency": 0}, "lets nothing run"),
        ({"per": "room"}, "say how many with concurrency=1"),
        ({"concurrency": 1, "when_full": "skp"}, "did you mean 'skip'?"),
        ({"grace": 0}, "grace=0 does not say how long a shutdown waits"),
        ({"grace": -1.5}, "write seconds, as grace=600"),
        ({"grace": True}, "grace=True"),
        ({"grace": float("nan")}, "grace=nan"),
        ({"grace": "soon"}, "grace='soon'"),
        ({"grace": ""}, "grace=''"),
        ({"grace": "3 h x"}, "grace='3 h x'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    """An option that cannot be obeyed is refused where it is written."""
    with pytest.raises(BinpError) as caught:
        BINP().action(**options)
    assert text in str(caught.value)


def test_per_names_parameters(binp):
    """A parameter of which the values are to be counted has to be there; what was meant is told."""
    with pytest.raises(BinpError) as caught:

        @binp.action(concurrency=1, per=("room", "hous"))
        def work(room: str, house: str) -> None: ...

    where, fix = "test_policies.py:", "  fix:   did you mean 'house'?"
    what, place, told = str(caught.value).splitlines()
    assert (what, where in place, told) == ("per='hous' is not a parameter of the function", True, fix)


def test_one_label_may_be_written_alone(binp):
    """A text is one label, and not one for each of its letters; times are written alike."""

    @binp.action(labels="nightly", timeout="1min 30s", keep="7d")
    def work() -> None: ...

    policy = binp.action.find(work).policy
    assert (policy.labels, policy.timeout, policy.keep) == (("nightly",), 90.0, timedelta(days=7))


@pytest.mark.parametrize(
    ("grace", "seconds"),
    [
        (None, None),
        (600, 600.0),
        (0.5, 0.5),
        (timedelta(hours=3), 10800.0),
        ("3h", 10800.0),
        ("90min", 5400.0),
        ("1h 30m", 5400.0),
        ("1.5 s", 1.5),
        ("1d", 86400.0),
    ],
)
def test_grace_is_written_in_many_ways(binp, grace, seconds):
    """How long a shutdown waits is seconds, a timedelta, or a text with units."""

    @binp.action(grace=grace)
    def work() -> None:
        """Does nothing."""

    assert binp.action.find(work).policy.grace == seconds
