"""A condition that is notified when any run is told to end; the few waiting threads check whether it is theirs."""

from __future__ import annotations

import threading

__all__ = ["BELL", "ring"]

BELL = threading.Condition()


def ring() -> None:
    """Notify all waiting threads: a run was told to end."""
    with BELL:
        BELL.notify_all()
