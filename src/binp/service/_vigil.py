"""Watch one execution of a service: whether it becomes ready in time, and stays healthy."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import Protocol

from binp.runs import text_of

from ._policy import Check, Policy

__all__ = ["Vigil", "Watched", "current_vigil", "failure_text"]


class Watched(Protocol):
    """Receives the results; called on the event loop, and never after the end."""

    def be_ready(self) -> None:
        """It reports that it is ready."""

    def be_checked(self, problem: str | None) -> None:
        """A health check found *problem*, or none."""

    def condemn(self, reason: str) -> None:
        """It has to end as a failure; called again while it does not."""


class Vigil:
    """Watches one execution, from the call of its function to its end.

    Args:
        policy: The policy of the service.
        watched: Receives the results.
        context: The context of the checks.
    """

    def __init__(self, policy: Policy, watched: Watched, context: contextvars.Context) -> None:
        self._policy = policy
        self._watched = watched
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._is_ready = not policy.ready
        self._is_over = False
        self._late: asyncio.TimerHandle | None = None
        self._checks: asyncio.Task[None] | None = None
        if self._is_ready:
            self._begin_checks()
        else:
            self._await_ready()

    def ready(self) -> None:
        """It is ready. May be called from any thread."""
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            self._be_ready()
            return
        # a thread may still run when its event loop is closed
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._be_ready)

    def end(self) -> None:
        """It has ended, or was told to: stop watching. Idempotent."""
        self._is_over = True
        if self._late is not None:
            self._late.cancel()
        if self._checks is not None:
            self._checks.cancel()

    def _be_ready(self) -> None:
        if self._is_over or self._is_ready:
            return
        self._is_ready = True
        if self._late is not None:
            self._late.cancel()
        self._watched.be_ready()
        self._begin_checks()

    def _await_ready(self) -> None:
        if self._policy.start_timeout:
            self._late = self._loop.call_later(self._policy.start_timeout, self._be_late, context=self._context)

    def _be_late(self) -> None:
        self._watched.condemn(f"not ready within {self._policy.start_timeout:g} s")
        self._await_ready()

    def _begin_checks(self) -> None:
        if self._policy.health is not None:
            checking = self._keep_checking(self._policy.health)
            self._checks = self._loop.create_task(checking, name="health of a service", context=self._context)

    async def _keep_checking(self, check: Check) -> None:
        policy, failures = self._policy, 0
        while True:
            await asyncio.sleep(policy.health_every)
            problem = await self._look(check)
            if self._is_over:
                # the check suppressed its cancellation
                return
            failures = failures + 1 if problem else 0
            self._watched.be_checked(problem)
            if failures >= policy.health_failures:
                self._watched.condemn(f"unhealthy, {failures} checks in a row: {problem}")
                failures = 0

    async def _look(self, check: Check) -> str | None:
        limit = asyncio.timeout(self._policy.health_every)
        try:
            async with limit:
                answer = await check()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._checks is not None and self._checks.cancelling():
                raise
            return f"no answer within {self._policy.health_every:g} s" if limit.expired() else failure_text(error)
        return "the check says False" if answer is False else None


#: the watch of the service that the running code belongs to
current_vigil: contextvars.ContextVar[Vigil | None] = contextvars.ContextVar("binp.service", default=None)


def failure_text(error: BaseException) -> str:
    """The text of *error* for people."""
    # a file name that is not valid Unicode contains lone surrogates, which JSON cannot express
    return text_of(error).encode("utf-8", "backslashreplace").decode()
