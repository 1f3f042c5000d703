"""Stop several services within a common time, so that one that hangs leaves some time to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ._supervisor import Supervisor

__all__ = ["stop_all"]

#: minimum seconds per service, however little time is left
_LEAST = 0.1


async def stop_all(supervisors: Sequence[Supervisor], timeout: float) -> None:
    """Stop *supervisors* in their order and wait at most *timeout* seconds for their ends; then give up the rest.

    Each gets an equal share of the remaining time before the next one is told to stop. The time that is left when all
    have been told is shared by all.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    told: list[tuple[Supervisor, float]] = []
    for waiting, supervisor in zip(range(len(supervisors), 0, -1), supervisors, strict=True):
        told.append((supervisor, loop.time()))
        supervisor.stop()
        await supervisor.stopped(max(0.0, deadline - loop.time()) / waiting)
    left = max(_LEAST, deadline - loop.time())
    await asyncio.gather(*(supervisor.stopped(left) for supervisor in supervisors))
    for supervisor, since in told:
        if supervisor.is_alive:
            supervisor.give_up(loop.time() - since)
