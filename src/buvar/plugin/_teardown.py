"""Close everything at the end, strictly in reverse order, together with what injection opened."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

from buvar import di
from buvar.names import fqdn
from buvar.plugin._errors import TeardownError
from buvar.plugin._tasks import discard

T = TypeVar("T")
E = TypeVar("E", bound="Awaitable[Any] | Callable[[], Any]")

#: Maximum seconds per entry.
TEARDOWN_TIMEOUT: Final = 30.0

_log = logging.getLogger("buvar.plugin")


class Entry(contextlib.AbstractAsyncContextManager[None]):
    """One thing to close, in the form that the list of an application holds.

    Args:
        teardown: The teardown that it belongs to.
        name: Its name in logs.
        entry: The awaitable or the callable.
    """

    def __init__(self, teardown: Teardown, name: str, entry: Awaitable[Any] | Callable[[], Any]) -> None:
        self._teardown = teardown
        self.name = name
        self.entry = entry

    async def __aexit__(self, *details: object) -> None:
        await self._teardown.close(self)


class Teardown:
    """What a stage closes at its end: one entry after the other, the newest first.

    Objects that injection made for the whole application have their place in the same order, by the time at which they
    were made: whatever existed before an entry was added still exists when the entry runs. Each entry runs, even if
    others fail. Failures are logged at once, and raised together at the end.

    Args:
        timeout: Maximum seconds per entry before it is cancelled.
    """

    def __init__(self, *, timeout: float = TEARDOWN_TIMEOUT) -> None:
        self.timeout = timeout
        self._opened: list[Any] = []
        self._application: di.Application | None = None
        self._errors: list[Exception] = []
        self._cancelled: asyncio.CancelledError | None = None
        self._task: asyncio.Task[Any] | None = None
        self._hurries = 0

    def add(self, entry: E, /) -> E:
        """Register an awaitable, or a callable that may return one.

        Returns:
            The entry, so that this can be used as a decorator.

        Raises:
            TypeError: it is neither.
        """
        if not callable(entry) and not inspect.isawaitable(entry):
            raise TypeError(f"{entry!r} can neither be awaited nor called")
        self._opened.append(Entry(self, getattr(entry, "__qualname__", None) or fqdn(entry), entry))
        return entry

    @overload
    async def enter(self, manager: contextlib.AbstractAsyncContextManager[T, Any], /) -> T: ...
    @overload
    async def enter(self, manager: contextlib.AbstractContextManager[T, Any], /) -> T: ...
    async def enter(self, manager: Any, /) -> Any:
        """Enter a context manager now, and exit it in the teardown.

        Args:
            manager: An async or sync context manager.

        Returns:
            The result of entering it.

        Raises:
            TypeError: it is neither.
        """
        stack = contextlib.AsyncExitStack()
        if hasattr(type(manager), "__aenter__"):
            entered = await stack.enter_async_context(manager)
        else:
            entered = stack.enter_context(manager)
        self._opened.append(Entry(self, fqdn(type(manager)), stack.aclose))
        return entered

    def join(self, application: di.Application) -> None:
        """Share one order with what *application* opens; `run` closes that too."""
        application.opened[:0] = self._opened
        self._opened = application.opened
        self._application = application

    async def run(self, error: BaseException | None = None) -> None:
        """Close everything, the newest first; entries added meanwhile run next.

        Args:
            error: What started the shutdown; generators of injection see it at their ``yield``.

        Raises:
            TeardownError: entries failed; it holds all errors.
            asyncio.CancelledError: the caller was cancelled; the current entry was cancelled with it, the others ran.
        """
        task = self._task = asyncio.current_task()
        watchdog = asyncio.get_running_loop().create_task(self._watch(), name="buvar.plugin: teardown")
        try:
            await self._close_all(error)
        finally:
            self._task = None
            watchdog.cancel()
        self._conclude(task)

    def _conclude(self, task: asyncio.Task[Any] | None) -> None:
        """Undo the cancellations that only hurried, and raise the errors."""
        errors, self._errors = self._errors, []
        cancelled, self._cancelled = self._cancelled, None
        while task is not None and self._hurries:
            self._hurries -= 1
            task.uncancel()
        if cancelled is not None and task is not None and task.cancelling():
            raise cancelled
        if errors:
            raise TeardownError(errors)

    async def _close_all(self, error: BaseException | None) -> None:
        application, self._application = self._application, None
        try:
            if application is not None:
                await application.__aexit__(
                    type(error) if error else None, error, error.__traceback__ if error else None
                )
            while self._opened:
                await self._opened.pop().__aexit__(None, None, None)
        except asyncio.CancelledError as cancelled:
            self._cancelled = cancelled
            failed_as_well = () if application is None else application.teardown_errors
            self._errors += [each for each in failed_as_well if isinstance(each, Exception)]
        except Exception as failed:  # noqa: BLE001 - logged, and raised together with the others
            inner = failed.exceptions if isinstance(failed, ExceptionGroup) else (failed,)
            for each in inner:
                _log.error("The teardown of a dependency failed", exc_info=each)
            self._errors += inner

    async def close(self, entry: Entry) -> None:
        """Run one entry; store its exception for the end."""
        try:
            await self._bounded(entry.entry)
        except asyncio.CancelledError as error:
            self._cancelled = error
            _log.error("The teardown entry %s was cancelled", entry.name)
        except Exception as error:  # noqa: BLE001 - logged, and raised together with the others
            _log.exception("The teardown entry %s failed", entry.name)
            self._errors.append(error)

    async def _bounded(self, entry: Awaitable[Any] | Callable[[], Any]) -> None:
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                result = entry() if callable(entry) else entry
                if inspect.isawaitable(result):
                    await result
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"took longer than {self.timeout:g} seconds") from None

    def hurry(self) -> None:
        """Cancel the entry that is being closed; the next one follows."""
        if self._task is not None:
            self._hurries += 1
            self._task.cancel()

    async def _watch(self) -> None:
        """Hurry what has no time limit of its own: generators of injection."""
        while True:
            left = len(self._opened)
            await asyncio.sleep(self.timeout + 1)
            if len(self._opened) == left:
                error = TimeoutError(f"a dependency took longer than {self.timeout:g} seconds to close")
                _log.error("The teardown of a dependency failed", exc_info=error)
                self._errors.append(error)
                self.hurry()

    def discard(self) -> None:
        """Forget all entries without running them; coroutines among them are closed."""
        for entry in [each for each in self._opened if isinstance(each, Entry)]:
            self._opened.remove(entry)
            discard(entry.entry)

    def __del__(self) -> None:
        self.discard()
