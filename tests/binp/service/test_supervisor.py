"""One service: never two copies, no end that nobody wanted, and what is said of one that does not stop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import threading

import pytest

from binp import Service
from binp.operations import Operation
from binp.service import Status
from binp.service._policy import Policy
from binp.service._supervisor import Supervisor

QUICK = 0.05


def states(service):
    return [info.status for info in service.services]


class Textless(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def without_text():
    raise Textless


def with_half_a_pair():
    open(os.fsdecode(b"/nowhere\xe9"))  # noqa: SIM115 - it is not there


@pytest.mark.parametrize(
    ("fail", "text"),
    [(sys.exit, "SystemExit"), (without_text, "Textless"), (with_half_a_pair, "FileNotFoundError: ")],
)
@pytest.mark.parametrize("in_thread", [False, True])
def test_whatever_it_raises_it_is_called_again(caplog, fail, text, in_thread, until):
    """SVC-02: neither ``sys.exit`` nor an exception without a text ends a service, or the loop."""
    caplog.set_level(logging.CRITICAL)
    lives = []

    def plain():
        lives.append(1)
        fail()

    async def awaited():
        plain()

    async def main():
        service = Service()
        service(name="s", restart_delay=QUICK)(plain if in_thread else awaited)
        await until(lambda: len(lives) >= 2)
        info = service.services[0]
        service.stop("s")
        await service.shut_down(1)
        return info

    info = asyncio.run(main())
    assert info.error.startswith(text)
    assert info.model_dump_json()


async def test_a_life_that_cannot_begin_is_tried_again(caplog, until):
    """SVC-02: what keeps a life from beginning is answered as any failure: it is tried again after a growing delay."""
    caplog.set_level(logging.CRITICAL)
    tried, seen = [], []

    async def live(operation):
        tried.append(asyncio.get_running_loop().time())
        raise RuntimeError("not now")

    supervisor = Supervisor(
        Operation(kind="service", name="s", function=lambda: None),
        Policy(delay=QUICK),
        live=live,
        context=contextvars.copy_context,
        changed=lambda changed: seen.append(changed.status),
    )
    supervisor.start()
    await until(lambda: len(tried) == 3)
    supervisor.stop()
    assert await supervisor.stopped(60)

    assert seen == ["starting", "restarting", "stopped"]
    assert supervisor.error == "RuntimeError: not now"
    # never sooner; how much later is up to the machine
    assert tried[1] - tried[0] >= 0.9 * QUICK
    assert tried[2] - tried[1] >= 1.7 * QUICK


async def test_three_definitions_one_copy(service, until):
    """SVC-04: however often it is redefined while the first one ends, the last one runs, and no two at a time."""
    alive, most = [], []

    def define(tag):
        @service(name="s")
        async def body():
            alive.append(tag)
            most.append(len(alive))
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                alive.remove(tag)

    define("a")
    await until(lambda: alive == ["a"])
    define("b")
    await asyncio.sleep(0.02)
    define("c")
    service.start("s")
    await until(lambda: alive == ["c"])

    assert max(most) == 1
    assert len(service.services) == 1


async def test_redefined_and_stopped_it_is_stopped(service, until):
    """SVC-04: a stop after a redefinition is obeyed, and it is ``stopped`` when the old one has really ended."""
    alive = []

    def define(tag):
        @service(name="s")
        async def body():
            alive.append(tag)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                alive.remove(tag)

    define("a")
    await until(lambda: alive == ["a"])
    define("b")
    service.stop("s")
    assert states(service) == [Status.RUNNING]
    await until(lambda: states(service) == [Status.STOPPED])
    assert alive == []
    await asyncio.sleep(0.05)
    assert alive == []


async def test_redefined_without_autostart_it_is_stopped(service, until):
    """SVC-04: what is redefined not to start by itself does not."""

    @service(name="s")
    async def old():
        await asyncio.Event().wait()

    await until(lambda: states(service) == [Status.RUNNING])

    @service(name="s", autostart=False)
    async def new():
        raise AssertionError

    await until(lambda: states(service) == [Status.STOPPED])
    await asyncio.sleep(0.02)
    assert (states(service), service.services[0].error) == ([Status.STOPPED], None)


async def test_what_is_taken_over_ends_first(until):
    """SVC-04: a service that is taken in from another registry runs here when it has ended there."""
    host, guest, alive, most = Service(), Service(), [], []

    @guest(name="s")
    async def body():
        alive.append(1)
        most.append(len(alive))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            alive.pop()

    await until(lambda: alive)
    host.adopt(guest)
    await until(lambda: len(most) == 2)

    assert max(most) == 1
    await host.shut_down(60)
    assert not alive


async def test_a_thread_is_waited_for(service, until):
    """SVC-03: a sync service that is stopped runs until it returns; started meanwhile, there is no second copy."""
    alive, most, leave = [], [], threading.Event()

    @service(name="s")
    def body():
        alive.append(1)
        most.append(len(alive))
        leave.wait(100)
        alive.pop()

    await until(lambda: alive)
    service.stop("s")
    await asyncio.sleep(0.05)
    assert states(service) == [Status.RUNNING]
    service.start("s")
    await asyncio.sleep(0.05)
    leave.set()
    await until(lambda: len(most) >= 2)
    service.stop("s")
    await until(lambda: states(service) == [Status.STOPPED])
    assert (max(most), alive) == (1, [])


async def test_a_thread_that_fails_when_stopped_is_told(service, caplog, until):
    """SVC-03: what a sync service raises after it was told to stop is logged."""
    begun, leave = threading.Event(), threading.Event()

    @service(name="s")
    def body():
        begun.set()
        leave.wait(100)
        raise ValueError("in the end")

    await until(begun.is_set)
    service.stop("s")
    leave.set()
    await until(lambda: states(service) == [Status.STOPPED])
    assert "service 's' failed: ValueError: in the end" in caplog.messages


async def test_told_again_it_is_cancelled_again(service, until):
    """SVC-03: a service that swallows the first cancellation ends with the second command."""
    swallowed = []

    @service(name="s")
    async def deaf():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(1)
            await asyncio.Event().wait()

    await until(lambda: states(service) == [Status.RUNNING])
    service.stop("s")
    await until(lambda: swallowed)
    await asyncio.sleep(0.02)
    assert states(service) == [Status.RUNNING]
    service.stop("s")
    await until(lambda: states(service) == [Status.STOPPED])


async def test_taking_a_start_back_is_no_second_stop(service, until):
    """SVC-03: stop, start, stop: the last one takes the start back, and leaves the cleanup alone."""
    cleaned = []

    @service(name="s")
    async def body():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.03)
            cleaned.append(1)

    await until(lambda: states(service) == [Status.RUNNING])
    service.stop("s")
    await asyncio.sleep(0.01)
    service.start("s")
    service.stop("s")
    await until(lambda: states(service) == [Status.STOPPED])
    assert cleaned == [1]


async def test_a_shutdown_does_not_cut_the_cleanup_short(service, until):
    """SVC-03: what was told to stop, and cleans up, is not cancelled again by the shutdown, nor by a redefinition."""
    cleaned = []

    def define():
        @service(name="s", autostart=False)
        async def body():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                cleaned.append(1)

    define()
    service.start("s")
    await until(lambda: states(service) == [Status.RUNNING])
    service.stop("s")
    await asyncio.sleep(0.01)
    define()
    await service.shut_down(60)
    assert cleaned == [1]


async def test_stuck(caplog, until):
    """What does not stop within its patience is ``stuck``, with an error; when it ends, it is stopped after all."""
    leave, seen = asyncio.Event(), []

    class Life:
        cancelled = None

        async def body(self):
            while not leave.is_set():
                try:
                    await leave.wait()
                except asyncio.CancelledError:
                    continue

        def ended(self, outcome):
            seen.append(str(outcome.state))

    async def live(operation):
        return Life()

    supervisor = Supervisor(
        Operation(kind="service", name="s", function=lambda: None),
        Policy(patience=0.05),
        live=live,
        context=contextvars.copy_context,
        changed=lambda changed: seen.append(changed.status),
    )
    supervisor.start()
    await until(lambda: supervisor.status is Status.RUNNING)
    supervisor.stop()
    await until(lambda: supervisor.status is Status.STUCK)
    assert caplog.messages == ["service 's' did not stop within 0.1 seconds"]
    supervisor.start()
    assert supervisor.status is Status.STUCK
    leave.set()
    await until(lambda: seen.count("running") == 2)
    supervisor.stop()
    assert await supervisor.stopped(60)
    assert seen[:5] == ["starting", "running", "stuck", "succeeded", "starting"]
