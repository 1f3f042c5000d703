"""What a worker reports to its parent, and what it gets when it starts."""

from __future__ import annotations

import dataclasses
import enum
import os
import signal
from collections.abc import Callable
from typing import Protocol

from ._systemd import Notifier


class Report(enum.Enum):
    """One byte, sent from a worker to its parent."""

    #: the plugins are loaded, the servers are serving
    READY = b"R"
    #: heartbeat: the event loop is running
    BEAT = b"B"
    #: all tasks have ended by themselves
    DONE = b"D"
    #: it asks to be replaced
    RETIRE = b"X"


class Reporter(Protocol):
    """Receives the reports of a worker."""

    def __call__(self, report: Report, /) -> bool:
        """Send a report; returns whether anybody receives it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pipe:
    """Reports to the parent process.

    Args:
        handle: The writing end of the pipe, non-blocking.
    """

    handle: int

    def __call__(self, report: Report) -> bool:
        """Send a report; returns whether the parent is still there."""
        try:
            os.write(self.handle, report.value)
        except BlockingIOError:  # the parent does not read now, but is alive
            return True
        except OSError:
            return False
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Manager:
    """Reports to the service manager, for a program that does not fork.

    Args:
        notifier: The connection to it.
    """

    notifier: Notifier

    def __call__(self, report: Report) -> bool:
        """Send a report; always returns True, because there is no parent that could be gone."""
        if report is Report.READY:
            self.notifier.ready("serving")
        elif report is Report.BEAT:
            self.notifier.alive()
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Seat:
    """What one worker gets from its parent."""

    #: number of the worker, from 0
    slot: int
    report: Reporter
    #: seconds between two heartbeats
    beat: float
    #: unblocks the signals that were blocked before the fork
    unblock: Callable[[], None]


def orphaned() -> None:
    """End this worker because its parent is gone. It gets a moment for an orderly shutdown, then a timer kills it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, ORPHAN_GRACE)
    os.kill(os.getpid(), signal.SIGTERM)


#: Seconds for an orderly shutdown of a worker whose parent was killed.
ORPHAN_GRACE = 0.7
