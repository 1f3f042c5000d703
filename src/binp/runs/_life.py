"""Execute a function as a run, and determine its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from types import CoroutineType
from typing import Any

from binp.errors import BinpError
from binp.operations import as_text, is_async, shorten
from binp.store.contract import Ack, EndRun, State, StoreError, value
from buvar import di
from buvar.errors import Explained

from ._active import MESSAGE_LIMIT, ActiveRun, now
from ._errors import CallFailed
from ._kept import Acknowledged
from ._stopping import tell_late
from ._threads import Threads, call_function
from ._traceback import traceback_of

__all__ = [
    "Outcome",
    "RunTimedOut",
    "Trigger",
    "awaited",
    "end_of",
    "execute",
    "kind_of",
    "missing",
    "outcome_of",
    "settle",
    "text_of",
]

#: maximum seconds for the teardown of injected dependencies
TEARDOWN_LIMIT = 30.0

#: longer results are truncated, in characters
RESULT_LIMIT = 1024 * 1024

_logger = logging.getLogger("binp.runs")


class RunTimedOut(BinpError, TimeoutError):
    """A function took longer than the timeout of its action.

    Attributes:
        seconds: The timeout.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:g} s")
        self.seconds = seconds


@value(frozen=True, slots=True)
class Trigger:
    """What started a run, and who."""

    #: ``console``, ``api``, ``cli``, ``call``, ``schedule`` or ``service``
    kind: str
    #: who, if known
    actor: str | None = None


@value(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    state: State
    value: Any = None
    error: BaseException | None = None
    #: message for the history; never empty unless the run succeeded
    message: str | None = None


def text_of(error: BaseException) -> str:
    """Type and message of an exception, for the history. Never raises."""
    if isinstance(error, CallFailed):
        return error.what
    kind = type(error).__name__
    # the place and the fix are in the traceback
    text = error.what if isinstance(error, Explained) else as_text(error)
    return f"{kind}: {text}" if text else kind


def outcome_of(run: ActiveRun, error: BaseException) -> Outcome:
    """The outcome for an exception that the function raised: a cancellation that nobody requested is a failure."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if run.cancel_requested or (task is not None and task.cancelling()):
            return Outcome(State.CANCELLED, None, error, run.cancel_reason)
        return Outcome(State.FAILED, None, error, "CancelledError: raised inside, although nobody cancelled the run")
    return Outcome(State.FAILED, None, error, run.hide(text_of(error)))


def awaited(outcome: Outcome) -> Outcome:
    """*outcome*, or a failure if the result is a coroutine that was never awaited and so not executed."""
    if type(outcome.value) is not CoroutineType:
        return outcome
    name = outcome.value.__qualname__
    outcome.value.close()
    error = BinpError(
        f"it gave back {name}(...), which nobody awaited: that was not executed", fix=f"await {name}(...)"
    )
    return Outcome(State.FAILED, None, error, text_of(error))


def end_of(run: ActiveRun, outcome: Outcome) -> EndRun:
    """The write that ends *run*."""
    error, message = outcome.error, outcome.message
    is_skipped = outcome.state is State.SKIPPED
    has_result = outcome.state is State.SUCCEEDED and outcome.value is not None
    return EndRun(
        id=run.id,
        epoch=run.epoch,
        state=outcome.state,
        at=now(),
        duration=0 if is_skipped else run.duration,
        result=run.json_of(outcome.value, RESULT_LIMIT) if has_result else None,
        error_type=None if error is None else kind_of(error),
        error=None if message is None else shorten(run.hide(message), MESSAGE_LIMIT),
        traceback=None if error is None or outcome.state is not State.FAILED else traceback_of(error, run),
        attempt=run.attempt if run.attempt > 1 else None,
        journal=run.journal,
    )


def kind_of(error: BaseException) -> str:
    """Name of the type of an exception, for the history."""
    return error.kind if isinstance(error, CallFailed) else type(error).__qualname__


def missing(run: ActiveRun, error: StoreError) -> None:
    """Log that the row of *run* could not be written."""
    text = "the run of %r is missing in the history; it is executed all the same"
    _logger.error(text, run.operation, exc_info=error)


async def settle(ack: Ack[Any] | Acknowledged) -> Any:
    """Await *ack* to its end, even if cancelled meanwhile; the cancellation is raised afterwards."""
    try:
        return await ack
    except asyncio.CancelledError:
        waiting = asyncio.ensure_future(_await(ack))
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError:
                # only the first cancellation is raised, below; the end of a run must be written
                continue
        if (error := waiting.exception()) is not None:
            _logger.log(logging.ERROR, "what was to be written before a cancellation was not", exc_info=error)
        raise


async def execute(
    run: ActiveRun,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    injected: Collection[str],
    threads: Threads,
    timeout: float | None = None,
) -> Outcome:
    """Call *function* in a scope of dependency injection, and tear the scope down in any case.

    An exception of the function is thrown into the generators of the scope. A failing teardown turns success into
    failure, but never replaces an earlier error. Cancellation is not delivered during the teardown.

    Args:
        run: The run.
        function: The function to call.
        args: Positional arguments.
        kwargs: Keyword arguments; may include injected parameters.
        injected: Names of the parameters to inject.
        threads: Calls a sync function.
        timeout: Maximum seconds for the function, without its dependencies.
    """
    if not injected or all(name in kwargs for name in injected):
        try:
            if timeout is None and is_async(function):
                return Outcome(State.SUCCEEDED, await function(*args, **kwargs))
            return Outcome(State.SUCCEEDED, await _call(run, function, args, kwargs, threads, timeout))
        except GeneratorExit:
            # the coroutine is being closed: nothing can be awaited any more, not even the write of an end
            raise
        except BaseException as error:  # noqa: BLE001 - becomes the outcome, where it is reported
            return outcome_of(run, error)
        finally:
            run.shield()
    scope = di.scope()
    opened = await scope.__aenter__()
    outcome: Outcome
    try:
        provided = await opened.provide(function, skip=tuple(kwargs))
        run.conceal(provided.values())
        value = await _call(run, function, args, {**kwargs, **provided}, threads, timeout)
        outcome = Outcome(State.SUCCEEDED, value)
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - becomes the outcome, where it is reported
        outcome = outcome_of(run, error)
    run.shield()
    return await _tear_down(run, scope, outcome)


async def _tear_down(run: ActiveRun, scope: di.Scope, outcome: Outcome) -> Outcome:
    error = outcome.error
    torn: list[BaseException] = []
    try:
        async with asyncio.timeout(TEARDOWN_LIMIT):
            await scope.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
    except BaseException as raised:  # noqa: BLE001 - becomes the outcome or a record, where it is reported
        if error is None:
            failed = outcome_of(run, raised)
            return Outcome(State.FAILED, None, raised, f"while closing what was injected: {failed.message}")
        if raised is not error:
            torn.append(raised)
    for one in (*scope.teardown_errors, *torn) if error is not None else ():
        run.record(
            f"closing what was injected failed as well: {type(one).__name__}: {as_text(one)}",
            {"traceback": traceback_of(one, run)},
            level="error",
        )
    return outcome


async def _call(
    run: ActiveRun,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    threads: Threads,
    timeout: float | None,
) -> Any:
    if not is_async(function):
        return await _call_in_thread(run, function, args, kwargs, threads, timeout)
    if timeout is None:
        return await function(*args, **kwargs)
    started = time.monotonic()
    try:
        # a thread that it waits for asks whether it has to end, and cannot be cancelled
        with _late_after(run, timeout, tell_late, run):
            async with asyncio.timeout(timeout) as limit:
                value = await function(*args, **kwargs)
    except TimeoutError:
        if limit.expired():
            raise RunTimedOut(timeout) from None
        raise
    if limit.expired() or time.monotonic() - started > timeout:
        # it suppressed its cancellation, or blocked the event loop that would have delivered it
        if type(value) is CoroutineType:
            value.close()
        raise RunTimedOut(timeout)
    return value


async def _call_in_thread(
    run: ActiveRun,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    threads: Threads,
    timeout: float | None,
) -> Any:
    def begin(*given: Any, **named: Any) -> Any:
        # a thread cannot be stopped: once it has started, a request to cancel is remembered until it returns
        return function(*given, **named) if run.shield() else None

    started = time.monotonic()
    with _late_after(run, timeout, _be_late, run, timeout):
        value = await call_function(begin, args, kwargs, threads)
    if timeout is not None and time.monotonic() - started > timeout:
        raise RunTimedOut(timeout)
    if run.has_heard and run.cancel_requested:
        # it ended early because it was told to: its result is not a complete one
        raise asyncio.CancelledError
    return value


@contextlib.contextmanager
def _late_after(run: ActiveRun, timeout: float | None, tell: Callable[..., None], *args: Any) -> Iterator[None]:
    """Call ``tell(*args)`` if the block, one attempt of *run*, takes longer than *timeout* seconds."""
    run.is_late = run.has_heard = False
    timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, tell, *args)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def _be_late(run: ActiveRun, timeout: float) -> None:
    text = f"it takes longer than {timeout:g} s; a thread cannot be stopped, so its end is waited for"
    run.record(text, {}, level="warning")
    tell_late(run)


async def _await(ack: Ack[Any] | Acknowledged) -> Any:
    return await ack
