"""Say which line blocks the event loop, while it does."""

from __future__ import annotations

import asyncio
import logging
import selectors
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ._active import ActiveRun, quietly

if TYPE_CHECKING:
    from ._runs import Runs

__all__ = ["Watchdog"]

_logger = logging.getLogger("binp.loop")

#: seconds that the loop may be late before it is said to be blocked
_LIMIT = 0.5
#: seconds between two looks at the loop, and when it owes a sign of life
_LOOK, _CLOSE_LOOK = 0.25, 0.1

#: whose lines are not to blame: what called the user's code, and what that called in turn
_PLATFORM = str(Path(__file__).parent.parent)
#: who calls it: what is inside of that is the user's
_CALLERS = tuple(str(Path(_PLATFORM) / name) for name in ("runs", "service"))
_ASYNCIO = str(Path(asyncio.__file__).parent)
#: what a loop is in while it waits for something to happen
_WAITING = getattr(getattr(asyncio.BaseEventLoop, "_run_once", None), "__code__", None)
_SELECTORS = selectors.__file__


class Watchdog:
    """A thread that looks whether the loop goes on.

    While it is blocked, everything that it serves waits: requests, streams, services and runs. So the line that blocks
    it is told while it does, in the log and in the run to which it belongs, and once for each time.

    A loop that waits is seen to do so from outside, and left alone: a server that has nothing to do is not woken. Only
    one that is found at work is asked for a sign of life.

    Args:
        runs: Those that may block it.
        loop: Whose signs of life are looked at.
    """

    def __init__(self, runs: Runs, loop: asyncio.AbstractEventLoop) -> None:
        self._runs = runs
        self._loop = loop
        self._loop_thread = threading.get_ident()
        #: when it was asked for a sign of life that it has not given, in monotonic seconds
        self._asked: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="binp-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look. To be called on the loop."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Returns at once."""
        self._ended.set()

    def join(self) -> None:
        """Wait until the thread has ended, which it does at once."""
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        told = 0.0
        pause, looked = _LOOK, time.monotonic()
        while not self._ended.wait(pause):
            now, asked = time.monotonic(), self._asked
            # a machine that slept, or a process that was stopped, held up this thread as well
            was_here = now - looked < pause + _LIMIT / 2
            looked = now
            # one that goes on has answered by the next look; one that has not is looked at closely
            pause = _LOOK if asked is None else _CLOSE_LOOK
            if asked is None:
                if not self._ask(now):
                    return
            elif now - asked > _LIMIT and asked != told and was_here:
                told = asked
                self._tell(now - asked)

    def _ask(self, now: float) -> bool:
        """Ask the loop for a sign of life, unless it waits; returns whether there is still one to look at."""
        if self._is_waiting():
            return True
        self._asked = now
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            # it was closed
            return False
        return True

    def _answer(self) -> None:
        self._asked = None

    def _is_waiting(self) -> bool:
        """Whether the loop waits for something to happen. A loop that is not asyncio's own is never seen to."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - as below
        # what the user's code waits for by a selector of its own blocks the loop
        return (
            frame is not None
            and frame.f_code.co_filename == _SELECTORS
            and frame.f_back is not None
            and frame.f_back.f_code is _WAITING
        )

    def _tell(self, late: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - documented, for debuggers such as this
        if frame is None:
            return
        where = _guilty(frame)
        text = f"the event loop is blocked since {late:.1f} s by {where}"
        run = self._run()
        if run is not None:
            stack = "".join(traceback.format_list(_inside(frame)[-20:]))
            run.record(f"{text}; nothing else goes on meanwhile", {"traceback": stack}, level="warning", source="log")
        with quietly():
            _logger.warning("%s%s", text, "" if run is None else f", in run {run.id} of {run.operation!r}")

    def _run(self) -> ActiveRun | None:
        """The run whose task is being executed, as far as that can be told from outside."""
        task = asyncio.current_task(self._loop)
        return next((run for run in self._runs.active if run.task is task), None) if task is not None else None


def _inside(frame: FrameType) -> traceback.StackSummary:
    """The calls inside of the function that is executed; all calls where that cannot be told."""
    stack = traceback.extract_stack(frame)
    ours = [index for index, one in enumerate(stack) if one.filename.startswith(_CALLERS)]
    inside = stack[ours[-1] + 1 :] if ours else []
    return traceback.StackSummary.from_list(inside or stack)


def _guilty(frame: FrameType) -> str:
    """``function at file:line`` of the user's innermost line, or of what was called last if there is none."""
    stack = traceback.extract_stack(frame)
    own = [one for one in stack if not one.filename.startswith((_PLATFORM, _ASYNCIO, sys.base_prefix, sys.prefix))]
    last = own[-1] if own else stack[-1]
    return f"{last.name} at {last.filename}:{last.lineno}"
