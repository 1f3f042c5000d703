"""Close generators and context managers in reverse order, throwing in the error that ended their scope."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final, TypeAlias

#: A generator that has yielded its value, or a context manager that was entered.
Opened: TypeAlias = (
    AsyncGenerator[Any, Any]
    | Generator[Any, Any, Any]
    | AbstractAsyncContextManager[Any, Any]
    | AbstractContextManager[Any, Any]
)

logger = logging.getLogger("buvar.di")

#: What `anext` returns for a generator that has ended.
ENDED: Final = object()


async def finish_all(opened: list[Opened], error: BaseException | None) -> list[BaseException]:
    """Close everything in *opened*, the last one first, and empty the list.

    *error* is thrown into each; if there is none, the first error of an earlier teardown is.

    Returns:
        The errors of the teardowns in chronological order; *error* is not included.
    """
    failed: list[BaseException] = []
    while opened:
        one = opened.pop()
        try:
            if error is not None or failed:
                await _throw(one, failed[0] if error is None else error)
            elif type(one) is AsyncGeneratorType:
                # a default is several times cheaper than catching StopAsyncIteration
                if await anext(one, ENDED) is not ENDED:
                    failed.append(await yielded_again(one))
            elif type(one) is GeneratorType:
                if next(one, ENDED) is not ENDED:
                    failed.append(await yielded_again(one))
            else:
                await leave(one, None)
        except BaseException as problem:  # noqa: BLE001 - raised after the others are closed
            failed.append(problem)
    return failed


def settle(failed: list[BaseException], error: BaseException | None, title: str) -> None:
    """Raise the errors of teardowns, so that no error hides an earlier one.

    With *error*, nothing is raised here: each teardown error is logged and added as a note to *error*. Without it, a
    single teardown error is raised as it is, several as one group. But if one is not an `Exception` (a cancellation or
    an interrupt), that one is raised, and the others are logged and added to it as notes.
    """
    if not failed:
        return
    first = error or next((problem for problem in failed if not isinstance(problem, Exception)), None)
    if first is not None:
        for problem in failed:
            if problem is not first:
                first.add_note(f"teardown in {title} failed as well: {type(problem).__name__}: {problem}")
                logger.error("teardown in %s failed", title, exc_info=problem)
        if error is None:
            raise first
        return
    if len(failed) == 1:
        raise failed[0]
    raise BaseExceptionGroup(f"{len(failed)} teardowns in {title} failed", failed)


async def _throw(one: Any, error: BaseException) -> None:
    """Throw *error* in; it is not a failure if the same error comes out again."""
    traceback = error.__traceback__
    try:
        if type(one) is AsyncGeneratorType:
            await one.athrow(error)
            raise await yielded_again(one)
        if type(one) is GeneratorType:
            one.throw(error)
            raise await yielded_again(one)
        await leave(one, error)
    except (StopAsyncIteration, StopIteration):
        return
    except BaseException as problem:
        if problem is not error and not _is_wrapped(problem, error):
            raise
    finally:
        # each generator that it passed through has added its frames
        error.__traceback__ = traceback


async def leave(one: Any, error: BaseException | None) -> None:
    """Exit a context manager, with *error* if there is one."""
    details = (None, None, None) if error is None else (type(error), error, error.__traceback__)
    if hasattr(one, "__aexit__"):
        await one.__aexit__(*details)
    else:
        one.__exit__(*details)


async def yielded_again(generator: Any) -> BaseException:
    """Close a generator that has yielded a second time; returns the error for that, or that of closing it."""
    try:
        if type(generator) is AsyncGeneratorType:
            await generator.aclose()
        else:
            generator.close()
    except BaseException as problem:  # noqa: BLE001 - raised by the caller
        return problem
    name = str(generator.__qualname__).replace("<locals>.", "")
    return RuntimeError(f"{name} yielded a second time instead of ending")


def _is_wrapped(problem: BaseException, thrown: BaseException) -> bool:
    """Whether Python turned a thrown ``StopIteration`` into a RuntimeError, which it does in generators."""
    return (
        isinstance(thrown, StopIteration | StopAsyncIteration)
        and isinstance(problem, RuntimeError)
        and problem.__cause__ is thrown
    )
