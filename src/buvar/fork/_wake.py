"""Signals for a process that only waits: each wakes it, is told once, and is handled by its loop, nowhere else."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

#: Seconds that one wait may take; the system counts in milliseconds, and not as far as a month.
_LONGEST: Final = 86400.0


class Wake:
    """Turns signals into numbers that a loop reads, while it is `installed`."""

    def __init__(self) -> None:
        #: signals that are handled, and what handled them before
        self.former: dict[int, Any] = {}
        #: signals that were blocked before
        self.mask: set[Any] = set()
        #: the pipe that a signal writes to: reading end, writing end
        self.pipe = (-1, -1)

    @contextlib.contextmanager
    def installed(self, numbers: Iterable[int]) -> Iterator[None]:
        """Handle signals inside the block; the former handlers are restored behind it."""
        self.pipe = os.pipe()
        for handle in self.pipe:
            os.set_blocking(handle, False)
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        wakeup = signal.set_wakeup_fd(self.pipe[1], warn_on_full_buffer=False)
        try:
            for number in numbers:
                self.former[number] = signal.signal(number, lambda *_: None)
            yield
        finally:
            for number, handler in self.former.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(wakeup)
            for handle in self.pipe:
                os.close(handle)

    def wait(self, handles: Iterable[int], until: float | None) -> None:
        """Wait until a signal comes, one of *handles* can be read, or the monotonic time *until*; for a day at most."""
        poll = select.poll()
        poll.register(self.pipe[0], select.POLLIN)
        for handle in handles:
            poll.register(handle, select.POLLIN)
        poll.poll(None if until is None else min(_LONGEST, max(0.0, until - time.monotonic())) * 1000)

    def received(self) -> list[int]:
        """The signals that came since the last time, each once."""
        try:
            return list(dict.fromkeys(os.read(self.pipe[0], 4096)))
        except BlockingIOError:
            return []
