"""Talk to systemd: socket activation and notifications."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

#: Number of the first passed descriptor.
FIRST = 3
_MICRO = 1_000_000


def listen_fds(environ: MutableMapping[str, str] | None = None) -> dict[int, str]:
    """Take over the descriptors passed by socket activation, and remove the variables.

    Returns:
        The descriptors and their names; empty if none were passed to this process.
    """
    environ = os.environ if environ is None else environ
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    del environ["LISTEN_PID"]
    count = int(environ.pop("LISTEN_FDS", "0"))
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    return {FIRST + place: names[place] if place < len(names) else "" for place in range(count)}


class Notifier:
    """Notifies the service manager about the state of the process; does nothing without a service manager.

    Args:
        environ: The environment variables; None for those of the process.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        #: Seconds between two heartbeats; None if none are requested.
        self.interval: float | None = None
        if address and environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with contextlib.suppress(ValueError):
                self.interval = int(environ.get("WATCHDOG_USEC", "")) / _MICRO / 2
        self._due = time.monotonic()

    @staticmethod
    def forget(environ: MutableMapping[str, str] | None = None) -> None:
        """Remove the variables, so that a worker does not notify on behalf of the whole service."""
        environ = os.environ if environ is None else environ
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environ.pop(name, None)

    def ready(self, status: str) -> None:
        """The service is ready."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The workers are being replaced."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A heartbeat; only sent if one is due."""
        if self.due is not None and time.monotonic() >= self.due:
            self._due = time.monotonic() + (self.interval or 0)
            self._send("WATCHDOG=1")

    @property
    def due(self) -> float | None:
        """When the next heartbeat is due, in monotonic time; None if none are requested."""
        return None if self.interval is None else self._due

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # the service manager may be restarting, which is not an error
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(self._address)
            sock.sendall("\n".join(lines).encode())
