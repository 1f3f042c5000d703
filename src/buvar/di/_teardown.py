"""Finish what generators have opened: in reverse, each of them, with the error that ended their scope thrown in."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeAlias

from buvar.names import fqdn

#: A generator that has yielded its value, or a context manager that was entered.
Opened: TypeAlias = (
    AsyncGenerator[Any, Any]
    | Generator[Any, Any, Any]
    | AbstractAsyncContextManager[Any, Any]
    | AbstractContextManager[Any, Any]
)

logger = logging.getLogger("buvar.di")


async def finish_all(opened: list[Opened], error: BaseException | None) -> list[BaseException]:
    """Finish everything in *opened*, the last one first, and empty the list.

    What is thrown in is *error*, or the first error of another teardown when there was none before.

    Returns:
        What went wrong, in the order of happening; *error* is not part of it.
    """
    failed: list[BaseException] = []
    while opened:
        one = opened.pop()
        if error is None and not failed and type(one) is AsyncGeneratorType:
            # what happens nearly always, without the detour
            try:
                await one.__anext__()
            except StopAsyncIteration:
                continue
            except BaseException as problem:  # noqa: BLE001 - the others are finished first; then it is raised
                failed.append(problem)
            else:
                failed.append(await _refuse_second(one))
            continue
        thrown = error if error is not None else next(iter(failed), None)
        traceback = thrown.__traceback__ if thrown is not None else None
        try:
            await _finish(one, thrown)
        except BaseException as problem:  # noqa: BLE001 - the others are finished first; then it is raised
            if problem is not thrown and not _is_wrapped(problem, thrown):
                failed.append(problem)
        if thrown is not None:
            # each generator that it went through has left its frames there
            thrown.__traceback__ = traceback
    return failed


def settle(failed: list[BaseException], error: BaseException | None, title: str) -> None:
    """Raise what has to be raised after all teardowns, so that no error hides an earlier one.

    With *error*, nothing is raised here: it stays what it is, each failed teardown is logged and becomes a note on it.
    Without, a single failure is raised as it is and several as one group; but what is no `Exception` (a cancellation,
    an interrupt) is raised itself, the other failures logged and noted on it.
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


async def _finish(one: Any, error: BaseException | None) -> None:
    kind = type(one)
    if kind is AsyncGeneratorType:
        try:
            await (anext(one) if error is None else one.athrow(error))
        except StopAsyncIteration:
            return
        raise await _refuse_second(one)
    if kind is GeneratorType:
        try:
            if error is None:
                next(one)
            else:
                one.throw(error)
        except StopIteration:
            return
        one.close()
        raise RuntimeError(f"{fqdn_of(one)} yielded a second time instead of ending")
    details = (None, None, None) if error is None else (type(error), error, error.__traceback__)
    if hasattr(one, "__aexit__"):
        await one.__aexit__(*details)
    else:
        one.__exit__(*details)


async def _refuse_second(generator: Any) -> BaseException:
    """Close a generator that has yielded again; the error of that."""
    try:
        await generator.aclose()
    except BaseException as problem:  # noqa: BLE001 - raised by those who called
        return problem
    return RuntimeError(f"{fqdn_of(generator)} yielded a second time instead of ending")


def _is_wrapped(problem: BaseException, thrown: BaseException | None) -> bool:
    """Whether Python itself turned a thrown ``StopIteration`` into a RuntimeError, as generators must not raise it."""
    return (
        isinstance(thrown, StopIteration | StopAsyncIteration)
        and isinstance(problem, RuntimeError)
        and problem.__cause__ is thrown
    )


def fqdn_of(generator: Any) -> str:
    """What a generator is called."""
    return str(getattr(generator, "__qualname__", None) or fqdn(generator)).replace("<locals>.", "")
