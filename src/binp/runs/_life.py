"""How a function is executed as a run, and what comes of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binp.errors import BinpError
from binp.operations import as_json, as_text, is_async
from binp.store.contract import Ack, EndRun, State
from buvar import di

from ._active import ActiveRun, now
from ._threads import Threads

__all__ = ["Outcome", "Trigger", "end_of", "execute", "outcome_of", "settle"]

#: seconds that the teardown of injected dependencies may take
TEARDOWN_LIMIT = 30.0

_PLATFORM = str(Path(__file__).parent.parent)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What started a run, and who."""

    #: ``console``, ``api``, ``cli``, ``call``, ``schedule`` or ``service``
    kind: str
    #: as far as is known
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    state: State
    value: Any = None
    error: BaseException | None = None
    #: text for the history; never empty unless it succeeded
    message: str | None = None


def outcome_of(run: ActiveRun, error: BaseException) -> Outcome:
    """What an exception that left the function means: a cancellation that nobody asked for is a failure."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if run.cancel_requested or (task is not None and task.cancelling()):
            return Outcome(State.CANCELLED, None, error, run.cancel_reason)
        return Outcome(State.FAILED, None, error, "CancelledError: raised inside, although nobody cancelled the run")
    kind = type(error).__name__
    try:
        text = error.what if isinstance(error, BinpError) else str(error)
    except Exception as broken:  # noqa: BLE001 - an exception's own __str__ may raise anything; history must not break on it
        text = f"(its text raised {type(broken).__name__})"
    return Outcome(State.FAILED, None, error, f"{kind}: {text}" if text else kind)


def end_of(run: ActiveRun, outcome: Outcome) -> EndRun:
    """The write that ends *run*."""
    error = outcome.error
    return EndRun(
        id=run.id,
        epoch=run.epoch,
        state=outcome.state,
        at=now(),
        duration=run.duration,
        result=None if outcome.state is not State.SUCCEEDED or outcome.value is None else as_json(outcome.value),
        error_type=None if error is None else type(error).__qualname__,
        error=outcome.message,
        traceback=None if error is None or outcome.state is not State.FAILED else _traceback(error),
        journal=run.journal,
    )


async def settle(ack: Ack[Any]) -> Any:
    """Await *ack* to its end even when cancelled meanwhile; the cancellation is raised afterwards."""
    try:
        return await ack
    except asyncio.CancelledError:
        waiting = asyncio.ensure_future(_await(ack))
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError:
                # the first one is raised below; the end of a run is not given up for more of them
                continue
        waiting.result()
        raise


async def execute(
    run: ActiveRun, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: Threads
) -> Outcome:
    """Call *function* in a scope of dependency injection, and tear that down whatever happened.

    The exception that left the function is thrown into the generators of the scope. A teardown that fails turns success
    into failure and never replaces an earlier error. Cancellation is not delivered while tearing down.
    """
    wanted = [name for name in di.injected(function) if name not in kwargs]
    if not wanted:
        try:
            return Outcome(State.SUCCEEDED, await _call(run, function, args, kwargs, threads))
        except BaseException as error:  # noqa: BLE001 - becomes the outcome, which is where it is reported
            return outcome_of(run, error)
        finally:
            run.shield()
    scope = di.scope()
    opened = await scope.__aenter__()
    outcome: Outcome
    try:
        provided = await opened.provide(function, skip=tuple(kwargs))
        outcome = Outcome(State.SUCCEEDED, await _call(run, function, args, {**kwargs, **provided}, threads))
    except BaseException as error:  # noqa: BLE001 - becomes the outcome, which is where it is reported
        outcome = outcome_of(run, error)
    run.shield()
    return await _tear_down(run, scope, outcome)


async def _tear_down(run: ActiveRun, scope: di.Scope, outcome: Outcome) -> Outcome:
    error = outcome.error
    torn: list[BaseException] = []
    try:
        async with asyncio.timeout(TEARDOWN_LIMIT):
            await scope.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
    except BaseException as raised:  # noqa: BLE001 - becomes the outcome or a record, which is where it is reported
        if error is None:
            failed = outcome_of(run, raised)
            return Outcome(State.FAILED, None, raised, f"while closing what was injected: {failed.message}")
        if raised is not error:
            torn.append(raised)
    for one in (*scope.teardown_errors, *torn) if error is not None else ():
        run.record(
            f"closing what was injected failed as well: {type(one).__name__}: {as_text(one)}",
            {"traceback": _traceback(one)},
            level="error",
        )
    return outcome


async def _call(
    run: ActiveRun, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: Threads
) -> Any:
    if is_async(function):
        return await function(*args, **kwargs)
    # a thread cannot be stopped: a request to cancel is remembered until it comes back
    run.shield()
    return await threads.run(lambda: function(*args, **kwargs))


async def _await(ack: Ack[Any]) -> Any:
    return await ack


def _traceback(error: BaseException) -> str:
    """The traceback from the user's first line on: how the platform got there helps nobody."""
    frames = error.__traceback__
    while (
        frames is not None and frames.tb_frame.f_code.co_filename.startswith(_PLATFORM) and frames.tb_next is not None
    ):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
