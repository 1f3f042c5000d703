"""The public description of a service."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from ._status import Status

__all__ = ["Info"]


class Info(BaseModel):
    """A service at one moment; it never changes."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    status: Status
    autostart: bool
    restart: bool
    #: seconds before the first restart
    restart_delay: float
    #: message of the last failure; None if there was none since it was started
    error: str | None = None
    #: time and run of that failure; it may be running again since
    failed_at: datetime | None = None
    failed_run: int | None = None
    #: time of the next start, while it is ``restarting``
    next_start: datetime | None = None
    #: number of restarts since it was started
    restarts: int = 0
    #: False: it is only started by hand, for whatever reason
    enabled: bool = True
    #: services that must be ready before it is started
    after: tuple[str, ...] = ()
    #: those of *after* that are not ready, while it is ``waiting``
    waits_for: tuple[str, ...] = ()
    #: result of the last health check; None before the first one since it was called, and without checks
    healthy: bool | None = None
    #: why the last check failed; None if it succeeded
    health_error: str | None = None
