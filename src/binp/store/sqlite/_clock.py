"""The clock of this computer."""

from __future__ import annotations

import time

__all__ = ["wall_clock"]


def wall_clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000
