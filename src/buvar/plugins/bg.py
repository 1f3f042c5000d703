"""Background jobs that plugins start and the stage awaits."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from buvar import context, plugin

__all__ = ["Jobs", "prepare"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Jobs(set["asyncio.Task[Any]"]):
    """The running background jobs; ``await jobs`` waits for all of them, whether they succeed or fail."""

    def add(self, job: Awaitable[T], *, sync: asyncio.Semaphore | None = None) -> asyncio.Task[T]:  # type: ignore[override]  # the contract's signature: what is added is what is run
        """Start a job. If it fails, the error is logged.

        Args:
            job: What to run.
            sync: A semaphore held while the job runs, to limit how many run at once.

        Returns:
            The task of the job.
        """
        task = asyncio.get_running_loop().create_task(_run(job, sync), name="buvar.plugins.bg: job")
        super().add(task)
        task.add_done_callback(self._ended)
        if inspect.iscoroutine(job):
            # closes a coroutine that was cancelled before its first step; does nothing to one that has ended
            task.add_done_callback(lambda _task: job.close())
        return task

    def cancel(self) -> None:
        """Cancel all jobs."""
        for task in list(self):
            task.cancel()

    async def shutdown(self) -> None:
        """Cancel all jobs and wait until they have ended."""
        self.cancel()
        await self

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._gather().__await__()

    async def _gather(self) -> list[Any]:
        return await asyncio.gather(*self, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("Background job failed", exc_info=task.exception())


async def _run(job: Awaitable[T], sync: asyncio.Semaphore | None) -> T:
    async with sync if sync is not None else contextlib.nullcontext():
        return await job


async def prepare(teardown: plugin.Teardown) -> None:
    """Load as a plugin: add `Jobs`, which end with the stage."""
    jobs = context.add(Jobs())
    teardown.add(jobs.shutdown)
