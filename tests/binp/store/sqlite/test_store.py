"""Opening and closing, by several tasks at once."""

import asyncio

import pytest

from binp.store import open_store
from binp.store.contract import SetKeys, StoreError

WRITE = SetKeys(namespace="n", items=(("k", "1"),), at=1)


@pytest.fixture
async def closed(path):
    """A store that is not open yet, closed after the test."""
    store = open_store(str(path), synchronous="OFF")
    yield store
    await store.close()


async def test_two_who_open_at_once(closed):
    """For each of them it is open when it is done: who comes second waits for the first."""

    async def use():
        await closed.open()
        return await closed.write(WRITE)

    assert await asyncio.gather(use(), use(), use()) == [True] * 3


async def test_opening_waits_for_the_end_of_closing(store):
    """Who opens it while it is being closed has it open afterwards."""
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    await store.open()

    assert await store.write(WRITE) is True
    await closing
    assert await store.write(WRITE) is True


async def test_a_second_end_is_not_that_of_the_next_beginning(store):
    """Of two who close it one may open it again before the other one is told that it is closed."""

    async def again():
        await store.close()
        await store.open()

    await asyncio.gather(again(), store.close(), store.close())

    assert "closed" not in repr(store)
    assert await store.write(WRITE) is True
    assert (await store.get_key("n", "k")).value == "1"


async def test_what_cannot_be_opened_is_told_to_each(tmp_path):
    """All who open it at once are told why that fails."""
    store = open_store(str(tmp_path / "none" / "data.db"))

    told = await asyncio.gather(store.open(), store.open(), return_exceptions=True)

    assert [type(error) for error in told] == [StoreError] * 2
    await store.close()
