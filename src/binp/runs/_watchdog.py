"""Report which line blocks the event loop, while it does."""

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

from ._active import ActiveRun
from ._quiet import quietly

if TYPE_CHECKING:
    from ._runs import Runs

__all__ = ["Watchdog"]

_logger = logging.getLogger("binp.loop")

#: seconds without a response after which the event loop counts as blocked
_LIMIT = 0.5
#: polling interval in seconds, and the shorter one while a response is pending
_LOOK, _CLOSE_LOOK = 0.25, 0.1

#: folder of code that is never to blame: it calls the user's code, or is called by it
_PLATFORM = str(Path(__file__).parent.parent)
#: folders of the code that calls the user's functions: everything further in is the user's
_CALLERS = tuple(str(Path(_PLATFORM) / name) for name in ("runs", "service"))
_ASYNCIO = str(Path(asyncio.__file__).parent)
#: the code object in which an event loop waits for events
_WAITING = getattr(getattr(asyncio.BaseEventLoop, "_run_once", None), "__code__", None)
_SELECTORS = selectors.__file__


class Watchdog:
    """A thread that checks whether the event loop makes progress.

    While the loop is blocked, everything that it serves waits: requests, streams, services and runs. So the blocking
    line is reported while it blocks, in the log and in the run that it belongs to, once per blockage.

    A waiting loop is recognised from outside and not disturbed: an idle server is not woken up. Only a loop that is
    busy is asked for a response.

    Args:
        runs: The runs that may block it.
        loop: The event loop to watch.
    """

    def __init__(self, runs: Runs, loop: asyncio.AbstractEventLoop) -> None:
        self._runs = runs
        self._loop = loop
        self._loop_thread = threading.get_ident()
        #: when it was asked for a response that is still pending, in monotonic seconds
        self._asked: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="binp-watchdog", daemon=True)

    def start(self) -> None:
        """Start watching. Must be called on the event loop."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. Returns immediately."""
        self._ended.set()

    def join(self) -> None:
        """Wait for the thread, which ends immediately after :meth:`stop`."""
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        told = 0.0
        pause, looked = _LOOK, time.monotonic()
        while not self._ended.wait(pause):
            now, asked = time.monotonic(), self._asked
            # when the machine was suspended, or the process stopped, this thread was delayed as well
            was_here = now - looked < pause + _LIMIT / 2
            looked = now
            # a healthy loop has answered by the next check; if not, check more often
            pause = _LOOK if asked is None else _CLOSE_LOOK
            if asked is None:
                if not self._ask(now):
                    return
            elif now - asked > _LIMIT and asked != told and was_here:
                told = asked
                self._tell(now - asked)

    def _ask(self, now: float) -> bool:
        """Ask the loop for a response, unless it is waiting; returns False if the loop is closed."""
        if self._is_waiting():
            return True
        self._asked = now
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            # the loop was closed
            return False
        return True

    def _answer(self) -> None:
        self._asked = None

    def _is_waiting(self) -> bool:
        """Whether the loop is waiting for events. This is never recognised for other loops than asyncio's."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - as below
        # waiting with a selector of its own inside user code does block the loop
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
        """The run whose task is being executed, as far as that can be seen from another thread."""
        task = asyncio.current_task(self._loop)
        return next((run for run in self._runs.active if run.task is task), None) if task is not None else None


def _inside(frame: FrameType) -> traceback.StackSummary:
    """The calls inside the executed function; all calls if its frame cannot be found."""
    stack = traceback.extract_stack(frame)
    ours = [index for index, one in enumerate(stack) if one.filename.startswith(_CALLERS)]
    inside = stack[ours[-1] + 1 :] if ours else []
    return traceback.StackSummary.from_list(inside or stack)


def _guilty(frame: FrameType) -> str:
    """``function at file:line`` of the innermost line of user code; of the innermost call if there is none."""
    stack = traceback.extract_stack(frame)
    own = [one for one in stack if not one.filename.startswith((_PLATFORM, _ASYNCIO, sys.base_prefix, sys.prefix))]
    last = own[-1] if own else stack[-1]
    return f"{last.name} at {last.filename}:{last.lineno}"
