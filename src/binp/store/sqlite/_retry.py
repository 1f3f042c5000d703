"""Try again what fails: later each time, and said once for each reason."""

from __future__ import annotations

import logging

__all__ = ["Retries"]

_logger = logging.getLogger("binp.store")


class Retries:
    """The failures in a row of something that is tried until it succeeds.

    Args:
        what: What has failed, as the log is to say it.
        first: Seconds before the second attempt; each further one waits twice as long.
        most: Seconds that no attempt waits longer than.
    """

    def __init__(self, what: str, *, first: float, most: float) -> None:
        self._what = what
        self._first = first
        self._most = most
        self._reason = ""
        #: failures since it succeeded
        self.count = 0

    def failed(self) -> float:
        """It failed once more. Returns the seconds to wait before the next attempt."""
        wait = min(self._most, self._first * 2.0 ** min(self.count, 30))
        self.count += 1
        return wait

    def complain(self, error: Exception) -> None:
        """Log *error*, unless that is what was logged last."""
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._reason = reason
            _logger.error("%s: %s", self._what, error, exc_info=error)

    def succeeded(self) -> None:
        """It did: whatever fails from here on is news."""
        self.count = 0
        self._reason = ""
