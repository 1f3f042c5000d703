"""Run a program in a child process, and again whenever a file changes; never two at once."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ._files import Files
from ._policy import SIGNALLED
from ._seat import Seat
from ._turn import Kept, Line, Turn
from ._wake import Wake
from ._workers import Origin, Worker, spawn

_ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_SIGNALS: Final = {signal.SIGCHLD, *_ENDING}
#: Requests to end after which the child is killed.
_ENOUGH: Final = 3
#: Polling interval of the files, in seconds, and the one while a file is being written.
_LOOK, _SOON = 0.4, 0.1
#: Seconds after which a message says that the end of the child is being awaited.
_SAY: Final = 1.0
#: Seconds for a child that does not listen yet to end, and that the parent waits longer than the child's grace.
_MARGIN: Final = 5.0
#: Maximum number of changed files to name.
_NAMES: Final = 3

_log = logging.getLogger("buvar.fork")


@dataclasses.dataclass(slots=True, eq=False)
class Child:
    """A child as seen by its parent; times are monotonic, except *began*."""

    worker: Worker
    line: Line
    #: runs the program, and not only its stand-in
    is_turn: bool
    #: wall-clock time of the fork
    began: float
    #: maximum seconds it takes to end; None while it does not listen, so that only TERM can end it
    grace: float | None = None
    is_ready: bool = False
    #: no file change will help
    is_hopeless: bool = False
    #: number of requests to end that it got
    asked: int = 0


class Rerun:
    """The parent: watches the files, keeps the sockets, and has one child at a time.

    Args:
        enter: What each child runs.
        meanwhile: What runs while there is no other child.
    """

    def __init__(self, enter: Callable[[Turn], int], meanwhile: Callable[[Turn], int] | None = None) -> None:
        self._enter = enter
        self._meanwhile = meanwhile
        self._wake = Wake()
        self._files = Files()
        self._kept: Kept | None = None
        self._child: Child | None = None
        self._was_ready = False
        #: signals that asked it to end
        self._wishes: list[int] = []
        #: a change for which no child was started yet
        self._is_due = False
        #: when the first change was seen since the last child became ready or failed to start
        self._changed_at: float | None = None
        #: when to say that the end of the child takes long
        self._say_at: float | None = None
        self._look_at = 0.0

    def run(self) -> int:
        """Run until a signal ends it; returns the exit status."""
        status: int | None = None
        with self._wake.installed(_SIGNALS):
            try:
                self._spawn(is_turn=True)
                while status is None:
                    self._wait()
                    for number in self._wake.received():
                        self._on_signal(number)
                    self._listen()
                    status = self._reap()
                    if status is None:
                        self._look()
                        self._keep_time()
            finally:
                self._leave()
        return status

    # -- children ------------------------------------------------------------------------------------------------

    def _spawn(self, *, is_turn: bool) -> None:
        line = Line()
        self._is_due = self._is_due and not is_turn
        enter = self._enter if is_turn or self._meanwhile is None else self._meanwhile

        def live(seat: Seat) -> int:
            turn = Turn(line.there, self._kept, was_ready=self._was_ready)
            turn.begin()
            seat.unblock()
            return enter(turn)

        private = [*self._wake.pipe, line.here.fileno()]
        origin = Origin(live, 1.0, self._wake.former, self._wake.mask, private, keeps_terminal=True)
        began = time.time()
        self._child = Child(spawn(0, origin, None), line, is_turn, began)
        line.there.close()

    def _ask(self, child: Child) -> None:
        """Pass on the requests to end: from signals, or from a change that needs a new child."""
        wanted = max(len(self._wishes), 1)
        worker = child.worker
        if len(self._wishes) >= _ENOUGH:
            worker.kill()
        elif wanted > child.asked:
            now = time.monotonic()
            if child.grace is None:
                worker.send(signal.SIGTERM)
            else:
                child.line.wish(wanted - child.asked)
            worker.kill_at = worker.kill_at or now + (child.grace or 0) + _MARGIN
            self._say_at = self._say_at or now + _SAY
            child.asked = wanted

    def _listen(self) -> None:
        child = self._child
        if child is None:
            return
        for message in child.line.read(self._keep):
            self._on_message(child, message)

    def _on_message(self, child: Child, message: dict[str, Any]) -> None:
        if "watch" in message:
            paths = [Path(path) for path in message["watch"]]
            (self._files.add if message["besides"] else self._files.replace)(paths, since=child.began)
        elif "begun" in message:
            child.grace = message["begun"]
            if child.asked:
                # the signal may have come before it listened, and have been lost
                child.line.wish(child.asked)
                child.worker.kill_at = time.monotonic() + message["begun"] + _MARGIN
        elif "hopeless" in message:
            child.is_hopeless = True
        elif "ready" in message and not child.is_ready:
            child.is_ready = self._was_ready = True
            self._tell_ready()

    def _keep(self, note: str, sockets: Sequence[socket.socket]) -> None:
        self._drop_kept()
        self._kept = Kept(note, sockets)
        if self._wishes:  # there will be no next child
            self._drop_kept()

    def _drop_kept(self) -> None:
        """Close what is kept, so that clients are refused as soon as the child has closed its own."""
        kept, self._kept = self._kept, None
        for each in kept.sockets if kept is not None else ():
            each.close()

    def _reap(self) -> int | None:
        """Handle the end of the child; returns the exit status if it was the last one."""
        child = self._child
        if child is None:
            return 0 if self._wishes else None
        status = child.worker.reap()
        if status is None:
            return None
        self._listen()
        child.worker.close()
        child.line.close()
        self._child = self._say_at = None
        if self._wishes:
            return self._last_status(child, status)
        if child.is_hopeless:
            return status
        if self._is_due:
            self._spawn(is_turn=True)
        elif child.is_turn:
            self._changed_at = None
            self._tell_ended(child, status)
            if self._meanwhile is not None and self._kept is not None:
                self._spawn(is_turn=False)
        return None

    def _last_status(self, child: Child, status: int) -> int:
        if len(self._wishes) >= _ENOUGH:
            return SIGNALLED + self._wishes[-1]
        # TERM sent by us is not a failure, and a stand-in cannot fail
        return 0 if status == SIGNALLED + signal.SIGTERM or not child.is_turn else status

    def _leave(self) -> None:
        child, self._child = self._child, None
        if child is not None:  # only after an error
            child.worker.kill()
            child.worker.close()
            child.line.close()
        self._drop_kept()

    # -- what happens --------------------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number not in _ENDING:
            return
        self._wishes.append(number)
        self._drop_kept()
        if self._child is not None:
            self._ask(self._child)

    def _look(self) -> None:
        """Poll the files, if it is time to."""
        now = time.monotonic()
        if self._wishes or now < self._look_at:
            return
        changed = self._files.changed()
        self._look_at = now + (_SOON if self._files.is_restless else _LOOK)
        if not changed:
            return
        _forget_compiled(changed)
        # report what changed inside a folder rather than the folder itself
        told = [path for path in changed if not path.is_dir()] or changed
        names = ", ".join(path.name for path in told[:_NAMES])
        more = f" and {len(told) - _NAMES} more" if len(told) > _NAMES else ""
        _log.info("%s changed%s", names + more, "" if self._is_due else ": restarting")
        self._is_due = True
        self._changed_at = self._changed_at or now
        if self._child is None:
            self._spawn(is_turn=True)
        else:
            self._ask(self._child)

    def _keep_time(self) -> None:
        child, now = self._child, time.monotonic()
        if child is None:
            return
        if self._say_at is not None and self._say_at <= now:
            self._say_at = None
            if child.is_ready and child.grace:
                _log.info("What runs is given time to end, %g s at most; Ctrl-C cuts it short", child.grace)
        if child.worker.kill_at is not None and child.worker.kill_at <= now and not child.worker.killed:
            _log.error("It did not end in time and is killed")
            child.worker.kill()

    def _wait(self) -> None:
        child = self._child
        moments = [self._look_at] if not self._wishes else []
        if child is not None:
            moments += [moment for moment in (self._say_at, child.worker.kill_at) if moment is not None]
            if child.worker.killed:
                moments = []
        handles = [] if child is None or child.line.is_over else [child.line.here.fileno()]
        self._wake.wait(handles, min(moments, default=None))

    def _tell_ready(self) -> None:
        files = "1 file" if len(self._files) == 1 else f"{len(self._files)} files"
        if self._changed_at is None:
            _log.info("%s watched: it starts again when one changes", files)
        else:
            _log.info("restarted in %.2f s", time.monotonic() - self._changed_at)
        self._changed_at = None

    def _tell_ended(self, child: Child, status: int) -> None:
        what = f"ended with status {status}" if child.is_ready else f"could not be started (status {status})"
        _log.warning("It %s; it starts again when a file changes", what)


def _forget_compiled(paths: Sequence[Path]) -> None:
    """Remove the compiled bytecode: Python validates it by size and whole seconds, which may be equal."""
    for path in paths:
        if path.suffix == ".py":
            with contextlib.suppress(OSError, NotImplementedError):
                Path(importlib.util.cache_from_source(str(path))).unlink()
