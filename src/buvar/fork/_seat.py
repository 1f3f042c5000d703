"""What a worker reports to its parent, and what it is told when it starts."""

from __future__ import annotations

import dataclasses
import enum
import os
import signal
from collections.abc import Callable
from typing import Protocol

from ._systemd import Notifier


class Report(enum.Enum):
    """One byte on the way from a worker to its parent."""

    #: the plugins are loaded, the servers serve
    READY = b"R"
    #: the event loop turns
    BEAT = b"B"
    #: all tasks have ended by themselves
    DONE = b"D"
    #: a replacement is wanted
    RETIRE = b"X"


class Reporter(Protocol):
    """Whoever is told how a worker is doing."""

    def __call__(self, report: Report, /) -> bool:
        """Tell; whether anybody listens."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pipe:
    """Tells the parent process.

    Args:
        handle: The writing end, which does not block.
    """

    handle: int

    def __call__(self, report: Report) -> bool:
        """Tell; whether the parent is still there."""
        try:
            os.write(self.handle, report.value)
        except BlockingIOError:  # the parent is stopped; it lives
            return True
        except OSError:
            return False
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Manager:
    """Tells the service manager, for a program that does not fork.

    Args:
        notifier: The way to it.
    """

    notifier: Notifier

    def __call__(self, report: Report) -> bool:
        """Tell; there is nobody who could be missed."""
        if report is Report.READY:
            self.notifier.ready("serving")
        elif report is Report.BEAT:
            self.notifier.alive()
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Seat:
    """What one worker is told."""

    #: number of the worker, from 0
    slot: int
    report: Reporter
    #: seconds between two signs of life
    beat: float
    #: lets the signals through that were held back since before the fork
    unblock: Callable[[], None]


def orphaned() -> None:
    """End this worker: its parent is gone. It has a moment to do so in order; then the system ends it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, ORPHAN_GRACE)
    os.kill(os.getpid(), signal.SIGTERM)


#: Seconds that a worker has to end in order when its parent was killed.
ORPHAN_GRACE = 0.7
