"""Retry with growing delays, and log each reason once."""

from __future__ import annotations

import logging

__all__ = ["Retries"]

_logger = logging.getLogger("binp.store")


class Retries:
    """Counts the consecutive failures of an operation that is retried until it succeeds.

    Args:
        what: What has failed, for the log.
        first: Seconds before the second attempt; doubles with each further one.
        most: Upper limit of the delay, in seconds.
    """

    def __init__(self, what: str, *, first: float, most: float) -> None:
        self._what = what
        self._first = first
        self._most = most
        self._reason = ""
        #: failures since the last success
        self.count = 0

    def failed(self) -> float:
        """Count a failure. Returns the seconds to wait before the next attempt."""
        wait = min(self._most, self._first * 2.0 ** min(self.count, 30))
        self.count += 1
        return wait

    def complain(self, error: Exception) -> None:
        """Log *error*, unless it was logged last."""
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._reason = reason
            _logger.error("%s: %s", self._what, error, exc_info=error)

    def succeeded(self) -> None:
        """Reset it after a success: later failures are logged again."""
        self.count = 0
        self._reason = ""
