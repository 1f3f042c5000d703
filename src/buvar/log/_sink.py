"""Where rendered lines go: a bounded queue and a thread that writes, so that logging never waits for a terminal."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import weakref
from typing import Any, Final

#: lines that are written with one call at most
BATCH: Final = 512

#: seconds that a thread which has ended may still be seen by the system
_GONE: Final = 0.1

_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


class Sink:
    """Writes lines to a stream without making the caller wait.

    A line that finds the queue full is dropped and counted; the count is written as a line of its own once there is
    room. A forked child starts with an empty queue and a thread of its own. After `close`, and where no thread can be
    started, lines are written at once. Nothing here raises.

    Args:
        stream: A text stream; its binary buffer is used where it has one.
        size: Lines that may wait; 0 writes every line at once.
    """

    def __init__(self, stream: Any, *, size: int) -> None:
        self._stream = stream
        self._size = size
        #: whether the set-up that it was made for has ended
        self.is_closed = False
        #: lines that were dropped since the sink was made
        self.dropped = 0
        self._reported = 0
        self._reset()
        _sinks.add(self)

    def _reset(self) -> None:
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Queue a line, which ends in a newline; from any thread, and from a signal handler."""
        if self._size == 0 or self.is_closed or (self._thread is None and not self._start()):
            self._put([line])
        elif self._queue.qsize() >= self._size:
            self.dropped += 1
        else:
            self._queue.put(line)

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until everything that was queued before is written.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it is.
        """
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return self._queue.empty()
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Flush, and write everything later at once."""
        self.is_closed = True
        self.flush(timeout)

    def pause(self, timeout: float = 1.0) -> None:
        """Write what waits and end the thread; the next line starts another.

        Python warns of a fork while there are threads, with good reason.
        """
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self._queue.put(None)
        thread.join(timeout)
        end = time.monotonic() + _GONE
        # Python lets go of a thread a moment before the system does
        while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < end:  # noqa: PTH110 - quicker
            time.sleep(0.0005)

    def _start(self) -> bool:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, args=(self._queue,), name="buvar.log", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is going down
                    return False
                self._thread = thread
        return True

    def _run(self, waiting: queue.SimpleQueue[bytes | threading.Event | None]) -> None:
        while True:
            item = waiting.get()
            lines: list[bytes] = []
            while True:
                if item is None:
                    self._put(lines)
                    with self._lock:
                        self._thread = None
                    if not waiting.empty():  # somebody was quicker
                        self._start()
                    return
                if isinstance(item, threading.Event):
                    self._put(lines)
                    lines = []
                    item.set()
                else:
                    lines.append(item)
                if len(lines) >= BATCH:
                    break
                try:
                    item = waiting.get_nowait()
                except queue.Empty:
                    break
            self._put(lines)

    def _put(self, lines: list[bytes]) -> None:
        missed = self.dropped - self._reported
        if missed:
            self._reported += missed
            lines = [
                *lines,
                f'{{"event":"{missed} log lines were dropped","level":"warning","logger":"buvar.log"}}\n'.encode(),
            ]
        if not lines:
            return
        data = b"".join(lines)
        with self._writing, contextlib.suppress(Exception):  # a closed or broken stream must not break the program
            buffer = getattr(self._stream, "buffer", None)
            if buffer is None:
                self._stream.write(data.decode("utf-8", "replace"))
            else:
                buffer.write(data)
            self._stream.flush()


def flush(timeout: float = 2.0) -> bool:
    """Wait until all lines that were logged before are written.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether they are.
    """
    end = time.monotonic() + timeout
    flushed = [sink.flush(max(0.0, end - time.monotonic())) for sink in list(_sinks)]
    return all(flushed)


def dropped() -> int:
    """How many lines were dropped because they came faster than they could be written."""
    return sum(sink.dropped for sink in list(_sinks))


def _before_fork() -> None:
    for sink in list(_sinks):
        sink.pause()


def _after_fork() -> None:
    for sink in list(_sinks):
        sink._reset()  # noqa: SLF001 - the lines in the queue, the locks and the thread belong to the parent


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
