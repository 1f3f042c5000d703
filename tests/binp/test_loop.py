"""Small questions to the event loop."""

from __future__ import annotations

import asyncio

from binp._loop import running_loop, wait_within


async def test_it_runs_here_and_in_no_other_thread() -> None:
    """A thread beside the loop has none."""
    assert running_loop() is asyncio.get_running_loop()
    assert await asyncio.to_thread(running_loop) is None


async def test_a_wait_ends_with_the_event_or_with_the_time() -> None:
    """It tells which of them it was; an event that is set is not waited for."""
    event = asyncio.Event()

    assert await wait_within(event, 0.01) is False
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await wait_within(event, 600) is True
    assert await wait_within(event, 0) is True
