"""What a process knows about its place among the workers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from buvar.plugin import LoopRunningError

from ._cpus import usable_cpus
from ._errors import ForkError, ThreadsRunningError
from ._policy import LEADER, Supervision
from ._seat import Report, Seat

#: Names of threads that are restarted in a forked child, and so may run during the fork.
FORK_SAFE = frozenset({"buvar.log"})

#: Seconds until a worker that was asked to end is killed.
_GRACE = 30.0

_current: Fork | None = None


class Booting:
    """Holds back the report that this worker is ready; created by `Fork.booting`.

    Use it once, as a context manager around what must succeed before the worker counts as started. An error inside ends
    the worker as one that could not be started.
    """

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        fork.holds.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._fork.holds.remove(self)
            self._fork.progress()
        elif not isinstance(error, asyncio.CancelledError):
            self._fork.abort(error)


class Fork:
    """The workers of a program, and the place of this process among them; a component in every worker.

    Args:
        number: Number of workers; 0 for one per usable processor.
        supervision: The rules for restarts and replacements.

    Raises:
        ValueError: *number* is negative.
    """

    def __init__(self, number: int = 0, supervision: Supervision | None = None) -> None:
        if number < 0:
            raise ValueError(f"{number} workers cannot be forked")
        #: The intended number of workers.
        self.number = number or usable_cpus()
        self.supervision = supervision or Supervision()
        #: Number of this worker, from 0; None in the parent.
        self.slot: int | None = None
        #: Process ids of the running workers; empty in a worker.
        self.children: list[int] = []
        #: Blocks that must still succeed before this worker is ready.
        self.holds: list[Booting] = []
        #: Called when such a block is left, and when one failed.
        self.progress: Callable[[], None] = lambda: None
        self.abort: Callable[[BaseException], None] = lambda _error: None
        self._seat: Seat | None = None

    @property
    def pid(self) -> int:
        """Id of this process."""
        return os.getpid()

    @property
    def ppid(self) -> int:
        """Id of the parent of this process."""
        return os.getppid()

    @property
    def is_child(self) -> bool:
        """Whether this process is a forked worker."""
        return self._seat is not None

    @property
    def is_leader(self) -> bool:
        """Whether this process has the duties that only one worker may have; also true if nothing was forked."""
        return (self.slot or 0) == LEADER

    def booting(self) -> Booting:
        """Hold back the report that this worker is ready until the returned block is left.

        A plugin that starts a server in a task calls this while it is being loaded; the task enters the block.
        """
        return Booting(self)

    def retire(self) -> None:
        """Ask to be replaced, for example after a number of requests; does nothing if nothing was forked."""
        if self._seat is not None:
            self._seat.report(Report.RETIRE)

    def run(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in every worker, and supervise the workers.

        With one worker nothing is forked. Otherwise the return value of *func* is the exit status of the worker.

        Returns:
            With one worker the result of *func*, otherwise the exit status of each worker.

        Raises:
            ForkError: it is not possible here: an event loop or other threads are running, or this is not the main
                thread.
            WorkersFailed: a worker failed for good; a `SystemExit`.
        """
        if self.number == 1:
            return func(*args, **kwargs)

        def enter(seat: Seat) -> int:
            self.take(seat)
            seat.unblock()
            seat.report(Report.READY)
            status = func(*args, **kwargs)
            seat.report(Report.DONE)
            return status if isinstance(status, int) else 0

        from ._supervise import Supervisor

        check("Fork.run")
        return Supervisor(self, enter, _GRACE).run()

    def take(self, seat: Seat) -> None:
        """Become the worker on that seat."""
        global _current  # noqa: PLW0603 - a process is at most one worker
        self._seat = seat
        self.slot = seat.slot
        self.children = []
        _current = self


def is_leader() -> bool:
    """Whether this process has the duties that only one worker may have; also true if nothing was forked.

    When the leading worker ends, its successor only starts after it is gone.
    """
    return _current is None or _current.is_leader


def check(method: str) -> None:
    """Raise an error if forking would be unsafe here.

    Raises:
        LoopRunningError: an event loop is running in this thread.
        ThreadsRunningError: other threads are running.
        ForkError: this is not the main thread, or the system cannot fork.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the documented way raises
        raise LoopRunningError(method)
    if not hasattr(os, "fork"):
        raise ForkError("this system cannot fork", fix="use forks=1")
    if threading.current_thread() is not threading.main_thread():
        raise ForkError("workers are forked from the main thread only", fix="call it there, or use forks=1")
    others = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and thread.name not in FORK_SAFE
    ]
    if others:
        raise ThreadsRunningError(others)
