"""One service: its task, its state, and what happens when its function ends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from binp.operations import Operation
from binp.runs import Outcome
from binp.store.contract import State

from ._policy import Policy, Restart
from ._status import Status
from ._vigil import Vigil, current_vigil, failure_text

__all__ = ["Handler", "Life", "Supervisor"]

#: the function of a service
Handler = Callable[..., Any]

_logger = logging.getLogger("Service")

_STOPPED = "cancelled: the service was stopped"


class Life(Protocol):
    """One execution of a service. None of its methods delays a change of state."""

    @property
    def run(self) -> int | None:
        """The id of its run; None without a home."""

    @property
    def cancelled(self) -> str | None:
        """Why only this execution was cancelled, which has cancelled the task once; None if it was not."""

    async def body(self) -> Any:
        """Execute the function; raises what the function raises."""

    def ended(self, outcome: Outcome) -> None:
        """Record the end; only the first call counts."""


class Supervisor:
    """Keeps at most one copy of the service with one name alive, whatever its present definition is.

    Commands only set the desired state and wake the one task that owns the state. The function is awaited in that task,
    with no other await between its end and the change of state.

    Args:
        operation: The operation to run.
        policy: When to restart it.
        live: Starts an execution, just before the function is called; may wait for what the service needs.
        context: Creates the context of the task.
        changed: Called with each new state; does not raise.
        ahead: Returns which of the given services are not ready and have to be waited for.
    """

    def __init__(
        self,
        operation: Operation,
        policy: Policy,
        *,
        live: Callable[[Operation], Awaitable[Life]],
        context: Callable[[], contextvars.Context],
        changed: Callable[[Supervisor], None],
        ahead: Callable[[Sequence[str]], Iterable[str]] = lambda after: (),
    ) -> None:
        self.operation = operation
        self.policy = policy
        self.status = Status.STOPPED
        #: its last failure since it was started: message, time and run
        self.error: str | None = None
        self.failed_at: datetime | None = None
        self.failed_run: int | None = None
        self.restarts = 0
        #: when it is called again while it is ``restarting``, and the delay since its end, in seconds
        self.next_start: datetime | None = None
        self._delay = 0.0
        #: whether it is started automatically, as far as decided
        self.is_enabled = policy.enabled is not False
        #: services that it comes after and that are not ready, while it waits for them
        self.waits_for: tuple[str, ...] = ()
        #: result of the last health check of this execution
        self.healthy: bool | None = None
        self.health_error: str | None = None
        #: other supervisors of the same service whose ends have to be awaited before it runs here
        self.formers: list[Supervisor] = []
        self._live = live
        self._context = context
        self._changed = changed
        self._ahead = ahead
        self._met = asyncio.Event()
        self._vigil: Vigil | None = None
        #: why this execution has to end as a failure
        self._verdict: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._life: Life | None = None
        self._failures = 0
        #: times of its recent restarts
        self._restarts: deque[float] = deque()
        #: its status after its task has ended
        self._final = Status.STOPPED
        #: it was told to stop and has not ended; and whether it was told to start again since
        self._stopping = self._again = False
        #: how often the task was cancelled from here; further cancellations come from an event loop that is being
        #: closed
        self._cancels = 0
        self._overdue: asyncio.TimerHandle | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its task has not ended."""
        return self._task is not None

    @property
    def is_ready(self) -> bool:
        """Whether services that come after it may start."""
        return self.status in (Status.RUNNING, Status.COMPLETED)

    @property
    def is_passed_over(self) -> bool:
        """Whether it is disabled and was not started: services that come after it do not wait for it."""
        return not self.is_enabled and self._task is None

    def start(self) -> None:
        """Start it. Needs a running event loop; returns at once. It is ``starting`` unless an old copy is alive."""
        if self._task is None:
            self._spawn()
        elif self._stopping:
            self._again = True

    def stop(self, *, insist: bool = False) -> None:
        """Stop it. Returns at once; it is ``stopped`` when its task has really ended.

        Args:
            insist: Cancel it again if it was told to stop before, and has not ended.
        """
        is_repeated = self._stopping and not self._again
        self._again = False
        if self._task is None:
            return
        if not self._stopping:
            self._stopping = True
            self._end_vigil()
            self._start_clock()
        elif not (insist and is_repeated):
            return
        if self._task.cancel():
            self._cancels += 1

    def redefine(self, operation: Operation, policy: Policy) -> None:
        """Use another definition from the next start on; a running copy is told to stop."""
        self.operation, self.policy = operation, policy
        self.is_enabled = policy.enabled is not False
        self.stop()

    def decide(self) -> bool:
        """Decide whether it is started automatically."""
        enabled = self.policy.enabled
        try:
            self.is_enabled = bool(enabled() if callable(enabled) else enabled)
        except Exception as error:
            # the other services are still started
            _logger.exception("service %r is not started: enabled= failed", self.operation.name)
            self.is_enabled = False
            self._fail(f"enabled= failed: {failure_text(error)}")
        return self.is_enabled and self.policy.autostart

    def meet(self, name: str) -> None:
        """The service *name* need not be waited for any more."""
        if name in self.waits_for:
            self.waits_for = tuple(one for one in self.waits_for if one != name)
            self._met.set()

    def be_ready(self) -> None:
        """It reports that it is ready."""
        if self._verdict is None:
            self._set(Status.RUNNING)

    def be_checked(self, problem: str | None) -> None:
        """A health check found *problem*, or none."""
        if problem and not self.health_error:
            _logger.warning("service %r is not healthy: %s", self.operation.name, problem)
        found = problem is None, problem
        if found != (self.healthy, self.health_error):
            self.healthy, self.health_error = found
            self._changed(self)

    def condemn(self, reason: str) -> None:
        """End this execution as a failure, because of *reason*."""
        if self._task is None or self._stopping:
            return
        self._verdict = reason
        if self._overdue is None:
            self._start_clock()
        if self._task.cancel():
            self._cancels += 1

    async def stopped(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most *timeout* seconds. False if it has not ended."""
        if self._task is None:
            return True
        await asyncio.wait({self._task}, timeout=timeout)
        # the state changes in a callback of the task, which was not called yet
        await asyncio.sleep(0)
        return self._task is None

    def give_up(self, granted: float) -> None:
        """It did not stop within *granted* seconds, and nobody waits any longer: record its end."""
        self._stop_clock()
        self._be_stuck(granted)
        if self._life is not None:
            self._life.ended(Outcome(State.CANCELLED, message=f"{_STOPPED}; it did not stop"))

    def _start_clock(self) -> None:
        self._stop_clock()
        patience = self.policy.patience
        # it may be stopped from another thread than that of its event loop
        loop = asyncio.get_running_loop() if self._task is None else self._task.get_loop()
        self._overdue = loop.call_later(patience, self._be_stuck, patience, context=self._context())

    def _end_vigil(self) -> None:
        if self._vigil is not None:
            self._vigil.end()
            self._vigil = self.healthy = self.health_error = None

    def _stop_clock(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _be_stuck(self, granted: float) -> None:
        _logger.error("service %r did not stop within %.1f seconds", self.operation.name, granted)
        self._set(Status.STUCK)

    def _spawn(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = self._again = False
        self._cancels = self._failures = self.restarts = 0
        self._restarts.clear()
        self._final = Status.STOPPED
        self.error = self.failed_at = self.failed_run = self._verdict = None
        self._set(Status.STARTING)
        self._task = loop.create_task(self._run(), name=f"service {self.operation.name}", context=self._context())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = self._life = None
        self.waits_for = ()
        self._stop_clock()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("the supervision of service %r failed", self.operation.name, exc_info=error)
            self._fail(failure_text(error))
            self._again = False
        if self._again:
            self._spawn()
        else:
            self._set(self._final)

    async def _run(self) -> None:
        try:
            while self.formers:
                if await self.formers[0].stopped():
                    del self.formers[0]
            await self._wait_for_others()
            while await self._live_once():
                await asyncio.sleep(self._delay)
                self.restarts += 1
        finally:
            if self._is_closing():
                self._again = False

    async def _wait_for_others(self) -> None:
        self.waits_for = tuple(self._ahead(self.policy.after))
        while self.waits_for:
            self.status = Status.WAITING
            self._changed(self)
            self._met.clear()
            await self._met.wait()
        if self.status is Status.WAITING:
            self._set(Status.STARTING)

    def _begin_vigil(self) -> None:
        if self.policy.ready or self.policy.health:
            self._vigil = Vigil(self.policy, self, self._context())
        current_vigil.set(self._vigil)
        if not self.policy.ready:
            self._set(Status.RUNNING)
        elif self.status is not Status.STARTING:
            self._set(Status.STARTING)

    async def _live_once(self) -> bool:
        """Run one execution. Returns whether another one follows after a delay."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._life = life = await self._live(self.operation)
            if self._stopping:
                # whatever it awaited may have suppressed the cancellation
                raise asyncio.CancelledError
            self._begin_vigil()
            began = loop.time()
            value = await life.body()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a service raises is logged, recorded, and handled by its policy
            outcome = self._outcome_of(error)
        else:
            outcome = Outcome(State.SUCCEEDED, value)
            if self._verdict is not None and not self._stopping:
                # it suppressed its cancellation
                outcome = Outcome(State.FAILED, message=self._verdict)
        self._end_vigil()
        is_told = self._stopping or self._is_closing()
        is_last = is_told or not self._shall_restart(outcome)
        if is_told:
            self._final = Status.STOPPED
        if loop.time() - began >= self.policy.healthy:
            self._failures = 0
        self._conclude(outcome, is_last)
        if is_last:
            return False
        self._life = self._verdict = None
        self._stop_clock()
        self._take_back_cancels()
        return True

    def _outcome_of(self, error: BaseException) -> Outcome:
        if not isinstance(error, asyncio.CancelledError):
            return Outcome(State.FAILED, None, error, failure_text(error))
        if self._stopping or self._is_closing():
            return Outcome(State.CANCELLED, None, error, _STOPPED)
        if self._life is not None and self._life.cancelled is not None:
            return Outcome(State.CANCELLED, None, error, self._life.cancelled)
        if self._verdict is not None:
            return Outcome(State.FAILED, None, error, self._verdict)
        text = "CancelledError: raised inside, although nobody stopped the service"
        return Outcome(State.FAILED, None, error, text)

    def _shall_restart(self, outcome: Outcome) -> bool:
        """Whether it is called again after *outcome*; if not, sets its final status."""
        policy = self.policy
        if policy.restart is Restart.NEVER:
            return False
        if policy.restart is Restart.ON_FAILURE and outcome.state is not State.FAILED:
            self._final = Status.COMPLETED
            return False
        if policy.max_restarts:
            now = asyncio.get_running_loop().time()
            while self._restarts and now - self._restarts[0] > policy.window:
                self._restarts.popleft()
            if len(self._restarts) >= policy.max_restarts:
                self._final = Status.FAILED
                return False
            self._restarts.append(now)
        return True

    def _conclude(self, outcome: Outcome, is_last: bool) -> None:
        is_failure = outcome.state is State.FAILED
        self._failures = self._failures + 1 if is_failure else 0
        if is_failure:
            self._fail(outcome.message)
        if self._final is Status.FAILED and is_last:
            times = f"{self.policy.max_restarts} restart{'' if self.policy.max_restarts == 1 else 's'}"
            self._fail(f"given up after {times} in {self.policy.window:g} s; last: {outcome.message}")
        if not is_last:
            self._delay = self.policy.wait(self._failures)
            self.next_start = datetime.now(UTC) + timedelta(seconds=self._delay)
            self._set(Status.RESTARTING)
        if self._life is not None:
            self._life.ended(outcome)
        if is_failure:
            _logger.error("service %r failed: %s", self.operation.name, outcome.message, exc_info=outcome.error)
        if self._final is Status.FAILED and is_last:
            _logger.error("service %r is %s", self.operation.name, self.error)

    def _fail(self, error: str | None) -> None:
        self.error, self.failed_at = error, datetime.now(UTC)
        self.failed_run = None if self._life is None else self._life.run

    def _is_closing(self) -> bool:
        """Whether something else cancelled the task, as an event loop does that is being closed."""
        known = self._cancels + (self._life is not None and self._life.cancelled is not None)
        return self._task is not None and self._task.cancelling() > known

    def _take_back_cancels(self) -> None:
        while self._task is not None and self._task.cancelling():
            self._task.uncancel()
        self._cancels = 0

    def _set(self, status: Status) -> None:
        if status is not self.status or status is Status.STARTING:
            self.status = status
            self._changed(self)
