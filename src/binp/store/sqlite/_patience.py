"""Wait for an owner that may be suspended: for ever, unless this process is shutting down."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from binp.store.contract import StoreError

from ._outbox import Outbox

__all__ = ["Patience", "hand"]


class Patience:
    """How long a store that is being closed waits for an owner that does not respond.

    Args:
        outbox: It is closed when the store is being closed.
        seconds: Maximum time.
    """

    def __init__(self, outbox: Outbox, seconds: float) -> None:
        self.seconds = seconds
        self._outbox = outbox
        self._since = time.monotonic()

    def renew(self) -> None:
        """The owner has responded."""
        self._since = time.monotonic()

    def spend(self) -> None:
        """Check that waiting may continue.

        Raises:
            StoreError: it may not.
        """
        if not self._outbox.is_closed:
            self.renew()
        elif time.monotonic() - self._since > self.seconds:
            raise self.over()

    @staticmethod
    def over() -> StoreError:
        """The error when the time is over."""
        return StoreError("the owner of the store does not answer: the last writes may be lost")


def hand(connection: socket.socket, content: bytes, patience: Patience, pause: float) -> None:
    """Send *content*, however long the peer does not read, as long as there is *patience*.

    Args:
        connection: The socket; without timeout, because another thread may be reading from it.
        content: The bytes to send.
        patience: Renewed whenever the peer reads some of it.
        pause: Polling interval, in seconds.

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
