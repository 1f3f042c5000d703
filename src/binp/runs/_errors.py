"""Why a run is not started, or has failed outside of this process."""

from __future__ import annotations

import signal

from binp.errors import BinpError
from binp.store.contract import OnceRow

__all__ = ["AlreadyStarted", "CallFailed", "ProcessDied", "TooManyRuns", "admit"]


class TooManyRuns(BinpError):
    """So many runs are in flight that no further one is taken."""


class AlreadyStarted(BinpError):
    """A run was started for the same key before, so no further one was.

    Attributes:
        operation: Name of what was to be started.
        key: The key.
        run: The run that was started for it, None if that is not known.
        at: When that was, in microseconds since the epoch, None if that is not known.
        arguments: What it would have been called with this time, as it is recorded; None if that is not known.
    """

    def __init__(self, operation: str, key: str, first: OnceRow | None, arguments: str | None = None) -> None:
        self.run = None if first is None else first.run
        self.at = None if first is None else first.at
        which = "a run" if self.run is None else f"run {self.run}"
        super().__init__(f"{which} of {operation!r} was started for {key!r} before")
        self.operation = operation
        self.key = key
        self.arguments = arguments


class CallFailed(BinpError):
    """A function that was called in a process of its own raised.

    Attributes:
        kind: Name of the type of what it raised.
        trace: The traceback.
    """

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.trace = trace


class ProcessDied(CallFailed):
    """The process that a function was called in ended before that returned.

    Attributes:
        status: Its exit status; negative for the signal that killed it, None where it is not known.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__("ProcessDied", _died(status), "")
        self.status = status


def _died(status: int | None) -> str:
    if status is None or status >= 0:
        return f"its process ended with status {status} before the function returned"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hints = {
        "SIGKILL": ": perhaps the system had too little memory",
        "SIGSEGV": ": something in it that is not Python has crashed",
        "SIGABRT": ": something in it that is not Python gave up",
        "SIGBUS": ": something in it that is not Python has crashed",
    }
    return f"its process was killed by {name}{hints.get(name, '')}"


def admit(name: str, *, accepting: bool, active: int, limit: int) -> None:
    """Refuse to start *name* where nothing is taken any more, or *active* runs are as many as there may be.

    Raises:
        TooManyRuns: it was not started.
    """
    if not accepting:
        raise TooManyRuns(f"{name!r} was not started: this process is shutting down", fix="try again in a moment")
    if active >= limit:
        raise TooManyRuns(f"{name!r} was not started: {limit} runs are in flight", fix="wait until some have ended")
