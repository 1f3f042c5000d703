"""The time for a shutdown, and the runs that have a longer grace of their own."""

from __future__ import annotations

import asyncio
import logging

from binp.runs import ActiveRun, Runs, in_words

__all__ = ["LAST", "Grace"]

_logger = logging.getLogger("binp.shutdown")

#: seconds for a run to end after its own grace is over
LAST = 5.0
#: why a run is cancelled
_REASON = "cancelled: the process was shut down"
#: seconds per step of the shutdown after a second signal
_HURRIED = 0.5


class Grace:
    """The remaining time of a shutdown. A second signal ends it.

    Args:
        runs: The runs, some of which may have a grace of their own.
        hurried: Set by a second signal: everything in flight is cancelled.
    """

    def __init__(self, runs: Runs, hurried: asyncio.Event) -> None:
        self._runs = runs
        self._hurried = hurried
        self._loop = asyncio.get_running_loop()
        self._seconds = self._deadline = 0.0
        #: whether to wait for runs with a grace of their own
        self._is_patient = False
        #: runs that were already logged as being waited for
        self._told: set[int] = set()

    def begin(self, seconds: float, *, is_patient: bool) -> None:
        """Start counting now.

        Args:
            seconds: Time for the whole shutdown.
            is_patient: Whether runs with a longer grace of their own get it.
        """
        self._seconds = seconds
        self._deadline = self._loop.time() + seconds
        self._is_patient = is_patient

    def left(self, share: float) -> float:
        """Seconds until the fraction *share* of the time is used up."""
        if self._hurried.is_set():
            return _HURRIED
        return max(0.0, self._deadline - self._seconds * (1 - share) - self._loop.time())

    @property
    def patience(self) -> float:
        """Seconds until the grace of the last awaited run is over, plus the time for it to end."""
        graces = [run.grace for run in self.awaited() if run.grace is not None]
        return max(graces) - self._waited() + LAST + 1.0 if graces else 0.0

    def awaited(self) -> list[ActiveRun]:
        """The runs with a grace of their own that is not over yet; none before :meth:`begin`."""
        if not self._is_patient or self._hurried.is_set():
            return []
        waited = self._waited()
        return [run for run in self._runs.ending if run.grace is not None and run.grace > waited and not run.is_queued]

    def hasty(self) -> list[ActiveRun]:
        """The runs that have to end within the general time."""
        awaited = self.awaited()
        return [run for run in self._runs.ending if run not in awaited]

    def reason(self, run: ActiveRun) -> str:
        """The reason for cancelling *run* now, which says if its own grace is over."""
        if run.grace is None or not self._is_patient or self._hurried.is_set():
            return _REASON
        return f"{_REASON}, and its grace is over"

    def tell_awaited(self) -> None:
        """Log each awaited run, once."""
        for run in self.awaited():
            if run.id not in self._told and run.grace is not None:
                self._told.add(run.id)
                left = in_words(run.grace - self._waited())
                # a warning, so that it is seen even if lower levels are not logged
                text = "shutdown: waiting up to %s for run %s of action %s; SIGTERM again to cancel it now"
                _logger.warning(text, left, run.id, run.operation)

    def _waited(self) -> float:
        """Seconds since the shutdown began."""
        return self._loop.time() - (self._deadline - self._seconds)
