"""One service: its task, its state, and what happens when its function ends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from binp.operations import Operation
from binp.runs import Outcome
from binp.store.contract import State

from ._status import Status

__all__ = ["Handler", "Life", "Policy", "Supervisor"]

#: what a service is made of
Handler = Callable[..., Any]

_logger = logging.getLogger("Service")

#: seconds: the least delay before a restart, however small the service wants it
_FLOOR = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """When a service is started and restarted."""

    autostart: bool = True
    restart: bool = True
    #: seconds before a restart; grows while the service keeps failing
    delay: float = 3.0
    #: factor by which the delay grows with each failure in a row
    factor: float = 2.0
    #: seconds that the delay grows to
    max_delay: float = 60.0
    #: seconds after which a life counts as healthy, so that the delay starts anew
    healthy: float = 60.0

    def wait(self, failures: int) -> float:
        """Seconds before the next start, after so many failures in a row; grown delays vary by a tenth."""
        first = max(self.delay, _FLOOR)
        if failures <= 1:
            return first
        grown = min(first * self.factor ** min(failures - 1, 60), max(self.max_delay, first))
        return grown * random.uniform(0.9, 1.1)  # noqa: S311 - spreads restarts, no secret


class Life(Protocol):
    """One execution of a service, as the history sees it. None of its methods delays a state."""

    async def body(self) -> Any:
        """Execute the function; raises what it raises."""

    def ended(self, outcome: Outcome) -> None:
        """Say how it ended."""


class Supervisor:
    """Keeps at most one copy of one service alive.

    Commands only say what is wanted and wake the one task that owns the state. The function is awaited in that task,
    with nothing awaited between its end and the change of state.

    Args:
        operation: What to run.
        policy: When to run it again.
        live: Begins a life, just before the function is called; may wait for what the service needs.
        context: Makes the context of the task.
        changed: Called with each new state.
    """

    def __init__(
        self,
        operation: Operation,
        policy: Policy,
        *,
        live: Callable[[], Awaitable[Life]],
        context: Callable[[], contextvars.Context],
        changed: Callable[[Supervisor], None],
    ) -> None:
        self.operation = operation
        self.policy = policy
        self.status = Status.STOPPED
        self.error: str | None = None
        self.restarts = 0
        self._live = live
        self._context = context
        self._changed = changed
        self._wanted = False
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._failures = 0

    @property
    def is_alive(self) -> bool:
        """Whether its task has not ended."""
        return self._task is not None

    def start(self) -> None:
        """Want it to run. Needs a running loop; returns at once, in state ``starting`` unless it runs already."""
        self._wanted = True
        if self._task is None:
            self._failures = 0
            self.restarts = 0
            self.error = None
            self._spawn()

    def stop(self) -> None:
        """Want it to be stopped. Returns at once; it is ``stopped`` when its task has really ended."""
        self._wanted = False
        if self._task is not None and not self._stopping:
            self._stopping = True
            self._task.cancel()

    async def stopped(self, timeout: float) -> bool:
        """Wait for its end, *timeout* seconds at most. False if it has not ended."""
        if self._task is None:
            return True
        await asyncio.wait({self._task}, timeout=timeout)
        # the state is changed in a callback of the task, which has not been called yet
        await asyncio.sleep(0)
        return self._task is None

    def _spawn(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = False
        self._set(Status.STARTING)
        self._task = loop.create_task(self._run(), name=f"service {self.operation.name}", context=self._context())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("the supervision of service %r failed", self.operation.name, exc_info=error)
            self.error = str(error)
            self._wanted = False
        if self._wanted:
            # it was started again while it was being stopped
            self._spawn()
        else:
            self._set(Status.STOPPED)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            life = await self._live()
            self._set(Status.RUNNING)
            began = loop.time()
            try:
                value = await life.body()
            except asyncio.CancelledError as error:
                if self._stopping or _is_cancelled():
                    self._wanted = self._wanted and self._stopping
                    life.ended(Outcome(State.CANCELLED, None, error, "cancelled: the service was stopped"))
                    raise
                self._fail(life, error, "CancelledError: raised inside, although nobody stopped the service")
            except Exception as error:  # noqa: BLE001 - whatever a service raises is logged, kept, and answered by policy
                self._fail(life, error, _text(error))
            else:
                self._failures = 0
                self._next(Status.RESTARTING)
                life.ended(Outcome(State.SUCCEEDED, value))
            if not self.policy.restart or self._stopping:
                self._wanted = self._wanted and self._stopping
                return
            if loop.time() - began >= self.policy.healthy:
                self._failures = min(self._failures, 1)
            await asyncio.sleep(self.policy.wait(self._failures))
            self.restarts += 1

    def _fail(self, life: Life, error: BaseException, text: str) -> None:
        self._failures += 1
        self.error = text
        self._next(Status.RESTARTING)
        life.ended(Outcome(State.FAILED, None, error, text))
        _logger.error("service %r failed: %s", self.operation.name, text, exc_info=error)

    def _next(self, status: Status) -> None:
        if self.policy.restart and not self._stopping:
            self._set(status)

    def _set(self, status: Status) -> None:
        if status is not self.status or status is Status.STARTING:
            self.status = status
            self._changed(self)


def _is_cancelled() -> bool:
    """Whether somebody cancelled the running task itself, as a loop that is being closed does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _text(error: BaseException) -> str:
    kind = type(error).__name__
    return f"{kind}: {error}" if str(error) else kind
