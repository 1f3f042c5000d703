"""Wait until a command that was given in another process is obeyed where the services run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from binp.store.contract import Change, ServiceRow

__all__ = ["Hearing"]


class Hearing:
    """Those who wait.

    Args:
        read: What is wanted and seen of services, by name, not older than what was commanded here.
    """

    def __init__(self, read: Callable[[], Coroutine[Any, Any, Mapping[str, ServiceRow]]]) -> None:
        self._read = read
        self._waiting: set[asyncio.Event] = set()

    async def obeyed(self, name: str, timeout: float) -> bool:
        """Wait until whatever was commanded of *name* is obeyed; False if that takes longer than *timeout* seconds."""
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
        """Look again if a service was seen, or if it is not known what has changed."""
        if self._waiting and (not changes or any(change.topic == "service" for change in changes)):
            for one in self._waiting:
                one.set()
