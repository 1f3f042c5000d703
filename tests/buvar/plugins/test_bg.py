"""Background jobs: started, bounded, awaited, and ended with the stage."""

import asyncio
import logging

import pytest

from buvar import context, plugin
from buvar.plugins import bg


async def value(it):
    await asyncio.sleep(0)
    return it


async def fail():
    raise LookupError("no luck")


async def test_jobs():
    """PLG-15: a job's future has its result; awaiting the jobs gathers all, whatever became of them."""
    jobs = bg.Jobs()
    task = jobs.add(value(1))
    assert set(jobs) == {task}
    assert await jobs == [1]
    assert await task == 1
    assert not jobs


async def test_a_failing_job_is_logged(caplog):
    """PLG-15: a failing job is logged with its exception, level error."""
    jobs = bg.Jobs()
    task = jobs.add(fail())
    (result,) = await jobs
    assert isinstance(result, LookupError)
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("Background job failed", logging.ERROR)
    assert record.exc_info[1] is result
    with pytest.raises(LookupError):
        await task


async def test_bounded_by_a_semaphore():
    """PLG-15: with `sync`, a job runs inside the semaphore."""
    running = []
    most = []

    async def job():
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0)
        running.pop()

    jobs, semaphore = bg.Jobs(), asyncio.Semaphore(2)
    for _ in range(6):
        jobs.add(job(), sync=semaphore)
    await jobs
    assert max(most) == 2


async def test_cancelling_and_shutting_down(caplog):
    """PLG-15: `cancel` cancels all, `shutdown` awaits their end too; neither is a failure."""
    jobs = bg.Jobs()
    jobs.add(asyncio.Event().wait())
    jobs.cancel()
    (result,) = await jobs
    assert isinstance(result, asyncio.CancelledError)
    task = jobs.add(asyncio.Event().wait())
    await jobs.shutdown()
    assert task.cancelled()
    assert not caplog.records


def test_plugin():
    """PLG-15: the plugin adds the jobs, and the stage ends them."""
    tasks = []

    async def prepare(load: plugin.Loader):
        await load("buvar.plugins.bg")
        tasks.append(context.get(bg.Jobs).add(asyncio.Event().wait()))

    plugin.stage(prepare)
    assert tasks[0].cancelled()


async def test_a_job_that_is_no_coroutine():
    """PLG-15: any awaitable is a job."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(5)
    assert await bg.Jobs().add(future) == 5
