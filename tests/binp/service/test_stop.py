"""The end of services: all of them within one time, and with a loop that ends."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from binp import Service
from binp.service import Status

QUICK = 0.05


def states(service):
    return [info.status for info in service.services]


def test_a_loop_that_ends_in_the_delay(caplog, until):
    """A service that waits for its next life when the loop ends is stopped; nothing is started in a loop that ends."""
    lives = []
    service = Service()

    async def main():
        @service(name="s", restart_delay=60)
        async def short():
            lives.append(1)

        await until(lambda: states(service) == [Status.RESTARTING])

    asyncio.run(main())
    assert (states(service), lives) == ([Status.STOPPED], [1])
    assert not caplog.records


def test_a_loop_that_ends_between_stop_and_start(caplog, until):
    """The same for one that was stopped and started again, and has not ended."""
    lives = []
    service = Service()

    async def main():
        @service(name="s")
        async def body():
            lives.append(1)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)

        await until(lambda: lives)
        service.stop("s")
        service.start("s")
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert (states(service), lives) == ([Status.STOPPED], [1])
    assert not caplog.records


@pytest.mark.timeout(300)
def test_a_loop_that_ends_although_it_is_swallowed(until):
    """A service that swallows the cancellation of a loop that ends, and returns, is not called again."""
    lives = []
    service = Service()

    async def main():
        @service(name="s", restart_delay=QUICK)
        async def body():
            lives.append(1)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

        await until(lambda: lives)

    asyncio.run(main())
    assert (states(service), lives) == ([Status.STOPPED], [1])


async def test_one_that_is_stuck_leaves_time_to_the_others(service, caplog, until):
    """N-12d: at the shutdown each has its part of the time, the last defined first; what does not stop is told."""
    leave, ended = threading.Event(), []

    def define(name):
        @service(name=name)
        async def body():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                ended.append(name)

    define("first")
    define("second")

    @service(name="deaf")
    def deaf():
        leave.wait(100)

    define("last")
    await until(lambda: set(states(service)) == {Status.RUNNING})
    since = time.monotonic()
    await service.shut_down(6)

    assert 5.9 < time.monotonic() - since < 60
    assert ended == ["last", "second", "first"]
    assert states(service) == [Status.STOPPED, Status.STOPPED, Status.STUCK, Status.STOPPED]
    (message,) = caplog.messages
    assert message.startswith("service 'deaf' did not stop within ")
    leave.set()
    await until(lambda: set(states(service)) == {Status.STOPPED})


def test_a_thread_does_not_hold_up_the_end_of_the_loop(until):
    """A loop that is closed is not held up by a sync service that goes on."""
    begun, leave = threading.Event(), threading.Event()
    service = Service()

    async def main(stop):
        @service(name="s")
        def body():
            begun.set()
            leave.wait(200)

        await until(begun.is_set)
        if stop:
            service.stop("s")
            await asyncio.sleep(0.02)

    for stop in (False, True):
        begun.clear()
        since = time.monotonic()
        asyncio.run(main(stop))
        assert time.monotonic() - since < 60
        assert states(service) == [Status.STOPPED]
    leave.set()
