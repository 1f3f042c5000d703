"""One store for each database and process, however many homes open and close it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os

import pytest

from binp import BINP
from binp.home import _stores
from binp.store import open_store


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_two_homes_open_and_one_is_cancelled(db):
    """Who opens the store is cancelled: the home that waits opens it, and the next shares that."""
    one, two, three = (BINP(db=db) for _ in range(3))
    store = open_store(db)
    first = asyncio.create_task(_stores.take_store(store))
    await turns(2)
    second = asyncio.create_task(two.kv.set(b=1))
    await turns(3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    await three.kv.set(c=1)
    assert two.home.store is three.home.store
    assert await one.kv.get("b") == 1
    for each in (one, two, three):
        await each.home.close()
    assert _stores._shared == {}


async def test_one_closes_while_another_opens(db):
    """A home that opens the database while the last other one closes it waits for that."""
    one, two = BINP(db=db), BINP(db=db)
    await one.kv.set(x=1)
    closing = asyncio.create_task(one.home.close())
    while one.home.is_open:
        await asyncio.sleep(0)
    await turns(1)
    assert await two.kv.get("x") == 1
    await closing
    assert await two.kv.get("x") == 1
    await two.home.close()
    assert _stores._shared == {}


async def test_nothing_piles_up_on_a_shared_store(db):
    """A home that is opened and closed many times leaves nothing behind on a store that another keeps open."""
    keeper, other = BINP(db=db), BINP(db=db)
    await keeper.kv.set(x=1)
    delivery = keeper.home.store._listeners
    before = len(delivery._listeners), len(delivery._role_callbacks)
    for _ in range(3):
        await other.home.open(serving=True)
        assert len(delivery._role_callbacks) == before[1] + 1
        await other.home.close()
    assert (len(delivery._listeners), len(delivery._role_callbacks)) == before
    await keeper.home.close()


def test_two_homes_on_a_loop_that_is_gone(db):
    """Two homes of one database on raw loops: what one opened on the next loop stays when the other leaves the last."""
    one, two = BINP(db=db), BINP(db=db)
    for number in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(one.kv.set(a=number))
        loop.run_until_complete(two.kv.set(b=number))
        assert one.home.store is two.home.store
        loop.run_until_complete(one.kv.set(a=number + 1))
        loop.close()
    assert asyncio.run(two.kv.get("a")) == 2
    asyncio.run(one.home.close())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_is_told_what_is_wrong(db):
    """A child forked from a process that has the database open is told to fork first, and may use another database."""
    binp = BINP(db=db)
    await binp.kv.set(a=1)
    fork = multiprocessing.get_context("fork")
    told = fork.SimpleQueue()

    def child():
        try:
            asyncio.run(binp.kv.set(a=2))
        except Exception as error:
            told.put(f"{type(error).__name__}: {error}")
        other = BINP(db=db.replace("data", "other"))
        asyncio.run(other.kv.set(a=3))
        told.put("done")

    process = fork.Process(target=child)
    process.start()
    await asyncio.to_thread(process.join)
    refusal = told.get()
    assert refusal.startswith("StoreError")
    assert f"process {os.getpid()} had the database open" in refusal
    assert "fork first" in refusal
    assert told.get() == "done"
    assert await binp.kv.get("a") == 1
    await binp.home.close()
