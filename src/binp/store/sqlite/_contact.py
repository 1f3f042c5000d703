"""Whether a process and the owner that it writes through get on with each other."""

from __future__ import annotations

import math
import time

from binp.store.contract import Health, StoreError

from ._clock import wall_clock
from ._retry import Retries

__all__ = ["Contact"]

#: seconds after which a connection is a good one, whatever was said over it
_LASTING = 10.0


class Contact:
    """What is known of the connections to the owners of a file, one after the other.

    An owner of another version may let a process in and cut it off, again and again, or say what makes no sense: so
    the next connection waits longer each time, and the reason is said once.
    """

    def __init__(self) -> None:
        self._retries = Retries("what the owner of the database says makes no sense", first=0.05, most=2.0)
        #: of the present connection, in monotonic seconds
        self._met_at = -math.inf
        self._is_heard = False
        self._has_erred = False
        #: since when no owner has said anything that makes sense, in monotonic seconds; None if one does
        self._alone_since: float | None = time.monotonic()

    @property
    def alone_for(self) -> float:
        """Seconds for which no owner has said anything that makes sense."""
        return 0.0 if self._alone_since is None else time.monotonic() - self._alone_since

    @property
    def is_lasting(self) -> bool:
        """The present connection is a good one."""
        return time.monotonic() - self._met_at > _LASTING

    @property
    def is_strained(self) -> bool:
        """The last connection did not last, and nothing came over it that makes sense."""
        return self._retries.count > 0

    def health(self, failed: Exception | None = None) -> Health:
        """That nothing can be written, and why: because of what *failed* when another owner was looked for, or not."""
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
        """An owner has let this process in."""
        self._met_at = time.monotonic()
        self._is_heard = self._has_erred = False

    def refused(self, error: Exception) -> float:
        """What an owner said in place of a welcome led to *error*. Returns the seconds to wait before the next try."""
        self._retries.complain(error)
        return self._retries.failed()

    def heard(self) -> None:
        """It said something that makes sense."""
        self._is_heard = True
        self._alone_since = None

    def erred(self, error: Exception) -> None:
        """It said something of which *error* came, which is logged."""
        self._has_erred = True
        self._retries.complain(error)

    def lost(self) -> float:
        """The connection is over. Returns the seconds to wait before the next one."""
        is_lasting = self.is_lasting
        if self._alone_since is None or is_lasting:
            self._alone_since = time.monotonic()
        if is_lasting or (self._is_heard and not self._has_erred):
            self._retries.succeeded()
            return 0.0
        return self._retries.failed()
