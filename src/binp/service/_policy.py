"""When a service is started, restarted, and given up."""

from __future__ import annotations

import enum
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from binp.errors import BinpError
from buvar.names import did_you_mean

__all__ = ["Check", "Policy", "Restart", "restart_of"]

#: looks whether a service is healthy: it is not when this raises or gives False
Check = Callable[[], Awaitable[object]]

#: seconds: the least delay before a restart, however small the service wants it
_FLOOR = 0.05


class Restart(enum.StrEnum):
    """When a service that ended is called again."""

    #: however it ended
    ALWAYS = "always"
    #: when it raised
    ON_FAILURE = "on-failure"
    #: not at all
    NEVER = "never"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """When a service is started, well, and restarted."""

    autostart: bool = True
    restart: Restart = Restart.ALWAYS
    #: how often it is restarted within *window* seconds before it is given up; 0 for ever
    max_restarts: int = 0
    window: float = 300.0
    #: seconds before a restart; grows while the service keeps failing
    delay: float = 3.0
    #: factor by which the delay grows with each failure in a row
    factor: float = 2.0
    #: seconds that the delay grows to
    max_delay: float = 60.0
    #: seconds after which a life counts as healthy, so that the delay starts anew
    healthy: float = 60.0
    #: seconds that it may take to stop before it is ``stuck``
    patience: float = 10.0
    #: it says itself when it is ready, within *start_timeout* seconds; 0 for ever
    ready: bool = False
    start_timeout: float = 60.0
    #: looked at every *health_every* seconds, and answered after as many failures in a row
    health: Check | None = None
    health_every: float = 30.0
    health_failures: int = 3
    #: names of those that are ready before it is started, and are stopped after it
    after: tuple[str, ...] = ()
    #: whether it is started without being asked where it is deployed; a function is asked when services are started
    enabled: bool | Callable[[], bool] = True

    def wait(self, failures: int) -> float:
        """Seconds before the next start, after so many failures in a row; grown delays vary by a tenth."""
        first = max(self.delay, _FLOOR)
        if failures <= 1:
            return first
        grown = min(first * self.factor ** min(failures - 1, 60), max(self.max_delay, first))
        return grown * random.uniform(0.9, 1.1)  # noqa: S311 - spreads restarts, no secret


def restart_of(given: bool | str) -> Restart:
    """What ``restart=`` says.

    Raises:
        BinpError: it says nothing.
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
