"""Wait for changes and for the client to disconnect, whichever comes first."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Self

from binp.events import Reading, Ring
from binp.store.contract import Change

__all__ = ["Ended", "Watch"]


class Ended(enum.Enum):
    """Why there is nothing more to send."""

    #: the client disconnected
    GONE = "gone"
    #: the server is shutting down
    CLOSED = "closed"


class Watch:
    """Reads a ring for one connection, and notices when its client disconnects.

    Args:
        ring: The source of changes.
        cursor: The start.
        receive: The connection's receive function; everything that the client sends is dropped.
    """

    def __init__(
        self, ring: Ring[Change], cursor: int, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
    ) -> None:
        self.cursor = cursor
        self._ring = ring
        self._receive = receive
        self._waiter: asyncio.Future[None] | None = None
        self._listening: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._until_gone(), name="binp stream's client")
        self._listening.add_done_callback(lambda _: self._settle())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def next(self, timeout: float | None = None) -> Reading[Change] | Ended | None:
        """The changes after the cursor, as soon as there are any; None if there are none within *timeout* seconds."""
        deadline: asyncio.TimerHandle | None = None
        is_late = False

        def late() -> None:
            nonlocal is_late
            is_late = True
            self._settle()

        if timeout is not None:
            deadline = asyncio.get_running_loop().call_later(timeout, late)
        try:
            while True:
                if self._listening.done():
                    return Ended.GONE
                reading = self._ring.after(self.cursor)
                if reading.items or reading.is_gap:
                    self.cursor = reading.cursor
                    return reading
                if not self._ring.is_open:
                    return Ended.CLOSED
                if is_late:
                    return None
                with self._ring.waiter() as self._waiter:
                    await self._waiter
        finally:
            self._waiter = None
            if deadline is not None:
                deadline.cancel()

    async def _until_gone(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] in ("http.disconnect", "websocket.disconnect"):
                return

    def _settle(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
