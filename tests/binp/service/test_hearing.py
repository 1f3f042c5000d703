"""Who commands a service elsewhere waits until it is obeyed."""

from __future__ import annotations

import asyncio

import pytest

from binp.service._hearing import Hearing
from binp.store.contract import Change, ServiceRow, StoreError

SEEN = Change(1, "service", "s", 1)


class Seen:
    """What is seen of a service."""

    def __init__(self):
        self.wish, self.status = "w", None
        self.reads = 0
        self.hearing = Hearing(self.read)

    async def read(self):
        self.reads += 1
        if self.wish is None:
            raise StoreError("it cannot be read")
        row = ServiceRow(
            name="s",
            desired=True,
            desired_at=1,
            wish=self.wish,
            before=None,
            status="{}",
            obeyed=self.status,
            node="n",
            updated=1,
        )
        return {"s": row}


@pytest.fixture
def seen():
    return Seen()


async def test_it_waits_until_the_last_command_is_obeyed(seen):
    """Whoever waits looks again when a service was seen, or nobody knows what has changed, and at nothing else."""
    first, second = [asyncio.ensure_future(seen.hearing.obeyed("s", 60)) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert seen.reads == 2
    seen.hearing.tell([Change(1, "run", 5, 1)])
    await asyncio.sleep(0.01)
    assert seen.reads == 2
    seen.wish, seen.status = "x", "w"
    seen.hearing.tell([SEEN])
    await asyncio.sleep(0.01)
    assert (seen.reads, first.done(), second.done()) == (4, False, False)
    seen.status = "x"
    seen.hearing.tell(())
    assert await asyncio.gather(first, second) == [True, True]
    assert await seen.hearing.obeyed("s", 60) is True


async def test_it_does_not_wait_for_ever(seen):
    """What nobody obeys, and what nobody knows, is told in time; so is what cannot be read."""
    assert await seen.hearing.obeyed("s", 0.01) is False
    assert await seen.hearing.obeyed("nobody", 0.01) is False
    seen.wish = None
    with pytest.raises(StoreError):
        await seen.hearing.obeyed("s", 60)
    # nobody is left who would look
    seen.hearing.tell([SEEN])
    await asyncio.sleep(0)
    assert seen.reads == 3
