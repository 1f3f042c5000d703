"""The rules by which workers are watched, restarted and replaced."""

from __future__ import annotations

import dataclasses
import random

#: Exit status of a program whose workers could not be started.
BOOT_FAILED = 3
#: Exit status of a process that signal n ended: 128 + n.
SIGNALLED = 128
#: Number of the worker that leads.
LEADER = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How workers are supervised; all times in seconds.

    Raises:
        ValueError: a number is negative.
    """

    #: until a worker that was asked to end is killed; None for the time that its tasks may take, plus five
    grace: float | None = None
    #: until a worker that is not ready is killed
    boot_timeout: float = 60.0
    #: without a heartbeat of its event loop until a worker is killed; None never kills it
    hang_timeout: float | None = 30.0
    #: before the first restart; doubles with each further one
    backoff: float = 0.2
    #: upper limit of the delay before a restart
    backoff_limit: float = 10.0
    #: that a worker must run for its earlier failures to be forgotten
    healthy_after: float = 5.0
    #: consecutive failures of one worker after which the whole program ends with its status; None for no limit
    max_failures: int | None = None
    #: after which a worker is replaced, varied by up to 10 %; None never replaces it
    max_lifetime: float | None = None
    #: memory (resident set, in bytes) above which a worker is replaced; None does not check it
    max_memory: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and value < 0:
                raise ValueError(f"{field.name}={value!r}: it cannot be negative")

    def delay(self, failures: int) -> float:
        """Seconds to wait before the next start, after *failures* consecutive failures."""
        delay = self.backoff * float(2 ** min(failures - 1, 30))
        # spread restarts: workers that fail together must not come back together
        return min(self.backoff_limit, delay) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads restarts, guards nothing

    def lifetime(self) -> float | None:
        """Seconds after which one worker is replaced; None for never."""
        if self.max_lifetime is None:
            return None
        return self.max_lifetime * random.uniform(0.9, 1.1)  # noqa: S311 - spreads restarts, guards nothing

    @property
    def beat(self) -> float:
        """Seconds between two heartbeats."""
        return min(1.0, (self.hang_timeout or 4.0) / 4)
