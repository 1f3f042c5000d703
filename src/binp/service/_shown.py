"""Build the public description of a service of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._policy import Restart
from ._status import Status
from ._supervisor import Supervisor

if TYPE_CHECKING:
    from ._models import Info

__all__ = ["info_of"]


def info_of(supervisor: Supervisor) -> Info:
    """The present description of the service."""
    from ._models import Info

    return Info(
        name=supervisor.operation.name,
        description=supervisor.operation.description,
        status=supervisor.status,
        autostart=supervisor.policy.autostart,
        restart=supervisor.policy.restart is not Restart.NEVER,
        restart_delay=supervisor.policy.delay,
        error=supervisor.error,
        failed_at=supervisor.failed_at,
        failed_run=supervisor.failed_run,
        next_start=supervisor.next_start if supervisor.status is Status.RESTARTING else None,
        restarts=supervisor.restarts,
        enabled=supervisor.is_enabled,
        after=supervisor.policy.after,
        waits_for=supervisor.waits_for,
        healthy=supervisor.healthy,
        health_error=supervisor.health_error,
    )
