"""The states of a service."""

from __future__ import annotations

import enum

__all__ = ["Status"]


class Status(enum.StrEnum):
    """What a service is doing."""

    #: it does not run, and is not meant to
    STOPPED = "stopped"
    #: it is being started, or has not reported yet that it is ready
    STARTING = "starting"
    #: it will be started when the services are ready that it comes after
    WAITING = "waiting"
    #: its function is running, and it is ready
    RUNNING = "running"
    #: its function ended, and will be called again after a delay
    RESTARTING = "restarting"
    #: its function returned, and it is restarted only after a failure
    COMPLETED = "completed"
    #: it failed too often and is not restarted until somebody starts it
    FAILED = "failed"
    #: it did not stop in time: its function is still running
    STUCK = "stuck"

    # lower-case aliases, for compatibility
    stopped = STOPPED
    starting = STARTING
    running = RUNNING
    restarting = RESTARTING
