"""Stop many services within one time, so that one that does not stop leaves some of it to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ._supervisor import Supervisor

__all__ = ["stop_all"]

#: seconds that those have who are told last, however little is left
_LEAST = 0.1


async def stop_all(supervisors: Sequence[Supervisor], timeout: float) -> None:
    """Stop *supervisors* in their order and wait *timeout* seconds for their ends; what is left then is given up.

    Each has an equal part of the time that is left before the next one is told. What remains when all have been told is
    for all of them.
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
