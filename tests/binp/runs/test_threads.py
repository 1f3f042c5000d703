"""Threads for synchronous functions."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from binp.runs import Threads


@pytest.fixture
async def threads():
    made = Threads(limit=2)
    yield made
    assert made.close(5)


async def test_result_error_and_context(threads):
    """The result and the error come back; the thread sees the caller's context variables."""
    variable = contextvars.ContextVar("variable", default="nobody")
    variable.set("caller")

    def fail():
        raise ValueError("no")

    def stop():
        raise StopIteration

    assert await threads.run(variable.get) == "caller"
    with pytest.raises(ValueError, match="^no$"):
        await threads.run(fail)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(stop)


async def test_bounded_and_in_order(threads):
    """No more threads than the limit; what comes beyond waits in order."""
    order, alive, most = [], [], []
    lock, others = threading.Lock(), threading.Event()

    def call(n):
        with lock:
            alive.append(n)
            most.append(len(alive))
        if n == 0:
            # so that all others come to one thread, where their order is that of their turns
            others.wait(100)
        else:
            order.append(n)
            time.sleep(0.01)
        with lock:
            alive.remove(n)
        if n == 9:
            others.set()

    await asyncio.gather(*(threads.run(lambda n=n: call(n)) for n in range(10)))
    assert max(most) == 2
    assert order == list(range(1, 10))


async def test_threads_are_reused_and_daemons():
    """A thread that is free is used again; none keeps the process alive."""
    threads = Threads()
    found = set()
    for _ in range(20):
        found.add(await threads.run(threading.get_ident))
        # the thread gives its answer a moment before it is free again
        while not threads._idle:
            await asyncio.sleep(0.001)
    assert len(found) <= 2
    assert await threads.run(lambda: threading.current_thread().daemon)
    threads.close(60)


async def test_a_call_that_nobody_waits_for_any_more_is_not_begun(threads):
    """Cancelled before its turn, a call is never made; cancelled later, it goes on to its end."""
    release, made, began = threading.Event(), [], threading.Semaphore(0)

    def wait():
        began.release()
        release.wait(100)
        made.append("waited")

    blockers = [asyncio.ensure_future(threads.run(wait)) for _ in range(2)]
    late = asyncio.ensure_future(threads.run(lambda: made.append("late")))
    for _ in blockers:
        assert await asyncio.to_thread(began.acquire, timeout=60)
    late.cancel()
    blockers[0].cancel()
    await asyncio.sleep(0)
    release.set()
    await blockers[1]
    # one after the other: the thread of the cancelled call goes on by itself, and comes here when it is done
    for _ in range(3):
        await threads.run(lambda: None)
    while len(made) < 2:
        await asyncio.sleep(0.01)
    assert made == ["waited", "waited"]


async def test_closed():
    """After closing nothing is taken; closing waits, but not for ever."""
    threads = Threads()
    release = threading.Event()
    waiting = asyncio.ensure_future(threads.run(lambda: release.wait(100)))
    await asyncio.sleep(0.01)
    assert threads.close(0.01) is False
    with pytest.raises(RuntimeError, match="closed"):
        await threads.run(lambda: None)
    release.set()
    await waiting
    assert threads.close(60) is True


def test_a_loop_that_is_gone_is_no_error():
    """A call that ends after its loop was closed ends quietly."""
    threads = Threads()
    release = threading.Event()

    async def main():
        task = asyncio.ensure_future(threads.run(lambda: release.wait(100)))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
    release.set()
    assert threads.close(60)


def test_a_job_that_comes_as_the_last_thread_leaves(monkeypatch):
    """A job that is queued in the moment in which an idle thread gives up is not left lying."""
    from binp.runs import _threads

    monkeypatch.setattr(_threads, "_IDLE", 0.001)
    threads = Threads()

    async def main():
        for _ in range(300):
            async with asyncio.timeout(60):
                await threads.run(lambda: None)
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert threads.close(60)
