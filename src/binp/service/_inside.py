"""What the function of a service says of itself, and asks, while it runs."""

from __future__ import annotations

import contextvars
import threading
import time

from binp._loop import running_loop
from binp.errors import BinpError

from ._vigil import current_vigil

__all__ = ["Inside", "current_end"]

#: of the life that is going on: set when it is told to end, or has ended
current_end: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("binp_service_end", default=None)


class Inside:
    """The part of :class:`Service` that is meant for the functions of services."""

    def ready(self) -> None:
        """Say that the service in which this is called is ready: with ``ready=True`` it is ``running`` from here on.

        From its function, what that calls, or a thread of it. Nothing happens anywhere else, and the second time.
        """
        vigil = current_vigil.get()
        if vigil is not None:
            vigil.ready()

    def stopping(self, *, within: float = 0) -> bool:
        """Whether the service in which this is called has been told to stop: a thread cannot be cancelled, and asks.

        ``while not binp.service.stopping(within=5): ...`` does something every five seconds, and ends at once when the
        service is stopped, its life is cancelled, or the server shuts down. Outside of a service the answer is no.

        Args:
            within: Seconds to wait for it, in a thread.

        Raises:
            BinpError: *within* was given on an event loop, which would be blocked.
        """
        end = current_end.get()
        if within > 0:
            if running_loop() is not None:
                raise BinpError(
                    "stopping(within=...) would block the event loop",
                    fix="leave out `within` and await asyncio.sleep, which ends when the service is told to stop",
                )
            if end is None:
                time.sleep(within)
            else:
                end.wait(within)
        return end is not None and end.is_set()
