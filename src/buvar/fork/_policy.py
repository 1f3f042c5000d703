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
    """How workers are supervised; all times in seconds."""

    #: until a worker that was asked to end is killed; None for the time that its tasks may take, and five more
    grace: float | None = None
    #: until a worker that has not come up is killed
    boot_timeout: float = 60.0
    #: without a sign of life from its event loop, until a worker is killed; None lets it hang
    hang_timeout: float | None = 30.0
    #: before the first restart; doubles with each further one
    backoff: float = 0.2
    #: before a restart at most
    backoff_limit: float = 10.0
    #: that a worker must run for its earlier failures to be forgotten
    healthy_after: float = 5.0
    #: failures of one worker in a row after which the whole program ends with its status; None never gives up
    max_failures: int | None = None
    #: after which a worker is replaced, give or take a tenth; None keeps it
    max_lifetime: float | None = None
    #: bytes of memory (resident set) from which on a worker is replaced; None does not look
    max_memory: int | None = None

    def delay(self, failures: int) -> float:
        """How long to wait before the next start, after that many failures in a row."""
        delay = self.backoff * float(2 ** min(failures - 1, 30))
        # workers that fail together must not come back together
        return min(self.backoff_limit, delay) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads restarts, guards nothing

    def lifetime(self) -> float | None:
        """How long one worker is kept."""
        if self.max_lifetime is None:
            return None
        return self.max_lifetime * random.uniform(0.9, 1.1)  # noqa: S311 - spreads restarts, guards nothing

    @property
    def beat(self) -> float:
        """Time between two signs of life."""
        return min(1.0, (self.hang_timeout or 4.0) / 4)
