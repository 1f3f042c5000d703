"""A bell that rings when any run is told to end: few threads wait for that, and each looks whether it is meant."""

from __future__ import annotations

import threading

__all__ = ["BELL", "ring"]

BELL = threading.Condition()


def ring() -> None:
    """A run was told to end."""
    with BELL:
        BELL.notify_all()
