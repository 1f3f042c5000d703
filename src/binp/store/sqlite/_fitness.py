"""Whether the file takes writes: what is known of that, said once to the log and to whoever wants to know."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from binp.store.contract import Health, StoreDamaged, StoreError

from ._commit import FileTrouble

__all__ = ["Fitness"]

_logger = logging.getLogger("binp.store")


class Fitness:
    """What the writer knows of the file.

    What is passing or can be mended is over when the file takes writes again. Damage that a write has met is not: what
    is written beside it may be in a place where nobody finds it, so that nothing is until the database is opened anew.
    Damage that only housekeeping has met is told, and writes go on.

    Args:
        clock: Microseconds since the epoch.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        #: called when something is found, and when it is over
        self.tell: Callable[[Health], None] = lambda _health: None
        #: why it takes none; None if it does
        self.trouble: FileTrouble | None = None
        self._clock = clock
        #: when that was first found: in monotonic seconds, and in microseconds since the epoch
        self._began = 0.0
        self._since = 0
        self._damage: Health | None = None

    @property
    def is_final(self) -> bool:
        """It takes no writes before it is opened anew."""
        return self.trouble is not None and self.trouble.is_final

    def falter(self, trouble: FileTrouble, began: float) -> None:
        """The file does not take writes: say so once, and for each other reason.

        Args:
            trouble: What was met.
            began: When it was tried, in monotonic seconds.
        """
        known = self.trouble
        # without its traceback, which holds what was to be written
        self.trouble = FileTrouble(trouble.error, is_passing=trouble.is_passing)
        if known is None:
            self._began, self._since = began, self._clock()
        if known is None or known.error.what != trouble.error.what:
            _logger.error("the store takes no writes: %s", trouble.error)
            what, fix = trouble.error.what, trouble.error.fix
            self.tell(Health(reason=what, fix=fix, since=self._since, passes=trouble.is_passing))

    def recover(self) -> None:
        """It takes writes again."""
        _logger.warning("the store takes writes again")
        self.trouble = None
        self.tell(self._damage or Health())

    def has_lasted(self, seconds: float) -> bool:
        """Whether it takes none for so long already."""
        return self.trouble is not None and time.monotonic() - self._began > seconds

    def notice(self, error: StoreError) -> None:
        """Something failed that nobody has to wait for: tell of it, once, if it is damage."""
        if isinstance(error, StoreDamaged) and self._damage is None:
            self._damage = Health(reason=error.what, fix=error.fix, since=self._clock(), is_damaged=True)
            _logger.error("some of the database cannot be read: %s", error)
            if self.trouble is None:
                self.tell(self._damage)
