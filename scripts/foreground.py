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
from types import FrameType

#: Seconds within which the same signal again is the same wish, come by another way.
SAME_WISH = 0.3

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main(command: list[str]) -> int:
    """Run *command* to its end; its status, or 128 and the number of the signal that it died of."""
    terminal = owned_terminal()
    parent = os.getpid()
    die_with_parent()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if terminal is not None:
            take(terminal, os.getpgrp())
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        os.execvp(command[0], command)  # noqa: S606 - the program to run is what this is given
    forward = forwarder(child)
    for number in FORWARDED:
        signal.signal(number, forward)
    try:
        return wait(child, terminal)
    finally:
        if terminal is not None:
            take(terminal, os.getpgrp())


def forwarder(child: int) -> Callable[[int, FrameType | None], None]:
    """A signal handler that hands each signal on once, however many ways it came."""
    last: dict[int, float] = {}

    def forward(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - last.get(number, -SAME_WISH) >= SAME_WISH:
            os.killpg(child, number)
        last[number] = now

    return forward


def wait(child: int, terminal: int | None) -> int:
    """Wait for the end; a program that is stopped (Ctrl-Z) stops us with it, so that the shell can take over."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
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
