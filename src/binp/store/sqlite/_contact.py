"""Judge the quality of the connections between a client and its owners."""

from __future__ import annotations

import math
import time

from binp.store.contract import Health, StoreError

from ._clock import wall_clock
from ._retry import Retries

__all__ = ["Contact"]

#: seconds after which a connection counts as good, whatever was received
_LASTING = 10.0


class Contact:
    """The history of the connections to the owners of a file.

    An owner of another version may accept a connection and drop it again and again, or send invalid data. So the delay
    before the next connection grows each time, and the reason is logged once.
    """

    def __init__(self) -> None:
        self._retries = Retries("what the owner of the database says makes no sense", first=0.05, most=2.0)
        #: start of the present connection, in monotonic seconds
        self._met_at = -math.inf
        self._is_heard = False
        self._has_erred = False
        #: since when no owner has sent anything valid, in monotonic seconds; None if one does
        self._alone_since: float | None = time.monotonic()

    @property
    def alone_for(self) -> float:
        """Seconds for which no owner has sent anything valid."""
        return 0.0 if self._alone_since is None else time.monotonic() - self._alone_since

    @property
    def is_lasting(self) -> bool:
        """Whether the present connection is a good one."""
        return time.monotonic() - self._met_at > _LASTING

    @property
    def is_strained(self) -> bool:
        """Whether the last connection was short, and nothing valid was received."""
        return self._retries.count > 0

    def health(self, failed: Exception | None = None) -> Health:
        """The health of a store without an owner; *failed* is why no other owner was found, if known."""
        if failed is not None:
            error = failed if isinstance(failed, StoreError) else StoreError(str(failed) or type(failed).__name__)
            reason = f"the process that owns the database has gone, and this one cannot take its place: {error.what}"
            fix = error.fix or "see what the log says of it; it is tried again"
        elif self.is_strained:
            reason = "the process that owns the database and this one do not understand each other"
            fix = "let all processes that share the database be of the same version: restart those that are older"
        else:
            reason = "the process that owns the database has gone, and no other is found"
            fix = "start a process that takes its place; this one takes it as soon as it can"
        return Health(reason=reason, fix=fix, since=wall_clock())

    def met(self) -> None:
        """An owner has accepted the connection."""
        self._met_at = time.monotonic()
        self._is_heard = self._has_erred = False

    def refused(self, error: Exception) -> float:
        """An owner's answer to the connection led to *error*. Returns the seconds to wait before the next attempt."""
        self._retries.complain(error)
        return self._retries.failed()

    def heard(self) -> None:
        """Something valid was received."""
        self._is_heard = True
        self._alone_since = None

    def erred(self, error: Exception) -> None:
        """Something was received that led to *error*, which is logged."""
        self._has_erred = True
        self._retries.complain(error)

    def lost(self) -> float:
        """The connection has ended. Returns the seconds to wait before the next one."""
        is_lasting = self.is_lasting
        if self._alone_since is None or is_lasting:
            self._alone_since = time.monotonic()
        if is_lasting or (self._is_heard and not self._has_erred):
            self._retries.succeeded()
            return 0.0
        return self._retries.failed()
