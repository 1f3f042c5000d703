"""The stage: load plugins, run their tasks, tear everything down; the same life cycle for every entry point."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from buvar import context, di
from buvar.components import Components
from buvar.plugin._check import tell_misspelt
from buvar.plugin._errors import LoadInterruptedError, LoopRunningError, StageOverError
from buvar.plugin._loader import Loader, Plugin
from buvar.plugin._loop import close_loop, new_loop
from buvar.plugin._signals import Signals
from buvar.plugin._tasks import CANCEL_TIMEOUT, Cancel, TaskRunner, either, settle
from buvar.plugin._teardown import TEARDOWN_TIMEOUT, Teardown

T = TypeVar("T")


class Stage:
    """Loads plugins, runs their tasks, and tears everything down.

    The phases are `load`, `run_tasks` and `run_teardown`; `run` is all three. These block and own the event loop. Each
    has an async counterpart (`aload`, `arun_tasks`, `arun_teardown`, `arun`), and `running` is a context manager around
    a stage whose tasks run in the background. A stage can be used once.

    Args:
        components: Layers on top of the current context; they are never written to.
        loop: The loop of the blocking methods. By default the stage creates one (of uvloop, if it is installed) at the
            first call, and closes it after `run_teardown`.
        signals: The class that handles signals while a blocking method runs in the main thread.
        cancel_timeout: Seconds for tasks that watch `Cancel` to end by themselves.
        fail_fast: Whether the first task that fails starts the shutdown.
        teardown_timeout: Maximum seconds per entry of the teardown.
    """

    def __init__(
        self,
        components: Components | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        signals: type[Signals] | None = None,
        cancel_timeout: float = CANCEL_TIMEOUT,
        *,
        fail_fast: bool = False,
        teardown_timeout: float = TEARDOWN_TIMEOUT,
    ) -> None:
        self._given_loop = loop
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self.cancel = Cancel()
        self.teardown = Teardown(timeout=teardown_timeout)
        base = context.current_context()
        own = (base if components is None else components.over(base)).push()
        #: The context that all plugins and tasks share.
        self.context: Components = own.push()
        self.loader = Loader(self.context, self.cancel)
        self.signals = (signals or Signals)(self)
        for component in (self.cancel, self.teardown, self.loader, self.signals):
            own.add(component)
        #: The result or exception of each task, once they have ended.
        self.results: list[Any] = []
        self._runner = TaskRunner(self.cancel, cancel_timeout=cancel_timeout, fail_fast=fail_fast)
        self._variables: contextvars.Context | None = None
        self._application = di.application(self.context)
        self._loading: asyncio.Task[Any] | None = None
        #: whether the shutdown was requested, and whether that ended the loading
        self._asked = self._interrupted = False
        #: whether the teardown has begun
        self._is_over = False
        #: problems of the configuration that were told
        self._told: set[str] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the blocking methods: the given one, otherwise the stage's own while it exists."""
        return self._given_loop or self._own_loop

    @property
    def failed(self) -> list[tuple[str, BaseException]]:
        """Plugin name and error of each task that has failed so far."""
        return self._runner.failed

    def on_failure(self, observer: Callable[[str, BaseException], object]) -> None:
        """Call *observer* with plugin name and error as soon as a task fails inside `running`."""
        self._runner.observers.append(
            lambda name, error: observer(name, error) if self._runner.block is not None else None
        )

    # -- blocking ------------------------------------------------------------------------------------------------

    def load(self, *plugins: Plugin) -> None:
        """Load plugins; blocking.

        Raises:
            LoopRunningError: an event loop is running in this thread.
            Exception: whatever loading raises.
        """
        loading = self.loader.load(plugins, caller=1)
        try:
            self._call("load", lambda: self._load(loading))
        finally:
            loading.close()

    def run_tasks(self) -> list[Any]:
        """Run the collected tasks until all have ended or `Cancel` is set; blocking. See `arun_tasks`."""
        results = self._call("run_tasks", self._run_tasks)
        self._leave()
        return results

    def run_teardown(self) -> None:
        """Run the teardown, and close the stage's own loop; blocking. See `arun_teardown`."""
        try:
            self._call("run_teardown", self.arun_teardown)
        finally:
            self._close()

    def run(self, *plugins: Plugin) -> list[Any]:
        """Load plugins, run their tasks and tear down; blocking.

        Returns:
            The result or exception of each task, in the order of the plugins and of their tasks.

        Raises:
            LoopRunningError: an event loop is running in this thread.
            StageOverError: the stage was torn down before.
            TeardownError: entries of the teardown failed, and nothing else did.
            SystemExit, KeyboardInterrupt: a task raised it.
            Exception: whatever loading raises.
        """
        return self._run("run", self.loader.load(plugins, caller=1))

    # -- awaited -------------------------------------------------------------------------------------------------

    def aload(self, *plugins: Plugin) -> Coroutine[Any, Any, None]:
        """Load plugins.

        Raises:
            Exception: whatever loading raises; no collected task will run then.
        """
        return self._load(self.loader.load(plugins, caller=1))

    async def arun_tasks(self) -> list[Any]:
        """Run the collected tasks until all have ended or `Cancel` is set.

        Returns:
            The result or exception of each task, in the order of the plugins and of their tasks.

        Raises:
            SystemExit, KeyboardInterrupt: a task raised it.
        """
        results = await self._run_tasks()
        self._leave()
        return results

    async def arun_teardown(self) -> None:
        """Run the teardown: its entries, and the objects that injection made for the whole stage, newest first.

        Raises:
            TeardownError: entries failed; all others still ran.
        """
        await self._tear_down()

    def arun(self, *plugins: Plugin) -> Coroutine[Any, Any, list[Any]]:
        """Load plugins, run their tasks and tear down; see `run`. Does not handle signals."""
        return self._arun(self.loader.load(plugins, caller=1))

    @contextlib.asynccontextmanager
    async def running(self, *plugins: Plugin, signals: bool = False) -> AsyncIterator[Stage]:
        """Load plugins, and run their tasks in the background while the block runs.

        Leaving the block sets `Cancel`, waits for the tasks to end by themselves, cancels the rest and tears down.
        Tasks that end earlier, even all of them, change nothing. When a task or a signal sets `Cancel`, the tasks are
        ended immediately, but the teardown waits until the block is left. Loading and teardown run in a task of their
        own, so the block may be left from another task than the one that entered it.

        Args:
            plugins: The plugins; relative names are not possible.
            signals: Whether to handle signals meanwhile.

        Yields:
            The stage; its `failed` lists the tasks that have failed so far.

        Raises:
            TeardownError: entries of the teardown failed, and nothing else did.
            LoadInterruptedError: a signal ended the stage while plugins were being loaded; it is torn down.
            Exception: whatever loading raises.
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loading = self.loader.load(plugins)
        self._runner.block = asyncio.Event()
        with self.signals.installed(loop) if signals else contextlib.nullcontext():
            life = loop.create_task(self._live(loading, ready), name="buvar.plugin: stage")
            try:
                await either(ready, life, self.cancel_now)
                if not ready.done():
                    self._leave()
                    raise LoadInterruptedError
                yield self
            except BaseException:
                await self._end(life, quiet=True)
                raise
            await self._end(life)
        self._leave()

    # -- from signals ----------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Start the shutdown; plugins that are being loaded and do not watch `Cancel` are cancelled."""
        self.cancel.set()
        self._asked = True
        self._end_loading()

    def cancel_now(self) -> None:
        """Cancel everything immediately: the loading, all tasks, the current entry of the teardown."""
        self._interrupt_loading()
        self._runner.cancel_now()
        self.teardown.hurry()

    def _end_loading(self) -> None:
        if self._asked and self._loading is not None:
            grace = self._runner.cancel_timeout if self.loader.watch.seen else 0.0
            self._loading.get_loop().call_later(grace, self._interrupt_loading)

    def _interrupt_loading(self) -> None:
        if self._loading is not None and not self._interrupted:
            self._interrupted = True
            self._loading.cancel()

    def _run(self, method: str, loading: Coroutine[Any, Any, None]) -> list[Any]:
        try:
            results = self._call(method, lambda: self._live(loading))
        finally:
            loading.close()
            self._close()
        self._leave()
        return results

    # -- the life --------------------------------------------------------------------------------------------------

    async def _arun(self, loading: Coroutine[Any, Any, None]) -> list[Any]:
        try:
            results = await self._live(loading)
        finally:
            loading.close()
        self._leave()
        return results

    async def _live(self, loading: Coroutine[Any, Any, None], ready: asyncio.Future[None] | None = None) -> list[Any]:
        try:
            await self._load(loading)
            if ready is not None and not self._interrupted:
                ready.set_result(None)
            results = await self._run_tasks()
        except (SystemExit, KeyboardInterrupt) as error:
            # raised by the caller after the teardown: inside a task, it would stop the event loop
            self._runner.leaving = error
            results = []
        except BaseException as error:
            with contextlib.suppress(Exception):  # already logged; it must not hide what ended the stage
                await self._tear_down(error)
            raise
        await self.arun_teardown()
        return results

    async def _load(self, loading: Coroutine[Any, Any, None]) -> None:
        task = self._loading = asyncio.current_task()
        self._end_loading()  # a signal may have come before the first step
        try:
            self._check_life()
            await self._open()
            await loading
            self.check_settings()
        except asyncio.CancelledError:
            self.loader.discard()
            if not self._interrupted or task is None or task.uncancel() > 0:
                raise
        except BaseException:
            self.loader.discard()
            raise
        finally:
            self._loading = None
            loading.close()  # if it was cancelled before its first step

    async def _open(self) -> contextvars.Context:
        """The context variables of all tasks, with the plugin context installed and the application scope open."""
        if self._variables is None:
            variables = contextvars.copy_context()
            # in a task of its own, because entering installs the context in the current task
            await asyncio.get_running_loop().create_task(self._application.__aenter__(), context=variables)
            self.teardown.join(self._application)
            self._variables = variables
        return self._variables

    def check_settings(self) -> None:
        """Warn about settings that are most likely misspelt; called when plugins are loaded."""
        tell_misspelt(self.context, self._told)

    def _check_life(self) -> None:
        if self._is_over:
            raise StageOverError

    async def _tear_down(self, error: BaseException | None = None) -> None:
        self._is_over = True
        self.cancel.set()
        self.loader.discard()
        await self.teardown.run(error)

    async def _run_tasks(self) -> list[Any]:
        self._check_life()
        variables = await self._open()
        if self._interrupted:
            self._runner.block = None  # it will never be entered, so it cannot be left
        else:
            self._runner.start(self.loader.take(), variables)
        self.results = await self._runner.wait()
        return self.results

    async def _end(self, life: asyncio.Task[Any], *, quiet: bool = False) -> None:
        if self._runner.block is not None:
            self._runner.block.set()
        self.cancel.set()
        try:
            await settle(life, self.cancel_now)
        except Exception:
            if not quiet:
                raise

    def _leave(self) -> None:
        if self._runner.leaving is not None:
            raise self._runner.leaving

    # -- the loop --------------------------------------------------------------------------------------------------

    def _call(self, method: str, func: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the documented way raises
            raise LoopRunningError(method)
        loop = self.loop
        if loop is None:
            loop = self._own_loop = new_loop()
        with self.signals.installed(loop):
            task = loop.create_task(func(), name=f"buvar.plugin: {method}")
            try:
                return loop.run_until_complete(task)
            except BaseException:
                if not task.done():  # another signal handler raised inside the loop
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        loop.run_until_complete(task)
                raise

    def _close(self) -> None:
        loop, self._own_loop = self._own_loop, None
        if loop is not None and not loop.is_closed():
            close_loop(loop)


def stage(
    *plugins: Plugin,
    components: Components | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    signals: type[Signals] | None = None,
    cancel_timeout: float = CANCEL_TIMEOUT,
    fail_fast: bool = False,
) -> list[Any]:
    """Load plugins, run their tasks until all have ended or a signal ends the process, and tear down.

    INT and TERM start the shutdown. A task that fails is logged at once and does not stop the others.

    Args:
        plugins: Dotted names, modules or functions.
        components: Layers on top of the current context.
        loop: The event loop to use; by default one is created and closed.
        signals: The class that handles the signals, instead of `Signals`.
        cancel_timeout: Seconds for tasks that watch `Cancel` to end by themselves.
        fail_fast: Whether the first task that fails starts the shutdown.

    Returns:
        The result or exception of each task, in the order of the plugins and of their tasks.

    Raises:
        LoopRunningError: an event loop is running in this thread.
        TeardownError: entries of the teardown failed, and nothing else did.
        SystemExit, KeyboardInterrupt: a task raised it.
        Exception: whatever loading raises.
    """
    made = Stage(components, loop, signals, cancel_timeout, fail_fast=fail_fast)
    return made._run("stage", made.loader.load(plugins, caller=1))  # noqa: SLF001 - the same module
