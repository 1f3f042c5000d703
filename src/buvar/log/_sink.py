"""Write rendered lines through a bounded queue and a thread, so that logging never blocks on a terminal."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import weakref
from typing import Any, Final

#: maximum number of lines per write call
BATCH: Final = 512

#: seconds for which the system may still list a thread that has ended
_GONE: Final = 0.1

_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


class Sink:
    """Writes lines to a stream without blocking the caller.

    If the queue is full, a line is dropped and counted; the count is written as a line of its own once there is room. A
    forked child starts with an empty queue and a thread of its own. After `close`, and if no thread can be started,
    lines are written synchronously. Nothing here raises.

    Args:
        stream: A text stream; its binary buffer is used if it has one.
        size: Maximum number of queued lines; 0 writes synchronously.
    """

    def __init__(self, stream: Any, *, size: int) -> None:
        self._stream = stream
        self._size = size
        #: whether its set-up has ended
        self.is_closed = False
        #: number of lines dropped since the sink was created
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
        """Queue a line, which must end in a newline; callable from any thread and from signal handlers."""
        if self._size == 0 or self.is_closed or (self._thread is None and not self._start()):
            self._put([line])
        elif self._queue.qsize() >= self._size:
            self.dropped += 1
        else:
            self._queue.put(line)

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until all lines queued so far are written.

        Args:
            timeout: Maximum time to wait, in seconds.

        Returns:
            Whether they are.
        """
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return self._queue.empty()
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Flush; later lines are written synchronously."""
        self.is_closed = True
        self.flush(timeout)

    def pause(self, timeout: float = 1.0) -> None:
        """Write all queued lines and end the thread; the next line starts a new one.

        Python warns about a fork while other threads are running.
        """
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self._queue.put(None)
        thread.join(timeout)
        end = time.monotonic() + _GONE
        # Python considers a thread ended slightly before the system does
        while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < end:  # noqa: PTH110 - quicker
            time.sleep(0.0005)

    def _start(self) -> bool:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, args=(self._queue,), name="buvar.log", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is shutting down
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
                    if not waiting.empty():  # a line was queued meanwhile
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
    """Wait until all lines logged so far are written.

    Args:
        timeout: Maximum time to wait, in seconds.

    Returns:
        Whether they are.
    """
    end = time.monotonic() + timeout
    flushed = [sink.flush(max(0.0, end - time.monotonic())) for sink in list(_sinks)]
    return all(flushed)


def dropped() -> int:
    """Number of lines that were dropped because the queue was full."""
    return sum(sink.dropped for sink in list(_sinks))


def _before_fork() -> None:
    for sink in list(_sinks):
        sink.pause()


def _after_fork() -> None:
    for sink in list(_sinks):
        sink._reset()  # noqa: SLF001 - the queued lines, the locks and the thread belong to the parent


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
