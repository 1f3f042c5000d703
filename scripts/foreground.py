"""Run a program for `make` so that it gets each signal once, ends gracefully, and never outlives what started it.

Make hands SIGTERM on to what it runs, and a supervisor often signals the whole group besides: a server would get the
same signal twice and take the second for impatience. So the program gets a process group of its own, in a terminal the
foreground one: Ctrl-C is then the program's alone, make sees a command that ended well, and `make run` ends with
status 0. (A make that is itself sent a signal dies of it once the program has ended; nothing below can change that.)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

#: Seconds within which the same signal again is the same wish, come by another way.
SAME_WISH = 0.3

FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def main(command: list[str]) -> int:
    """Run *command* to its end; its status, or 128 and the number of the signal that it died of."""
    terminal = owned_terminal()
    parent = os.getpid()
    die_with_parent()
    # a signal waits until it is asked for: so none is lost, and who sent it can be told
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if terminal is not None:
            take(terminal, os.getpgrp())
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.execvp(command[0], command)  # noqa: S606 - the program to run is what this is given
    with suppress(PermissionError):  # the child has done so itself, and is the program already
        os.setpgid(child, child)
    try:
        return attend(child, terminal)
    finally:
        if terminal is not None:
            take(terminal, os.getpgrp())


def attend(child: int, terminal: int | None) -> int:
    """Hand signals on until the program ends."""
    is_new = sieve(os.getppid())
    while (code := status(child, terminal)) is None:
        number, sender = next_signal()
        if number != signal.SIGCHLD and is_new(number, sender):
            with suppress(ProcessLookupError, PermissionError):  # it has just ended, which the next round finds
                os.killpg(child, number)
    return code


def next_signal() -> tuple[int, int | None]:
    """Wait for a signal; its number, and the process that sent it where the system tells (macOS does not)."""
    awaited = FORWARDED | {signal.SIGCHLD}
    if sys.platform == "darwin":
        return signal.sigwait(awaited), None
    found = signal.sigwaitinfo(awaited)
    return found.si_signo, found.si_pid


def sieve(parent: int) -> Callable[[int, int | None], bool]:
    """Tells whether a signal is a wish of its own, and not one that was handed on already and came by another way.

    What make hands on comes from make, our *parent*, at any time later: a busy machine makes no difference.
    """
    handed_on: dict[int, float] = {}
    direct: set[int] = set()

    def is_new(number: int, sender: int | None) -> bool:
        if sender == parent and number in direct:
            direct.remove(number)
            return False
        now = time.monotonic()
        if now - handed_on.get(number, -SAME_WISH) < SAME_WISH:
            return False
        handed_on[number] = now
        if sender != parent:
            direct.add(number)
        return True

    return is_new


def status(child: int, terminal: int | None) -> int | None:
    """How the program ended, if it did; one that is stopped (Ctrl-Z) stops us with it: the shell can take over."""
    while True:
        pid, found = os.waitpid(child, os.WUNTRACED | os.WNOHANG)
        if pid == 0:
            return None
        if not os.WIFSTOPPED(found):
            code = os.waitstatus_to_exitcode(found)
            return code if code >= 0 else 128 - code
        if terminal is not None:
            take(terminal, os.getpgrp())
        os.killpg(0, signal.SIGSTOP)
        if terminal is not None and os.tcgetpgrp(terminal) == os.getpgrp():
            take(terminal, child)
        os.killpg(child, signal.SIGCONT)


def owned_terminal() -> int | None:
    """The terminal on standard input, if we are its foreground group and so may give it away."""
    try:
        return 0 if os.tcgetpgrp(0) == os.getpgrp() else None
    except OSError:
        return None


def take(terminal: int, group: int) -> None:
    """Make *group* the terminal's foreground group; from the background, which the kernel answers with SIGTTOU."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(terminal, group)
    except OSError:
        pass  # the terminal was closed; its hang-up reaches the program by itself
    finally:
        signal.signal(signal.SIGTTOU, before)


def die_with_parent() -> None:
    """Have the kernel send SIGTERM when our parent dies without a word; only Linux can."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: foreground.py PROGRAM [ARGUMENT ...]")
    sys.exit(main(sys.argv[1:]))
