"""The time that a shutdown has, and the runs that asked for more of it."""

from __future__ import annotations

import asyncio
import logging

from binp.runs import ActiveRun, Runs, in_words

__all__ = ["LAST", "Grace"]

_logger = logging.getLogger("binp.shutdown")

#: seconds that a run has to end when its own grace is over
LAST = 5.0
#: why a run is cancelled
_REASON = "cancelled: the process was shut down"
#: seconds for a step where everything is cancelled at once
_HURRIED = 0.5


class Grace:
    """What is left of the time for a shutdown. A second signal ends it.

    Args:
        runs: Those that may have asked to be waited for.
        hurried: Set by a second signal: everything in flight is cancelled now.
    """

    def __init__(self, runs: Runs, hurried: asyncio.Event) -> None:
        self._runs = runs
        self._hurried = hurried
        self._loop = asyncio.get_running_loop()
        self._seconds = self._deadline = 0.0
        #: whether runs with a grace of their own are waited for
        self._is_patient = False
        #: runs that the log has been told are waited for
        self._told: set[int] = set()

    def begin(self, seconds: float, *, is_patient: bool) -> None:
        """Count from now on.

        Args:
            seconds: For all of the shutdown.
            is_patient: Runs that asked for it have more.
        """
        self._seconds = seconds
        self._deadline = self._loop.time() + seconds
        self._is_patient = is_patient

    def left(self, share: float) -> float:
        """Seconds from now until *share* of the time is used."""
        if self._hurried.is_set():
            return _HURRIED
        return max(0.0, self._deadline - self._seconds * (1 - share) - self._loop.time())

    @property
    def patience(self) -> float:
        """Seconds from now until the grace of the last run that is waited for is over, and it had time to end."""
        graces = [run.grace for run in self.awaited() if run.grace is not None]
        return max(graces) - self._waited() + LAST + 1.0 if graces else 0.0

    def awaited(self) -> list[ActiveRun]:
        """The runs that asked to be waited for, as long as their grace lasts; none before :meth:`begin`."""
        if not self._is_patient or self._hurried.is_set():
            return []
        waited = self._waited()
        return [run for run in self._runs.ending if run.grace is not None and run.grace > waited and not run.is_queued]

    def hasty(self) -> list[ActiveRun]:
        """The runs that are to end with everything else."""
        awaited = self.awaited()
        return [run for run in self._runs.ending if run not in awaited]

    def reason(self, run: ActiveRun) -> str:
        """Why *run* is cancelled now: without a grace of its own, with one that is over, or hurried by a signal."""
        if run.grace is None or not self._is_patient or self._hurried.is_set():
            return _REASON
        return f"{_REASON}, and its grace is over"

    def tell_awaited(self) -> None:
        """Log each run that is waited for, once."""
        for run in self.awaited():
            if run.id not in self._told and run.grace is not None:
                self._told.add(run.id)
                left = in_words(run.grace - self._waited())
                # also said where nobody listens to what is of no importance
                text = "shutdown: waiting up to %s for run %s of action %s; SIGTERM again to cancel it now"
                _logger.warning(text, left, run.id, run.operation)

    def _waited(self) -> float:
        """Seconds since the shutdown began."""
        return self._loop.time() - (self._deadline - self._seconds)
