"""Errors about runs that were not started, or that failed in another process."""

from __future__ import annotations

import signal

from binp.errors import BinpError
from binp.store.contract import OnceRow

__all__ = ["AlreadyStarted", "CallFailed", "ProcessDied", "TooManyRuns", "admit"]


class TooManyRuns(BinpError):
    """Too many runs are in flight, or the process is shutting down."""


class AlreadyStarted(BinpError):
    """A run was already started with the same idempotency key, so no further one was started.

    Attributes:
        operation: Name of the operation.
        key: The key.
        run: The run that was started with it; None if unknown.
        at: When it was started, in microseconds since the epoch; None if unknown.
        arguments: The arguments of the rejected start, as they would be recorded; None if unknown.
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
    """A function that was called in a process of its own raised an exception.

    Attributes:
        kind: Name of the type of the exception.
        trace: The traceback.
    """

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.trace = trace


class ProcessDied(CallFailed):
    """The process of a function ended before the function returned.

    Attributes:
        status: The exit status; negative for the signal that killed it, None if unknown.
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
    """Check that *name* may be started: the process accepts runs, and fewer than *limit* are in flight.

    Raises:
        TooManyRuns: it may not.
    """
    if not accepting:
        raise TooManyRuns(f"{name!r} was not started: this process is shutting down", fix="try again in a moment")
    if active >= limit:
        raise TooManyRuns(f"{name!r} was not started: {limit} runs are in flight", fix="wait until some have ended")
