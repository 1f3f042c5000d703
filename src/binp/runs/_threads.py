"""A pool of daemon threads for sync functions: bounded, reused, and never blocking the exit of the process."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from binp.operations import is_async

__all__ = ["Threads", "call_function"]

#: seconds after which an idle thread ends
_IDLE = 5.0


class _Job:
    __slots__ = ("call", "context", "future", "loop")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.context = contextvars.copy_context()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


class Threads:
    """Runs calls in threads, at most *limit* at a time; further calls are queued.

    The threads are daemons: Python cannot stop a thread, so the process must be able to exit although one hangs. If the
    caller is cancelled, the call itself still runs to its end.

    Args:
        limit: Maximum number of threads.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._lock = threading.Condition()
        self._jobs: collections.deque[_Job] = collections.deque()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._closed = False

    async def run(self, call: Callable[[], Any]) -> Any:
        """Await *call* in a thread, with the context variables of the caller."""
        job = _Job(call)
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads of this BINP are closed")
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._lock.notify()
            elif len(self._threads) < self._limit:
                self._begin_thread(job)
        return await job.future

    def close(self, timeout: float = 1.0) -> bool:
        """End idle threads, and wait up to *timeout* seconds in all for the others. True if none is left."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            threads = list(self._threads)
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _begin_thread(self, job: _Job) -> None:
        thread = threading.Thread(target=self._work, name="binp-call", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # no thread can be started: an existing one will take the job; without any, the call fails
            if not self._threads:
                self._jobs.remove(job)
                raise
        else:
            self._threads.add(thread)

    def _work(self) -> None:
        while (job := self._take()) is not None:
            if not job.future.cancelled():
                _hand_over(job, *_call(job))
            del job

    def _take(self) -> _Job | None:
        with self._lock:
            self._idle += 1
            try:
                while not self._jobs:
                    if self._closed or not self._lock.wait(_IDLE):
                        # a job may have been added just when the wait ended
                        if self._jobs:
                            break
                        self._threads.discard(threading.current_thread())
                        return None
                return self._jobs.popleft()
            finally:
                self._idle -= 1


def _call(job: _Job) -> tuple[Any, BaseException | None]:
    try:
        return job.context.run(job.call), None
    except BaseException as error:  # noqa: BLE001 - everything it raises is passed to whoever awaits the call
        return None, error


async def call_function(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: Threads
) -> Any:
    """Call *function*: await it, or run it in a thread and await its result if that is awaitable.

    The latter supports a sync wrapper around an async function, as many decorators create.
    """
    if is_async(function):
        return await function(*args, **kwargs)
    value = await threads.run(lambda: function(*args, **kwargs))
    return await value if inspect.isawaitable(value) else value


def _hand_over(job: _Job, result: Any, error: BaseException | None) -> None:
    if isinstance(error, StopIteration):
        # a future rejects StopIteration, like a coroutine
        error = RuntimeError("the function raised StopIteration")
    try:
        job.loop.call_soon_threadsafe(_settle, job.future, result, error)
    except RuntimeError:
        # the event loop is closed: nobody is left to be told
        return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
