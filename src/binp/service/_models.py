"""What is shown of a service."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from ._status import Status

__all__ = ["Info"]


class Info(BaseModel):
    """A service as it was at one moment; it never changes afterwards."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    status: Status
    autostart: bool
    restart: bool
    #: seconds before the first restart
    restart_delay: float
    #: text of the last failure, None if there was none since it was started
    error: str | None = None
    #: when that was, and in which run; it may run again since
    failed_at: datetime | None = None
    failed_run: int | None = None
    #: when it is called again, while it is ``restarting``
    next_start: datetime | None = None
    #: how often it was restarted since it was started
    restarts: int = 0
    #: False: it is started by hand alone, wherever that was decided
    enabled: bool = True
    #: those that are ready before it is started
    after: tuple[str, ...] = ()
    #: those of them that are not ready, while it is ``waiting``
    waits_for: tuple[str, ...] = ()
    #: what its last check found; None before the first one of a life, and without checks
    healthy: bool | None = None
    #: why the last check failed, None if it did not
    health_error: str | None = None
