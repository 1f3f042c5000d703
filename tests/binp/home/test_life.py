"""One life of a home: who waits for what, and what a cancellation changes."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import AsyncIterator

import pytest

from binp import BINP, Inject
from binp.home import _life
from binp.store.contract import StoreClosed
from buvar import context, di
from buvar.components import Components


class Connection:
    """What functions depend on."""


class Failing:
    """A part that cannot be shut down."""

    def opened(self):
        pass

    def lead(self):
        pass

    def changed(self, changes):
        pass

    async def shut_down(self, timeout):
        raise OSError("no more")


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


# -- begin -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pending", [False, True])
async def test_what_is_open_can_be_served(db, pending):
    """A home that is open, or about to be, is served as it is: one store, one listener, one capture, all given back."""
    binp, stdout, seen = BINP(db=db), sys.stdout, []

    @binp.journal.record_added
    def heard(number):
        seen.append(number)

    @binp.action(name="op")
    @binp.journal
    async def op():
        await going.wait()
        await binp.journal.record("there")
        return context.get(str, name="who")

    going = asyncio.Event()
    first = asyncio.ensure_future(binp.action.start("op"))
    if pending:
        await turns(1)
    else:
        await first
    components = Components()
    components.add("server", name="who")
    await binp.home.open(components, serving=True)
    store, handle = binp.home.store, await first
    binp.home.lead()
    assert binp.home.is_serving
    going.set()
    with pytest.raises(LookupError):
        # it was begun before
        await handle.result()
    assert await (await binp.action.start("op")).result() == "server"
    await binp.journal.record_added.settle()
    assert len(seen) == 2
    assert binp.home.store is store

    await binp.home.close()
    assert sys.stdout is stdout
    assert repr(store).endswith("closed>")


async def test_what_is_ending_is_opened_anew_to_be_served(binp):
    """A home that shuts down is served when it has been closed."""
    await binp.kv.set(x=1)
    store = binp.home.store
    binp.home.begin_shutdown()
    await binp.home.open(serving=True)
    assert binp.home.store is not store
    assert binp.home.is_serving


async def test_the_first_who_opens_may_be_cancelled(binp):
    """Who opens first is cancelled: that concerns nobody else who waits."""
    first, second = (asyncio.create_task(binp.kv.get(name)) for name in "ab")
    await turns(2)
    first.cancel()
    assert [type(each) for each in await asyncio.gather(first, second, return_exceptions=True)] == [
        asyncio.CancelledError,
        type(None),
    ]


async def test_all_who_open_may_be_cancelled(db):
    """When nobody waits any more it is opened all the same, and closing waits for that."""
    binp = BINP(db=db)
    only = asyncio.create_task(binp.home.open(serving=True))
    await turns(2)
    only.cancel()
    await asyncio.wait([only])
    assert not binp.home.is_serving
    await binp.home.close()
    assert not binp.home.is_used


async def test_nobody_waits_for_an_error(tmp_path, caplog):
    """When nobody waits any more, an error of the opening is nobody's."""
    binp = BINP(db=f"{tmp_path}/missing/data.db")
    only = asyncio.create_task(binp.kv.get("x"))
    await turns(2)
    only.cancel()
    await asyncio.wait([only])
    await binp.home.close()
    del binp, only
    assert caplog.records == []


# -- end -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wind_down", "close"])
async def test_everybody_waits_for_the_end(db, name):
    """Who asks for the end second waits for it as well; a cancelled one does not, and the end goes on."""
    binp, ended, lives, go = BINP(db=db), [], asyncio.Event(), asyncio.Event()

    @binp.service
    async def service():
        lives.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append("service")

    @binp.action
    async def slow():
        await go.wait()
        ended.append("slow")

    await binp.home.open(serving=True)
    binp.home.lead()
    await binp.action.start(slow)
    await lives.wait()
    end = getattr(binp.home, name)
    first, second = asyncio.create_task(end()), asyncio.create_task(end())
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (ended, second.done()) == ([], False)
    go.set()
    await second
    assert ended == ["slow", "service"]
    assert binp.home.is_open is (name == "wind_down")
    await binp.home.close()
    assert not binp.home.is_used


async def test_use_while_it_closes(db):
    """What wants to use it while it closes waits for the end of that, and opens it anew."""
    binp = BINP(db=db)
    await binp.kv.set(x=1)
    store = binp.home.store
    closing = asyncio.create_task(binp.home.close())
    while binp.home.is_open:
        await asyncio.sleep(0)
    with pytest.raises(StoreClosed):
        _ = binp.home.store
    assert binp.home.is_used
    assert await binp.kv.get("x") == 1
    await closing
    assert binp.home.store is not store
    assert await binp.kv.get("x") == 1
    await binp.home.close()


async def test_dependencies_of_the_application_may_write_at_the_end(db):
    """What lives as long as the home is torn down while it is still open, and its error does not keep it open."""
    binp = BINP(db=db)

    async def connection() -> AsyncIterator[Connection]:
        yield Connection()
        await binp.kv.set(left=True)
        raise OSError("lost")

    components = context.current_context().push()
    with context.child(*components.stack):
        di.register(connection, scope="app")

        @binp.action
        async def op(given: Inject[Connection]):
            pass

        await (await binp.action.start(op)).result()
        with pytest.raises(Exception, match="lost"):
            await binp.home.close()
    assert not binp.home.is_used
    assert await binp.kv.get("left") is True
    await binp.home.close()


async def test_a_part_that_fails_does_not_keep_it_open(binp, caplog):
    """What a part raises at its end is logged, and everything else is ended and closed."""
    binp.home.attach(Failing())
    await binp.kv.set(x=1)
    await binp.home.close()
    assert not binp.home.is_used
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "could not be shut down" in record.getMessage()


@pytest.fixture
async def stuck(db):
    """A BINP with functions that are stuck in their threads, and what lets these go on."""
    binp, leave = BINP(db=db), threading.Event()

    @binp.action
    def wait():
        leave.wait()

    for _ in range(4):
        await binp.action.start(wait)
    binp.home.overrides["grace"] = 4
    binp.home._settings = None
    yield binp, leave
    leave.set()


async def test_stuck_threads_are_left_behind(stuck, caplog):
    """Functions that are stuck in their threads are left behind with a warning."""
    binp, _ = stuck
    await binp.home.close()
    assert "could not be stopped still runs in its thread" in caplog.text


async def test_stuck_threads_do_not_hold_up_the_loop(stuck, caplog, until, monkeypatch):
    """While it is seen whether threads end the loop goes on."""
    monkeypatch.setattr(_life, "_THREADS", 300.0)
    binp, leave = stuck
    life = binp.home._life
    closing = asyncio.create_task(binp.home.close())
    await until(lambda: life.is_over)
    leave.set()
    await closing
    assert "still runs in its thread" not in caplog.text


@pytest.mark.parametrize("serving", [False, True])
def test_a_loop_that_ends_while_it_closes(db, serving, caplog):
    """asyncio.run cancels every task, also those of the end: it is gone on with, and all is committed and closed."""
    before = set(threading.enumerate())
    binp, begun, ended = BINP(db=db), [], []

    @binp.service
    async def service():
        begun.append("service")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append("service")

    @binp.journal
    async def slow():
        begun.append("slow")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append("slow")

    async def main():
        await binp.home.open(serving=serving)
        binp.home.lead()
        if not serving:
            binp.service.start(service.__qualname__)
        running = asyncio.create_task(slow())
        while len(begun) < 2:
            await asyncio.sleep(0.005)
        closing = asyncio.create_task(binp.home.close())
        await asyncio.sleep(0.05)
        return running, closing

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        asyncio.run(main())
    assert sorted(ended) == ["service", "slow"]
    assert set(threading.enumerate()) <= before
    assert not binp.home.is_used
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []

    async def look():
        return [(each.operation, each.state) for each in await binp.journal.history()]

    assert asyncio.run(look()) == [(slow.__qualname__, "cancelled")]


def test_a_loop_that_ends_while_it_opens(db):
    """asyncio.run cancels the opening: nothing stays open, and the next loop opens it."""
    before = set(threading.enumerate())
    binp = BINP(db=db)

    async def main():
        opening = asyncio.create_task(binp.kv.set(x=1))
        await turns(3)
        return opening

    asyncio.run(main())
    assert set(threading.enumerate()) <= before
    assert asyncio.run(binp.kv.get("x")) is None


def test_it_is_closed_from_another_loop(db):
    """Closing on a loop what was opened on one that is gone lets go of it."""
    binp = BINP(db=db)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(binp.kv.set(x=1))
    loop.close()
    asyncio.run(binp.home.wind_down())
    asyncio.run(binp.home.close())
    assert not binp.home.is_used
