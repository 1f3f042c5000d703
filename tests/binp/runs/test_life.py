"""The life of a run: its end, its dependencies, its threads and its output."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest

from binp import Inject
from binp.runs import RunCancelled, TooManyRuns, current_run
from binp.store.contract import RunQuery, State
from buvar import di


class First:
    pass


class Second:
    pass


events: list[str] = []


@pytest.fixture(autouse=True)
def injected():
    events.clear()

    async def first() -> AsyncIterator[First]:
        try:
            yield First()
        except BaseException as error:
            events.append(f"first saw {type(error).__name__}")
            raise
        finally:
            events.append("first closed")

    def second(first: First) -> Iterator[Second]:
        try:
            yield Second()
        finally:
            events.append("second closed")

    di.register(first, second, replace=True)


async def records_of(binp, run):
    return [(r.source, r.message) for r in await binp.home.store.get_records(run)]


async def test_order_of_the_end(binp):
    """Body, then generators in reverse with the exception thrown in, then records, then the end, then the change."""
    seen = []
    await binp.home.ensure()
    binp.home.store.listen(lambda changes: seen.extend((c.topic, c.id) for c in changes))

    @binp.action(name="op")
    async def op(second: Inject[Second]):
        binp.journal.record("last words")
        events.append("body")
        raise ValueError("no")

    handle = await binp.action.start("op")
    with pytest.raises(ValueError):
        await handle.result()

    assert events == ["body", "second closed", "first saw ValueError", "first closed"]
    run = await handle.wait()
    assert (run.state, run.records) == (State.FAILED, 1)
    assert seen == [("run", handle.id), ("record", handle.id), ("run", handle.id)]


async def test_a_record_in_a_teardown_still_belongs_to_the_run(binp):
    """What an injected dependency says while it is closed is kept, before the end."""

    async def first() -> AsyncIterator[First]:
        yield First()
        binp.journal.record("closing")

    di.register(first, replace=True)

    @binp.action(name="op")
    async def op(first: Inject[First]):
        pass

    handle = await binp.action.start("op")
    run = await handle.wait()
    assert await records_of(binp, run.id) == [("record", "closing")]


async def test_a_failing_teardown_turns_success_into_failure(binp):
    """A failing teardown turns success into failure, and says that it was one."""

    async def first() -> AsyncIterator[First]:
        yield First()
        raise RuntimeError("cannot close")

    di.register(first, replace=True)

    @binp.action(name="op")
    async def op(first: Inject[First]):
        return 1

    run = await (await binp.action.start("op")).wait()
    assert (run.state, run.result) == (State.FAILED, None)
    assert run.error == "while closing what was injected: RuntimeError: cannot close"


async def test_a_failing_teardown_never_replaces_an_earlier_error(binp):
    """When both fail, the body's error is the run's, and the teardown's is a record of level error."""

    async def first() -> AsyncIterator[First]:
        try:
            yield First()
        finally:
            raise RuntimeError("cannot close")

    di.register(first, replace=True)

    @binp.action(name="op")
    async def op(first: Inject[First]):
        raise ValueError("no")

    run = await (await binp.action.start("op")).wait()
    assert run.error == "ValueError: no"
    [record] = await binp.home.store.get_records(run.id)
    assert record.level == "error"
    assert "cannot close" in record.message


async def test_cancel_while_tearing_down_is_not_delivered(binp):
    """The teardown is shielded from the first request to cancel: it runs to its end."""
    closing = asyncio.Event()

    async def first() -> AsyncIterator[First]:
        yield First()
        closing.set()
        await asyncio.sleep(0.05)
        events.append("closed in peace")

    di.register(first, replace=True)

    @binp.action(name="op")
    async def op(first: Inject[First]):
        return 1

    handle = await binp.action.start("op")
    await closing.wait()
    assert await handle.cancel()
    assert await handle.result() == 1
    assert events[-1] == "closed in peace"


async def test_cancel_closes_dependencies_in_reverse(binp):
    """A cancelled run closes what was injected, with the cancellation thrown in, and has one end."""
    entered = asyncio.Event()

    @binp.action(name="op")
    async def op(second: Inject[Second]):
        entered.set()
        await asyncio.sleep(60)

    handle = await binp.action.start("op")
    await entered.wait()
    await handle.cancel()
    with pytest.raises(RunCancelled):
        await handle.result()
    assert events == ["second closed", "first saw CancelledError", "first closed"]
    assert (await handle.wait()).state is State.CANCELLED


async def test_cancel_before_the_first_step(binp):
    """A run that is cancelled before its task took a step ends as cancelled, and its body is never entered."""
    calls = []
    await binp.home.ensure()

    @binp.action(name="op")
    async def op():
        calls.append(1)

    operation = binp.action.find("op")
    from binp.runs import Trigger

    starting = asyncio.ensure_future(binp.home.runs.start(operation, operation.form.bind({}), trigger=Trigger("call")))
    await asyncio.sleep(0)
    [active] = binp.home.runs.active
    active.cancel()
    handle = await starting
    assert (await handle.wait()).state is State.CANCELLED
    assert calls == []


async def test_a_caller_that_goes_away_does_not_cancel_the_run(binp):
    """N-26: cancelling whoever starts a run, or waits for its result, leaves the run alone."""
    leave = asyncio.Event()

    @binp.action(name="op")
    async def op():
        await leave.wait()
        return 1

    await binp.home.ensure()
    starting = asyncio.ensure_future(binp.action.start("op"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    handle = await binp.action.start("op")
    waiting = asyncio.ensure_future(handle.result())
    await asyncio.sleep(0)
    waiting.cancel()
    leave.set()
    assert await handle.result() == 1
    async with asyncio.timeout(60):
        while binp.home.runs.active:
            await asyncio.sleep(0.01)
        # the end of the one that nobody waits for is committed by itself
        runs = (await binp.home.store.find_runs(RunQuery())).runs
        while any(run.state is State.RUNNING for run in runs):
            await asyncio.sleep(0.01)
            runs = (await binp.home.store.find_runs(RunQuery())).runs
    assert [run.state for run in runs] == [State.SUCCEEDED, State.SUCCEEDED]


async def test_direct_call_of_a_journaled_function_with_dependencies(binp):
    """Inject works in a direct call too; what the caller gives is used as it is."""

    @binp.journal
    async def op(x: int, first: Inject[First]):
        return x, type(first)

    assert await op(1) == (1, First)
    assert events == ["first closed"]
    assert await op(2, first="mine") == (2, str)
    assert events == ["first closed"]


async def test_cancelled_direct_call_closes_dependencies(binp):
    """Cancelling the caller of a journaled function with dependencies cancels the run, and waits for its end."""
    entered = asyncio.Event()

    @binp.journal
    async def op(second: Inject[Second]):
        entered.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(op())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["second closed", "first saw CancelledError", "first closed"]
    [run] = (await binp.home.store.find_runs(RunQuery())).runs
    assert run.state is State.CANCELLED


async def test_output_of_a_thread_reaches_the_run(binp, capsys):
    """print, record and progress from a sync action in a thread reach the run, in order, and print still prints."""

    @binp.action(name="op")
    def op():
        print("one", end="")
        print(" line")
        binp.journal.record("two", n=2)
        print("three\nfour")
        binp.journal.progress(1, 2, "half")
        sys.stdout.write("rest")

    run = await (await binp.action.start("op")).wait()
    assert await records_of(binp, run.id) == [
        ("print", "one line"),
        ("record", "two"),
        ("print", "three"),
        ("print", "four"),
        ("print", "rest"),
    ]
    assert (run.progress, run.progress_total, run.progress_message) == (1, 2, "half")
    assert capsys.readouterr().out == "one line\nthree\nfour\nrest"


async def test_output_outside_of_runs_is_left_alone(binp, capsys):
    """What is printed outside of a run is nobody's record; the stream is put back when the BINP closes."""
    original = sys.stdout
    await binp.kv.set(x=1)
    print("outside")
    assert sys.stdout is not original
    await binp.home.close()
    assert sys.stdout is original
    assert capsys.readouterr().out == "outside\n"


async def test_late_record_of_a_stray_task(binp, caplog):
    """A stray task's late record warns once and writes nothing."""
    tasks = []
    go = asyncio.Event()

    async def stray():
        await go.wait()
        await binp.journal.record("late")
        await binp.journal.record("later")

    @binp.journal
    async def op():
        tasks.append(asyncio.create_task(stray()))
        return binp.journal.current

    run = await op()
    go.set()
    with caplog.at_level(logging.WARNING, "Journals"):
        await tasks[0]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        (
            f"record 'late' came after run {run} of "
            f"'test_late_record_of_a_stray_task.<locals>.op' had ended: nothing is kept"
        )
    ]
    assert (await binp.home.store.get_run(run)).records == 0


async def test_a_run_does_not_inherit_the_context_of_whoever_started_it(binp):
    """A started run lives in the base context, not in the one of the request or run that started it."""
    variable = contextvars.ContextVar("variable", default="base")
    await binp.home.ensure()

    @binp.action(name="op")
    async def op():
        return variable.get()

    variable.set("caller")
    assert await (await binp.action.start("op")).result() == "base"


async def test_cancelling_a_thread_is_honest(binp):
    """A function in a thread cannot be stopped: its run ends when it returns, and says how it really ended."""
    entered, leave = threading.Event(), threading.Event()

    @binp.action(name="op")
    def op():
        entered.set()
        leave.wait(100)
        return "done"

    handle = await binp.action.start("op")
    await asyncio.to_thread(entered.wait, 60)
    assert await handle.cancel()
    await asyncio.sleep(0.02)
    assert not handle.done
    leave.set()
    assert await handle.result() == "done"
    run = await handle.wait()
    assert (run.state, run.cancel_requested) == (State.SUCCEEDED, True)


async def test_shutdown_cancels_and_records_what_is_left(binp):
    """At the end of the grace what is left is cancelled and recorded, a stuck thread included."""
    leave = threading.Event()

    @binp.action(name="slow")
    async def slow():
        await asyncio.sleep(60)

    @binp.action(name="stuck")
    def stuck():
        leave.wait(200)

    one = await binp.action.start("slow")
    two = await binp.action.start("stuck")
    home = binp.home
    home.hurry()
    began = time.monotonic()
    await home.close()
    assert time.monotonic() - began < 60
    leave.set()
    await home.ensure()
    slow_run, stuck_run = await home.store.get_run(one.id), await home.store.get_run(two.id)
    assert (slow_run.state, slow_run.error) == (State.CANCELLED, "cancelled: the process was shut down")
    assert stuck_run.state is State.CANCELLED
    assert stuck_run.error.startswith("cancelled: the process was shut down")


async def test_too_many_runs(binp):
    """The number of runs in flight has a bound, with a clear error beyond it."""
    await binp.home.ensure()
    binp.home.runs._limit = 1

    @binp.action(name="op")
    async def op():
        await asyncio.sleep(60)

    handle = await binp.action.start("op")
    with pytest.raises(TooManyRuns) as caught:
        await binp.action.start("op")
    assert str(caught.value) == "'op' was not started: 1 runs are in flight\n  fix:   wait until some have ended"
    await handle.cancel()
    await handle.wait()


async def test_system_exit_in_an_action_is_a_failure(binp):
    """sys.exit in an action fails its run, and does not end the process."""

    @binp.action(name="op")
    async def op():
        sys.exit(3)

    run = await (await binp.action.start("op")).wait()
    assert (run.state, run.error) == (State.FAILED, "SystemExit: 3")


@pytest.mark.parametrize("kind", ["action", "thread", "journal"])
async def test_what_has_ended_is_forgotten_at_once(binp, kind):
    """A run that has ended is gone from memory at once: nothing of it is left for the collector of garbage to find."""
    held = []

    def hold():
        held.append(weakref.ref(current_run.get()))

    async def work():
        hold()

    function = binp.journal(hold if kind == "thread" else work)
    binp.action(name="work")(function)

    async def call():
        if kind == "journal":
            await function()
        else:
            await (await binp.action.start("work")).result()

    await call()
    gc.collect()
    gc.disable()
    try:
        await call()
        async with asyncio.timeout(20):
            # its task has a last step to do
            while held[-1]() is not None:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()
