"""Signals for a waiting process: each wakes it, is reported once, and is handled in its loop only."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

#: Maximum seconds of one wait; the system's limit, in milliseconds, is less than a month.
_LONGEST: Final = 86400.0


class Wake:
    """While it is `installed`, turns signals into numbers that a loop reads."""

    def __init__(self) -> None:
        #: the handled signals, with their former handlers
        self.former: dict[int, Any] = {}
        #: signals that were blocked before
        self.mask: set[Any] = set()
        #: the pipe that a signal is written to: reading end, writing end
        self.pipe = (-1, -1)

    @contextlib.contextmanager
    def installed(self, numbers: Iterable[int]) -> Iterator[None]:
        """Handle signals inside the block; the former handlers are restored afterwards."""
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
        """Wait for a signal, for data on one of *handles*, or until the monotonic time *until*; at most a day."""
        poll = select.poll()
        poll.register(self.pipe[0], select.POLLIN)
        for handle in handles:
            poll.register(handle, select.POLLIN)
        poll.poll(None if until is None else min(_LONGEST, max(0.0, until - time.monotonic())) * 1000)

    def received(self) -> list[int]:
        """The signals since the last call, each once."""
        try:
            return list(dict.fromkeys(os.read(self.pipe[0], 4096)))
        except BlockingIOError:
            return []
