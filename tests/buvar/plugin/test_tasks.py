"""Tasks run side by side, fail loudly, and end in order."""

import asyncio
import contextlib
import logging
import time

import pytest

from buvar import plugin


async def value(it, delay=0.0):
    await asyncio.sleep(delay)
    return it


async def fail(error):
    raise error


async def for_ever():
    await asyncio.Future()


async def stubborn(leave):
    while not leave.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await leave.wait()


async def test_run_returns_results_and_errors_in_order(caplog):
    """PLG-08: a failing task neither stops the others nor raises; its exception is its result."""
    error = LookupError("no luck")
    assert await plugin.run([value(1, 0.01), fail(error), value(3)]) == [1, error, 3]


async def test_run_without_tasks():
    """PLG-08: nothing to run is nothing to wait for."""
    assert await plugin.run([]) == []


async def test_failure_is_logged_at_once(caplog):
    """PLG-08: a failing task is logged when it fails, with traceback and plugin (B-07)."""
    ready = asyncio.Event()

    async def watch():
        while not caplog.records:
            await asyncio.sleep(0)
        ready.set()

    async def wait():
        await ready.wait()

    await plugin.run([wait(), watch(), fail(LookupError("no luck"))])
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == (
        "buvar.plugin",
        logging.ERROR,
        "A task of the plugin fail failed",
    )
    assert record.exc_info[1].args == ("no luck",)
    assert record.plugin == "fail"


async def test_every_task_may_take_its_time_after_a_plain_event():
    """PLG-08: with an event of another class, all tasks get `cancel_timeout` seconds to end by themselves."""
    event = asyncio.Event()

    async def stop():
        event.set()

    started = time.monotonic()
    results = await plugin.run([stop(), value(1, 0.05), for_ever()], evt_cancel=event, cancel_timeout=0.2)
    assert results[:2] == [None, 1]
    assert isinstance(results[2], asyncio.CancelledError)
    assert time.monotonic() - started >= 0.2


async def test_rest_is_cancelled_one_by_one():
    """PLG-08: the rest is cancelled in order, each awaited before the next; one that catches it may return a value."""
    seen = []

    async def catch(name):
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            seen.append(f"{name} begins")
            await asyncio.sleep(0.01)
            seen.append(f"{name} ends")
            return name

    cancel = plugin.Cancel()
    asyncio.get_running_loop().call_later(0.01, cancel.set)
    assert await plugin.run([catch("a"), catch("b")], evt_cancel=cancel) == ["a", "b"]
    assert seen == ["a begins", "a ends", "b begins", "b ends"]


async def test_only_those_who_look_at_cancel_get_grace():
    """PLG-08: who watches Cancel, also by a task that it started, may end by itself; others are cancelled (B-12)."""
    cancel = plugin.Cancel()

    async def waits():
        await cancel.wait()
        return await value("waited", 0.05)

    async def polls():
        while not cancel.is_set():
            await asyncio.sleep(0.005)
        return await value("polled", 0.05)

    async def delegates():
        return await asyncio.create_task(waits())

    asyncio.get_running_loop().call_later(0.02, cancel.set)
    started = time.monotonic()
    results = await plugin.run([waits(), polls(), delegates(), for_ever()], evt_cancel=cancel, cancel_timeout=100)
    assert results[:3] == ["waited", "polled", "waited"]
    assert isinstance(results[3], asyncio.CancelledError)
    assert time.monotonic() - started < 60


async def test_grace_ends():
    """PLG-08: a task that watches Cancel and does not end is cancelled after `cancel_timeout`."""
    cancel = plugin.Cancel()

    async def waits():
        await cancel.wait()
        await asyncio.Future()

    asyncio.get_running_loop().call_later(0.01, cancel.set)
    (result,) = await plugin.run([waits()], evt_cancel=cancel, cancel_timeout=0.1)
    assert isinstance(result, asyncio.CancelledError)


async def test_a_task_that_asks_for_more_time_has_it():
    """PLG-08: `Cancel.extend` gives the task that calls it, and no other, more seconds to end by itself."""
    cancel, order = plugin.Cancel(), []

    async def waits(name, more, event):
        await cancel.wait()
        cancel.extend(more)
        try:
            await event.wait()
        finally:
            order.append(name)
            if len(order) == 2:
                ready.set()

    never, ready = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, cancel.set)
    jobs = [waits("patient", 100, ready), waits("brief", 1.0, never), waits("usual", 0, never)]
    results = await plugin.run(jobs, evt_cancel=cancel, cancel_timeout=0.1)

    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, asyncio.CancelledError]
    assert order == ["usual", "brief", "patient"]


async def test_a_cancel_of_someone_else_does_not_count():
    """PLG-08: grace is for those who look at this stage's Cancel, not at another."""
    cancel, other = plugin.Cancel(), plugin.Cancel()

    async def waits():
        assert not other.is_set()
        await asyncio.Future()

    asyncio.get_running_loop().call_later(0.01, cancel.set)
    started = time.monotonic()
    await plugin.run([waits()], evt_cancel=cancel, cancel_timeout=100)
    assert time.monotonic() - started < 60


async def test_cancel_never_cancels_inside_set():
    """PLG-07: a task that sets Cancel last still returns its value."""
    cancel = plugin.Cancel()

    async def last():
        await asyncio.sleep(0)
        cancel.set()
        return "done"

    assert await plugin.run([last()], evt_cancel=cancel, cancel_timeout=0) == ["done"]


async def test_all_tasks_ending_sets_cancel():
    """PLG-07: when all tasks have ended, the shutdown begins."""
    cancel = plugin.Cancel()
    await plugin.run([value(1)], evt_cancel=cancel)
    assert cancel.is_set()


async def test_tasks_run_even_when_cancel_is_set_before():
    """PLG-07: every task makes its first step, also when the shutdown has begun while plugins were loaded."""
    cancel = plugin.Cancel()
    cancel.set()
    seen = []

    async def first():
        seen.append(1)

    await plugin.run([first()], evt_cancel=cancel)
    assert seen == [1]


async def test_a_task_that_ignores_cancellation_is_left_behind(caplog, monkeypatch):
    """PLG-08: a task that does not end after its cancellation is reported, and the shutdown goes on."""
    monkeypatch.setattr("buvar.plugin._tasks.PATIENCE", 0.05)
    cancel, leave = plugin.Cancel(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, cancel.set)
    (result,) = await plugin.run([stubborn(leave)], evt_cancel=cancel, cancel_timeout=0)
    assert isinstance(result, plugin.StuckTaskError)
    assert isinstance(result, TimeoutError)
    assert (result.plugin, result.patience) == ("stubborn", 0.05)
    assert str(result) == (
        "a task of the plugin stubborn did not end within 0.05 seconds after its cancellation\n"
        "  fix:   let CancelledError through"
    )
    assert [record.getMessage() for record in caplog.records] == ["A task of the plugin stubborn failed"]
    leave.set()
    await asyncio.sleep(0)


async def test_cancelling_run_ends_the_tasks():
    """PLG-08: when the caller is cancelled, the tasks are ended first, even those that would get grace."""
    cancel = plugin.Cancel()
    seen = []

    async def waits():
        try:
            await cancel.wait()
            await asyncio.Future()
        finally:
            seen.append("ended")

    task = asyncio.create_task(plugin.run([waits(), fail(LookupError())], evt_cancel=cancel))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["ended"]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(caplog):
    """PLG-08: a task that ends by a CancelledError of its own has failed, and it is logged."""

    async def breaks():
        raise asyncio.CancelledError

    (result,) = await plugin.run([breaks()])
    assert isinstance(result, asyncio.CancelledError)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
async def test_a_task_that_leaves_the_process(error):
    """PLG-08: SystemExit and KeyboardInterrupt in a task begin the shutdown, and are raised when all have ended."""
    seen = []

    async def other():
        try:
            await asyncio.Future()
        finally:
            seen.append("ended")

    with pytest.raises(type(error)) as caught:
        await plugin.run([other(), fail(error)])
    assert caught.value is error
    assert seen == ["ended"]


def test_fail_fast():
    """PLG-08: with `fail_fast` the first failure begins the shutdown (B-07)."""

    async def prepare():
        yield for_ever()
        yield fail(LookupError("no luck"))

    stage = plugin.Stage(fail_fast=True)
    results = stage.run(prepare)
    assert isinstance(results[0], asyncio.CancelledError)
    assert isinstance(results[1], LookupError)
    assert stage.failed == [(f"{__name__}:test_fail_fast.<locals>.prepare", results[1])]
    assert [type(each) for each in plugin.stage(prepare, fail_fast=True)] == [asyncio.CancelledError, LookupError]


async def test_a_task_that_is_cancelled_before_its_first_step():
    """PLG-08: a stage that is hurried at once leaves no coroutine unawaited (B-21)."""

    class Awaitable:
        def __await__(self):
            yield

    runner = plugin.Stage()

    async def prepare():
        yield value(1)
        yield Awaitable()

    await runner.aload(prepare)
    task = asyncio.create_task(runner.arun_tasks())
    await asyncio.sleep(0)
    runner.cancel_now()
    results = await task
    assert [type(each) for each in results] == [asyncio.CancelledError] * 2
    await runner.arun_teardown()


async def test_settling_what_is_cancelled():
    """A caller that is cancelled while the task is cancelled as well is told of its own cancellation."""
    from buvar.plugin import _tasks

    task = asyncio.create_task(for_ever())
    caller = asyncio.create_task(_tasks.settle(task, task.cancel))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert task.cancelled()


async def test_a_pause_ends_with_the_shutdown():
    """PLG-08: `Cancel.within` waits as long as it says, or until the shutdown begins, and leaves no task behind."""
    cancel, rounds = plugin.Cancel(), []

    async def poll():
        while not await cancel.within(0.01):
            rounds.append(len(asyncio.all_tasks()))
        assert await cancel.within(3600)
        return "ended by itself"

    async def stop():
        while len(rounds) < 20:
            await asyncio.sleep(0.01)
        cancel.set()

    results = await plugin.run([poll(), stop()], evt_cancel=cancel)

    assert results == ["ended by itself", None]
    assert rounds[-1] <= rounds[0]
