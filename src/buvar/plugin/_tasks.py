"""Run the tasks of plugins: watch for failures, give them time to end, cancel the rest in order."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, Literal, TypeVar

from buvar.names import fqdn
from buvar.plugin._errors import StuckTaskError

T = TypeVar("T")

#: Seconds for a task that watches `Cancel` to end by itself.
CANCEL_TIMEOUT: Final = 30.0
#: Minimum seconds for a cancelled task to clean up before it is abandoned.
PATIENCE: Final = 5.0

_log = logging.getLogger("buvar.plugin")


class Watch:
    """Whether a task, or a task that it started, watches a `Cancel`."""

    __slots__ = ("cancel", "more", "seen")

    def __init__(self, cancel: asyncio.Event) -> None:
        self.cancel = cancel
        #: additional seconds that it asked for
        self.more = 0.0
        # an event of another class cannot tell who watches it, so every task is assumed to
        self.seen = not isinstance(cancel, Cancel)


#: set in each task of a stage; inherited by the tasks that it starts
watching: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("buvar.plugin.watching", default=None)


class Cancel(asyncio.Event):
    """Set to start the shutdown of a stage; a task that watches it gets time to end by itself."""

    def is_set(self) -> bool:
        """Whether the shutdown has begun."""
        self._note()
        return super().is_set()

    async def wait(self) -> Literal[True]:
        """Wait until the shutdown begins."""
        self._note()
        return await super().wait()

    async def within(self, seconds: float) -> bool:
        """Wait until the shutdown begins, at most *seconds*; returns whether it has begun.

        Use it as the pause of a periodic task: ``while not await cancel.within(60): ...``
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
        return super().is_set()

    def extend(self, seconds: float) -> None:
        """Give the calling task *seconds* more than the others to end by itself.

        Must be called before its time is over; the longest request counts. A task that knows what it waits for asks for
        as long as that may take; a second signal still cancels it.
        """
        watch = self._note()
        if watch is not None:
            watch.more = max(watch.more, seconds)

    def _note(self) -> Watch | None:
        watch = watching.get()
        if watch is None or watch.cancel is not self:
            return None
        watch.seen = True
        return watch


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """One awaitable of a plugin."""

    #: name of the plugin
    plugin: str
    awaitable: Awaitable[Any]
    watch: Watch
    task: asyncio.Task[Any] | None = None
    #: whether its cancellation was requested
    asked: bool = False

    def cancel(self) -> None:
        """Cancel its task, and remember that."""
        if self.task is not None and not self.task.done():
            self.asked = True
            self.task.cancel()

    def discard(self) -> None:
        """Close or cancel an awaitable that was never run."""
        discard(self.awaitable)


def discard(awaitable: object) -> None:
    """Close a coroutine that nobody will await, or cancel a future that nobody will use."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        awaitable.cancel()


async def settle(task: asyncio.Task[T], hurry: Callable[[], None]) -> T:
    """Await a task to its end. Cancelling the caller calls *hurry*, and is raised after the task has ended."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
            hurry()
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # mark it as retrieved
        raise cancelled
    return task.result()


async def either(ready: asyncio.Future[None], life: asyncio.Task[Any], hurry: Callable[[], None]) -> None:
    """Wait until the stage is running; if its life ends before, raise what ended it."""
    try:
        await asyncio.wait({ready, life}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        hurry()
        raise
    if not ready.done():
        life.result()


class TaskRunner:
    """Runs jobs until all have ended or *cancel* is set, then ends the rest.

    Args:
        cancel: Starts the shutdown.
        cancel_timeout: Seconds for a task that watches *cancel* to end by itself.
        fail_fast: Whether the first failure sets *cancel*.
    """

    def __init__(self, cancel: asyncio.Event, *, cancel_timeout: float, fail_fast: bool = False) -> None:
        self.cancel = cancel
        self.cancel_timeout = cancel_timeout
        self.fail_fast = fail_fast
        #: (plugin name, error) of each task that failed, in chronological order
        self.failed: list[tuple[str, BaseException]] = []
        #: the first SystemExit or KeyboardInterrupt that a task raised
        self.leaving: BaseException | None = None
        #: set when the block around the running tasks was left; without a block, the runner ends with the last task
        self.block: asyncio.Event | None = None
        #: called at each failure: plugin name, error
        self.observers: list[Callable[[str, BaseException], object]] = []
        self._jobs: list[Job] = []

    def start(self, jobs: Iterable[Job], variables: contextvars.Context) -> None:
        """Create a task for each job, each in a copy of *variables*."""
        for job in jobs:
            own = variables.copy()
            own.run(watching.set, job.watch)
            name = getattr(job.awaitable, "__qualname__", type(job.awaitable).__qualname__)
            job.task = asyncio.get_running_loop().create_task(
                self._guard(job), name=f"{job.plugin}: {name}", context=own
            )
            self._jobs.append(job)

    async def wait(self) -> list[Any]:
        """Wait for the end of all tasks.

        Returns:
            The result or exception of each, in the order in which they were started.
        """
        finish = asyncio.get_running_loop().create_task(self._finish(), name="buvar.plugin: shutdown")
        return await settle(finish, self.cancel_now)

    def cancel_now(self) -> None:
        """Start the shutdown, and cancel every task immediately."""
        self.cancel.set()
        for job in self._jobs:
            job.cancel()

    async def _guard(self, job: Job) -> Any:
        try:
            return await job.awaitable
        except asyncio.CancelledError as error:
            if not job.asked:
                self._fail(job, error)
            return error
        except Exception as error:  # noqa: BLE001 - it is the result: logged and kept
            self._fail(job, error)
            return error
        except BaseException as error:  # noqa: BLE001 - SystemExit in a task would stop the event loop; it is raised at the end
            self.leaving = self.leaving or error
            self.cancel.set()
            return error

    def _fail(self, job: Job, error: BaseException) -> None:
        self.failed.append((job.plugin, error))
        _log.error("A task of the plugin %s failed", job.plugin, exc_info=error, extra={"plugin": job.plugin})
        if self.fail_fast:
            self.cancel.set()
        for observer in self.observers:
            try:
                observer(job.plugin, error)
            except Exception:  # noqa: BLE001 - it concerns neither the task nor the other observers
                _log.error("An observer of failures failed", exc_info=True)

    async def _finish(self) -> list[Any]:
        tasks = self._pending()
        if self.block is not None:
            await self.cancel.wait()
        elif tasks:
            loop = asyncio.get_running_loop()
            ended = loop.create_task(_wait_all(tasks))
            stop = loop.create_task(self.cancel.wait())
            await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
            for helper in (ended, stop):
                helper.cancel()
            await asyncio.wait({ended, stop})
        self.cancel.set()
        await self._shut_down()
        if self.block is not None:
            # nothing is torn down while the block is still using it
            await self.block.wait()
        return [self._result(job) for job in self._jobs]

    async def _shut_down(self) -> None:
        await asyncio.sleep(0)  # a task that ends when it sees Cancel, or that has just set it, need not be cancelled
        now = asyncio.get_running_loop().time
        deadline = now() + self.cancel_timeout
        await self._cancel_in_order([job for job in self._jobs if not job.watch.seen])
        tasks = self._pending()
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - now()))
        await self._cancel_in_order([job for job in self._jobs if not job.watch.more])
        # tasks that asked for more time end last, each when its time is over
        for job in sorted(self._jobs, key=lambda one: one.watch.more):
            if job.task is not None and not job.task.done():
                await asyncio.wait({job.task}, timeout=max(0.0, deadline + job.watch.more - now()))
                await self._cancel_in_order([job])

    async def _cancel_in_order(self, jobs: Iterable[Job]) -> None:
        now = asyncio.get_running_loop().time
        end = now() + self._patience
        for job in jobs:
            if job.task is not None and not job.task.done():
                job.cancel()
                await asyncio.wait({job.task}, timeout=max(0.0, end - now()))

    @property
    def _patience(self) -> float:
        return max(self.cancel_timeout, PATIENCE)

    def _pending(self) -> list[asyncio.Task[Any]]:
        return [job.task for job in self._jobs if job.task is not None and not job.task.done()]

    def _result(self, job: Job) -> Any:
        task = job.task
        if task is None or not task.done():
            error = StuckTaskError(job.plugin, self._patience)
            self._fail(job, error)
            return error
        if task.cancelled():  # before its first step
            job.discard()
            return asyncio.CancelledError()
        return task.result()


async def _wait_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks)


async def run(
    tasks: Iterable[Awaitable[Any]],
    *,
    evt_cancel: asyncio.Event | None = None,
    cancel_timeout: float = CANCEL_TIMEOUT,
) -> list[Any]:
    """Run awaitables concurrently; a failure does not stop the others.

    Args:
        tasks: The awaitables to run.
        evt_cancel: Ends them when it is set. Tasks that watch a `Cancel` get time to end by themselves; with an event
            of another class, all do.
        cancel_timeout: That time in seconds; after it they are cancelled one after the other.

    Returns:
        The result or exception of each, in order.
    """
    cancel = Cancel() if evt_cancel is None else evt_cancel
    runner = TaskRunner(cancel, cancel_timeout=cancel_timeout)
    jobs = [Job(_name(awaitable), awaitable, Watch(cancel)) for awaitable in tasks]
    runner.start(jobs, contextvars.copy_context())
    results = await runner.wait()
    if runner.leaving is not None:
        raise runner.leaving
    return results


def _name(awaitable: object) -> str:
    named: Callable[..., Any] | Coroutine[Any, Any, Any] | object = awaitable
    return str(getattr(named, "__qualname__", None) or fqdn(type(awaitable)))
