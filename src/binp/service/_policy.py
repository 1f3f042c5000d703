"""When a service is started, restarted, and given up."""

from __future__ import annotations

import enum
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from binp.errors import BinpError
from buvar.names import did_you_mean

__all__ = ["Check", "Policy", "Restart", "restart_of"]

#: checks whether a service is healthy: it is not if this raises or returns False
Check = Callable[[], Awaitable[object]]

#: minimum delay before a restart, in seconds, whatever the service asks for
_FLOOR = 0.05


class Restart(enum.StrEnum):
    """When a service is called again after it ended."""

    #: in every case
    ALWAYS = "always"
    #: after an exception
    ON_FAILURE = "on-failure"
    #: not at all
    NEVER = "never"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """When a service is started, healthy, and restarted."""

    autostart: bool = True
    restart: Restart = Restart.ALWAYS
    #: number of restarts within *window* seconds after which it is given up; 0 for no limit
    max_restarts: int = 0
    window: float = 300.0
    #: seconds before a restart; grows while the service keeps failing
    delay: float = 3.0
    #: factor by which the delay grows with each consecutive failure
    factor: float = 2.0
    #: upper limit of the delay, in seconds
    max_delay: float = 60.0
    #: seconds after which a service counts as healthy, which resets the delay
    healthy: float = 60.0
    #: seconds it may take to stop; after that it is ``stuck``
    patience: float = 10.0
    #: it reports itself when it is ready, within *start_timeout* seconds; 0 for no limit
    ready: bool = False
    start_timeout: float = 60.0
    #: called every *health_every* seconds; *health_failures* consecutive failures restart the service
    health: Check | None = None
    health_every: float = 30.0
    health_failures: int = 3
    #: names of services that must be ready before it is started, and are stopped after it
    after: tuple[str, ...] = ()
    #: whether it is started automatically; a function is called when services are started
    enabled: bool | Callable[[], bool] = True

    def wait(self, failures: int) -> float:
        """Seconds before the next start after so many consecutive failures; from the second on varied by up to 10 %."""
        first = max(self.delay, _FLOOR)
        if failures <= 1:
            return first
        grown = min(first * self.factor ** min(failures - 1, 60), max(self.max_delay, first))
        return grown * random.uniform(0.9, 1.1)  # noqa: S311 - spreads restarts, no secret


def restart_of(given: bool | str) -> Restart:
    """The policy for the option ``restart``.

    Raises:
        BinpError: the value is invalid.
    """
    if isinstance(given, bool):
        return Restart.ALWAYS if given else Restart.NEVER
    try:
        return Restart(given)
    except ValueError:
        known = [one.value for one in Restart]
        near = did_you_mean(str(given), known)
        fix = f"did you mean {near!r}?" if near else f"write True, False, or one of {', '.join(map(repr, known))}"
        raise BinpError(f"restart={given!r} is not a choice", fix=fix) from None
