"""Why a run is not started."""

from __future__ import annotations

from binp.errors import BinpError

__all__ = ["AlreadyStarted", "TooManyRuns"]


class TooManyRuns(BinpError):
    """So many runs are in flight that no further one is taken."""


class AlreadyStarted(BinpError):
    """A run was started for the same key before, so no further one was.

    Attributes:
        operation: Name of what was to be started.
        key: The key.
        run: The run that was started for it, None if that is not known.
        arguments: What it would have been called with this time, as it is recorded; None if that is not known.
    """

    def __init__(self, operation: str, key: str, run: int | None, arguments: str | None = None) -> None:
        which = "a run" if run is None else f"run {run}"
        super().__init__(f"{which} of {operation!r} was started for {key!r} before")
        self.operation = operation
        self.key = key
        self.run = run
        self.arguments = arguments
