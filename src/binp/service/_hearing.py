"""Wait until the process that runs the services has obeyed a command given in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from binp.store.contract import Change, ServiceRow

__all__ = ["Hearing"]


class Hearing:
    """Waits for commands to be obeyed.

    Args:
        read: Returns the desired and the reported state of services, by name, including the commands given here.
    """

    def __init__(self, read: Callable[[], Coroutine[Any, Any, Mapping[str, ServiceRow]]]) -> None:
        self._read = read
        self._waiting: set[asyncio.Event] = set()

    async def obeyed(self, name: str, timeout: float) -> bool:
        """Wait until the last command for *name* is obeyed; False after *timeout* seconds."""
        mine = asyncio.Event()
        self._waiting.add(mine)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    mine.clear()
                    row = (await self._read()).get(name)
                    if row is not None and row.obeyed == row.wish:
                        return True
                    await mine.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(mine)

    def tell(self, changes: Sequence[Change]) -> None:
        """Check again if a service reported its state, or if it is unknown what has changed."""
        if self._waiting and (not changes or any(change.topic == "service" for change in changes)):
            for one in self._waiting:
                one.set()
