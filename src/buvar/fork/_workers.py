"""Fork one worker: what happens in the parent, and in the child before its program starts."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import faulthandler
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Final, NoReturn

from buvar import log

from ._seat import Pipe, Report, Seat, orphaned
from ._systemd import Notifier

_PR_SET_PDEATHSIG: Final = 1
_ALL_BITS: Final = 0xFF

#: The signal that tells a worker that its parent is gone; not TERM, which keeps its meaning. Linux only.
ORPHANED: Final[int | None] = signal.SIGRTMIN if sys.platform == "linux" else None
#: The signal that makes a worker print the stacks of all its threads.
SHOW_STACKS: Final[int | None] = None if ORPHANED is None else ORPHANED + 1

_log = logging.getLogger("buvar.fork")


@dataclasses.dataclass(slots=True, eq=False)
class Worker:
    """A worker process as seen by its parent; times are monotonic."""

    slot: int
    pid: int
    #: reading end of the pipe for its reports; -1 after the worker has closed it
    reports: int
    born: float
    #: when it has to be replaced
    retire_at: float | None
    ready: bool = False
    #: whether it has reported that its tasks have ended
    done: bool = False
    #: the last heartbeat; None before the first one
    beat: float | None = None
    #: the signal with which it was asked to end; 0 if it was not
    asked: int = 0
    #: whether it was killed
    killed: bool = False
    #: when it is killed unless it has ended
    kill_at: float | None = None
    #: when it is killed unless it sends a heartbeat
    doomed_at: float | None = None
    #: whether its successor only starts after its end
    hands_over: bool = False

    def send(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):  # another waitpid was faster
            os.kill(self.pid, number)

    def ask(self, number: int, grace: float) -> None:
        """Ask it to end, and kill it if it has not after *grace* seconds."""
        self.asked = number
        self.doomed_at = None
        self.kill_at = min(self.kill_at or float("inf"), time.monotonic() + grace)
        self.send(number)

    def kill(self) -> None:
        """Kill it."""
        self.killed = True
        self.send(signal.SIGKILL)

    def read(self) -> list[Report]:
        """Its reports since the last call."""
        if self.reports < 0:
            return []
        try:
            data = os.read(self.reports, 65536)
        except BlockingIOError:
            return []
        if not data:
            self.close()
        return [Report(bytes([byte])) for byte in data]

    def close(self) -> None:
        """Stop reading its reports."""
        if self.reports >= 0:
            os.close(self.reports)
            self.reports = -1

    def reap(self) -> int | None:
        """Its exit status if it has ended (128 + n for signal n); None while it is running."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # another waitpid was faster, and the status is lost
            return 1
        if not pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def memory(self) -> int:
        """Its resident set in bytes; 0 if unknown."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - no path to work with
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """What a child needs to know about its parent in order to detach from it."""

    #: the function that a worker runs; returns the exit status
    enter: Callable[[Seat], int]
    #: seconds between two heartbeats
    beat: float
    #: signals that the parent handles, with their former handlers
    former: Mapping[int, Any]
    #: signals that were blocked before
    mask: Iterable[int]
    #: descriptors that only the parent uses
    private: Iterable[int]
    #: whether it stays in the parent's process group, with its standard input
    keeps_terminal: bool = False


def spawn(slot: int, origin: Origin, lifetime: float | None) -> Worker:
    """Fork a worker. Meanwhile no signal is lost, or handled by the wrong process.

    Raises:
        OSError: no further process or pipe can be created.
    """
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    _flush()
    parent = os.getpid()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, set(origin.former))
    try:
        with warnings.catch_warnings():
            # since Python 3.12, a fork warns about any thread; the threads that may run here are restarted in the child
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork() or _live(slot, origin, parent, read, write)
    except OSError:
        os.close(read)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(write)
    now = time.monotonic()
    return Worker(slot, pid, read, now, None if lifetime is None else now + lifetime)


def _live(slot: int, origin: Origin, parent: int, read: int, write: int) -> NoReturn:
    """The whole life of the child; it never returns to the code that forked it."""
    status = 1
    try:
        _detach(origin, parent, read)

        def unblock() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, origin.mask)

        status = origin.enter(Seat(slot, Pipe(write), origin.beat, unblock))
    except SystemExit as error:
        status = exit_status(error.code)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - nothing may propagate to the parent's code; it is logged
        _log.critical("Worker %d failed", slot, exc_info=True)
    finally:
        try:
            _flush()
        finally:
            os._exit(status & _ALL_BITS)


def _detach(origin: Origin, parent: int, read: int) -> None:
    signal.set_wakeup_fd(-1)
    for number, handler in origin.former.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if not origin.keeps_terminal:
        # in a group of its own, so that a terminal only signals the parent, which passes the signal on, once
        os.setpgid(0, 0)
    if ORPHANED is not None and SHOW_STACKS is not None:
        signal.signal(ORPHANED, _on_orphaned)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ORPHANED, 0, 0, 0)
        faulthandler.register(SHOW_STACKS, file=2, all_threads=True)
    if os.getppid() != parent:  # it was gone before the signal was set up
        os._exit(0)
    for handle in (read, *origin.private):
        os.close(handle)
    if not origin.keeps_terminal:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    Notifier.forget()


def _on_orphaned(_number: int, _frame: FrameType | None) -> None:
    orphaned()


def exit_status(code: object) -> int:
    """The exit status for an argument of `sys.exit`; a text is printed to standard error."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & _ALL_BITS
    print(code, file=sys.stderr)  # noqa: T201 - what sys.exit does with a text
    return 1


def _flush() -> None:
    """Flush all buffers, so that their content is written once, and by this process."""
    log.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed or replaced: nothing to lose
            stream.flush()
