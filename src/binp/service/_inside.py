"""What the function of a service can report and ask while it runs."""

from __future__ import annotations

import contextvars
import threading
import time

from binp._loop import running_loop
from binp.errors import BinpError

from ._vigil import current_vigil

__all__ = ["Inside", "current_end"]

#: set when the current execution of the service was told to end, or has ended
current_end: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("binp_service_end", default=None)


class Inside:
    """The methods of :class:`Service` that are meant for the functions of services."""

    def ready(self) -> None:
        """Report that the calling service is ready: with ``ready=True``, it is ``running`` from here on.

        May be called from its function, from functions that this calls, and from its threads. Elsewhere, and the second
        time, it does nothing.
        """
        vigil = current_vigil.get()
        if vigil is not None:
            vigil.ready()

    def stopping(self, *, within: float = 0) -> bool:
        """Whether the calling service has been told to stop. Threads cannot be cancelled, so they have to ask.

        ``while not binp.service.stopping(within=5): ...`` does something every five seconds, and ends at once when the
        service is stopped, its run is cancelled, or the server shuts down. Outside of a service it returns False.

        Args:
            within: Maximum seconds to wait for it; only in a thread.

        Raises:
            BinpError: *within* was given on an event loop, which it would block.
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
