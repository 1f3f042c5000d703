"""Fork one worker: what happens in the parent, and in the child before its program begins."""

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

#: Tells a worker that its parent is gone; a signal of its own, so that TERM keeps its meaning. Linux only.
ORPHANED: Final[int | None] = signal.SIGRTMIN if sys.platform == "linux" else None
#: Makes a worker write down where all its threads are.
SHOW_STACKS: Final[int | None] = None if ORPHANED is None else ORPHANED + 1

_log = logging.getLogger("buvar.fork")


@dataclasses.dataclass(slots=True, eq=False)
class Worker:
    """A worker process, as its parent sees it; times are monotonic."""

    slot: int
    pid: int
    #: reading end of the pipe on which it reports; -1 when it closed it
    reports: int
    born: float
    #: when it is to be replaced
    retire_at: float | None
    ready: bool = False
    #: whether it said that its tasks have ended
    done: bool = False
    #: last sign of life; None before the first
    beat: float | None = None
    #: the signal by which it was asked to end; 0 before
    asked: int = 0
    #: whether it was killed
    killed: bool = False
    #: when it is killed unless it has ended
    kill_at: float | None = None
    #: when it is killed unless it gives a sign of life
    doomed_at: float | None = None
    #: whether its successor starts when it has ended
    hands_over: bool = False

    def send(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):  # somebody else's waitpid was faster
            os.kill(self.pid, number)

    def ask(self, number: int, grace: float) -> None:
        """Ask it to end, and kill it unless it does within *grace* seconds."""
        self.asked = number
        self.doomed_at = None
        self.kill_at = min(self.kill_at or float("inf"), time.monotonic() + grace)
        self.send(number)

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        self.send(signal.SIGKILL)

    def read(self) -> list[Report]:
        """Take what it reported since the last time."""
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
        """Stop listening to it."""
        if self.reports >= 0:
            os.close(self.reports)
            self.reports = -1

    def reap(self) -> int | None:
        """Its exit status, 128 + n for signal n, when it has ended; None while it runs."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else's waitpid was faster, and the status is lost
            return 1
        if not pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def memory(self) -> int:
        """Bytes of its resident set; 0 where that cannot be known."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - no path to work with
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """What a child needs to know of the parent in order to leave it behind."""

    #: what a worker runs; it gives the exit status
    enter: Callable[[Seat], int]
    #: seconds between two signs of life
    beat: float
    #: signals that the parent handles, and what handled them before
    former: Mapping[int, Any]
    #: signals that were blocked before
    mask: Iterable[int]
    #: descriptors that belong to the parent alone
    private: Iterable[int]
    #: whether it stays with the terminal: in its parent's group, and with its standard input
    keeps_terminal: bool = False


def spawn(slot: int, origin: Origin, lifetime: float | None) -> Worker:
    """Fork a worker. No signal is lost or handled by the wrong process meanwhile.

    Raises:
        OSError: the system lets no further process or pipe be made.
    """
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    _flush()
    parent = os.getpid()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, set(origin.former))
    try:
        with warnings.catch_warnings():
            # from 3.12 on it warns about any thread; those that run here start anew in the child
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
    """The whole life of the child; it never returns into the program that forked it."""
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
    except BaseException:  # noqa: BLE001 - nothing may escape into the parent's program; it is logged
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
        # a terminal sends its signals to the parent alone, which passes them on, once
        os.setpgid(0, 0)
    if ORPHANED is not None and SHOW_STACKS is not None:
        signal.signal(ORPHANED, _on_orphaned)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ORPHANED, 0, 0, 0)
        faulthandler.register(SHOW_STACKS, file=2, all_threads=True)
    if os.getppid() != parent:  # it was gone before the system was told to tell
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
    """The exit status that `sys.exit` stands for; a text goes to standard error."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & _ALL_BITS
    print(code, file=sys.stderr)  # noqa: T201 - what sys.exit does with a text
    return 1


def _flush() -> None:
    """Write out what is buffered, so that it is written once and by this process."""
    log.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed or replaced: nothing of it can be lost
            stream.flush()
