"""Whether the file accepts writes: track it, and report each change once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from binp.store.contract import Health, StoreDamaged, StoreError

from ._commit import FileTrouble

__all__ = ["Fitness"]

_logger = logging.getLogger("binp.store")


class Fitness:
    """What the writer knows about the file.

    A temporary or repairable problem is over when the file accepts writes again. Damage found by a write is final:
    further writes could end up where nobody finds them, so nothing is written until the database is opened again.
    Damage found only by housekeeping is reported, and writes continue.

    Args:
        clock: Returns microseconds since the epoch.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        #: called when a problem is found, and when it is over
        self.tell: Callable[[Health], None] = lambda _health: None
        #: why it does not accept writes; None if it does
        self.trouble: FileTrouble | None = None
        self._clock = clock
        #: when that was first found, in monotonic seconds and in microseconds since the epoch
        self._began = 0.0
        self._since = 0
        self._damage: Health | None = None

    @property
    def is_final(self) -> bool:
        """It accepts no writes until it is opened again."""
        return self.trouble is not None and self.trouble.is_final

    def falter(self, trouble: FileTrouble, began: float) -> None:
        """The file does not accept writes: report it once for each reason.

        Args:
            trouble: The problem.
            began: When the write was tried, in monotonic seconds.
        """
        known = self.trouble
        # without the traceback, which holds the writes
        self.trouble = FileTrouble(trouble.error, is_passing=trouble.is_passing)
        if known is None:
            self._began, self._since = began, self._clock()
        if known is None or known.error.what != trouble.error.what:
            _logger.error("the store takes no writes: %s", trouble.error)
            what, fix = trouble.error.what, trouble.error.fix
            self.tell(Health(reason=what, fix=fix, since=self._since, passes=trouble.is_passing))

    def recover(self) -> None:
        """It accepts writes again."""
        _logger.warning("the store takes writes again")
        self.trouble = None
        self.tell(self._damage or Health())

    def has_lasted(self, seconds: float) -> bool:
        """Whether it has not accepted writes for that many seconds."""
        return self.trouble is not None and time.monotonic() - self._began > seconds

    def notice(self, error: StoreError) -> None:
        """Something failed that no caller waits for: report it once, if it is damage."""
        if isinstance(error, StoreDamaged) and self._damage is None:
            self._damage = Health(reason=error.what, fix=error.fix, since=self._clock(), is_damaged=True)
            _logger.error("some of the database cannot be read: %s", error)
            if self.trouble is None:
                self.tell(self._damage)
