"""Wait for an owner that may have been stopped: for ever, unless this process is to end."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from binp.store.contract import StoreError

from ._outbox import Outbox

__all__ = ["Patience", "hand"]


class Patience:
    """How long a store that is being closed waits for an owner that does nothing.

    Args:
        outbox: It is closed when the store is being closed.
        seconds: As long as that.
    """

    def __init__(self, outbox: Outbox, seconds: float) -> None:
        self.seconds = seconds
        self._outbox = outbox
        self._since = time.monotonic()

    def renew(self) -> None:
        """The owner did something."""
        self._since = time.monotonic()

    def spend(self) -> None:
        """Go on waiting.

        Raises:
            StoreError: it was long enough.
        """
        if not self._outbox.is_closed:
            self.renew()
        elif time.monotonic() - self._since > self.seconds:
            raise self.over()

    @staticmethod
    def over() -> StoreError:
        """What is raised when it is over."""
        return StoreError("the owner of the store does not answer: the last writes may be lost")


def hand(connection: socket.socket, content: bytes, patience: Patience, pause: float) -> None:
    """Send *content*, however long the other side takes nothing in, as long as there is *patience*.

    Args:
        connection: Another thread may be reading from it, so it has no timeout.
        content: All of it is sent.
        patience: Renewed whenever some of it is taken.
        pause: Seconds between two looks at it.

    Raises:
        OSError: the connection broke.
        StoreError: the patience is over.
    """
    ready = select.poll()
    ready.register(connection, select.POLLOUT)
    left = memoryview(content)
    while left:
        if ready.poll(pause * 1000):
            with contextlib.suppress(BlockingIOError):
                left = left[connection.send(left, socket.MSG_DONTWAIT) :]
                patience.renew()
        patience.spend()
