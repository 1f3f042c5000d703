"""The states of a service."""

from __future__ import annotations

import enum

__all__ = ["Status"]


class Status(enum.StrEnum):
    """What a service is doing."""

    #: it does not run, and nobody wants it to
    STOPPED = "stopped"
    #: it is about to run, or has not said yet that it is ready
    STARTING = "starting"
    #: it is to run, once those are ready that it comes after
    WAITING = "waiting"
    #: its function is being executed, and it is ready
    RUNNING = "running"
    #: its function ended, and is called again after a delay
    RESTARTING = "restarting"
    #: its function returned, and it is restarted only when it fails
    COMPLETED = "completed"
    #: it failed so often that it is not restarted any more, until somebody starts it
    FAILED = "failed"
    #: it was told to stop, and did not in time: its function is still being executed
    STUCK = "stuck"

    # the members under the names of the original
    stopped = STOPPED
    starting = STARTING
    running = RUNNING
    restarting = RESTARTING
