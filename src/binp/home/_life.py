"""One life of a home: from the moment its store is open to the moment it is closed, in order."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from binp.runs import (
    ActiveRun,
    LogCapture,
    OutputCapture,
    Processes,
    Runs,
    Tracing,
    Watchdog,
    cancel_all,
    current_journal,
    current_run,
    drain,
)
from binp.store.contract import Change, Role, Store
from buvar import config, context, di
from buvar.components import Components

from ._grace import LAST, Grace
from ._stores import drop_store, release_store, take_store

if TYPE_CHECKING:
    from ._home import Home

__all__ = ["Life", "clean_copy"]

_logger = logging.getLogger("binp.shutdown")

#: shares of the grace after which the drain is over, what is left is cancelled, and services have stopped
_DRAIN, _CANCEL, _SERVICES = 0.6, 0.75, 0.95
#: seconds of grace where nothing is served
_SHORT_GRACE = 2.0
#: seconds for threads to end that have nothing left to do, and between two looks at them
_THREADS, _TICK = 0.2, 0.002


class Life:
    """What a home has while it is open, on one loop of one process. Made by :meth:`begin`; it is lived once.

    Whatever is done for its end is done by tasks of its own: those who ask for it wait, and may be cancelled, but the
    end goes on. Only when everything on the loop is cancelled, as ``asyncio.run`` does, these tasks are as well; each
    step can be taken again, and the next who asks goes on where it was.
    """

    def __init__(self, home: Home, store: Store, base: contextvars.Context, components: Components) -> None:
        self.loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self.store = store
        #: what tasks of the platform start with; the same object all along
        self.base = base
        #: what dependency injection finds
        self.components = components
        self.runs = Runs(store, home.operations, base, Tracing(home.settings.trace), home.settings.files.bytes)
        self.runs.processes = Processes(store, home.describe, self.runs.files.shelf)
        #: the app is served: this process may lead, and the grace is that of the settings
        self.is_serving = False
        #: nothing new is taken
        self.is_ending = False
        #: nothing runs any more, and the store is being closed
        self.is_over = False
        #: what is in flight is cancelled now
        self.hurried = asyncio.Event()
        self._home = home
        self._given: Components | None = None
        self._application: Any = None
        self._ready = False
        #: says what blocks the loop, while the app is served
        self._watchdog: Watchdog | None = None
        self._grace = Grace(self.runs, self.hurried)
        self._steps: dict[str, asyncio.Task[None]] = {}
        home.ring.open(store.feed)
        self._captures = (OutputCapture(), LogCapture())
        for capture in self._captures:
            capture.install()
        self._unsubscribe = (store.listen(self._changed), store.on_role(self._take_role))
        self._guard: AsyncGenerator[None, None] | None = self._until_loop_ends()

    # -- begin ---------------------------------------------------------------------------------------------------

    @classmethod
    async def begin(cls, home: Home, base: contextvars.Context, components: Components | None) -> Life:
        """Open the store of *home*. To be called by a task that runs in *base*.

        Args:
            home: Whose life it is.
            base: What tasks of the platform start with.
            components: What dependency injection finds; None to take those of *base*, with an application of their own.

        Raises:
            StoreError: the database cannot be opened.
            HomeClosed: it is open on another loop that is still running.
        """
        _ = home.settings  # refused, if they make no sense, before anything is opened
        layers = _layers(home, components or context.current_context())
        context.buvar_context.set(layers)
        await config.prepare()
        application = None
        if components is None:
            application = di.application(layers)
            await application.__aenter__()
        try:
            store = await take_store(home.database, is_guest=home.is_guest)
        except BaseException:
            if application is not None:
                await application.__aexit__(None, None, None)
            raise
        life = cls(home, store, base, layers)
        life._given, life._application = components, application
        if life._guard is not None:
            # asyncio.run and its like close what is left of asynchronous generators before they close the loop
            await life._guard.__anext__()
        return life

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was begun here, and not in a process that this one was forked from."""
        return self._pid == os.getpid()

    def serve(self, components: Components | None) -> None:
        """The app is served from here on, with *components* if there are others; what is in flight goes on."""
        self.is_serving = True
        if self._watchdog is None:
            self._watchdog = Watchdog(self.runs, self.loop)
            self._watchdog.start()
        self._ready = False
        if components is None or components is self._given:
            return
        self._given = components
        # the runs hold the base: it stays, and what is in it becomes another
        for variable, value in clean_copy().items():
            self.base.run(variable.set, value)
        self.components = _layers(self._home, components)
        self.base.run(context.buvar_context.set, self.components)

    def lead(self) -> None:
        """Everything is in place: start what may run only once, if this process owns the database."""
        self._ready = True
        self._take_role(self.store.role)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self._guard is not None:
                self._guard = None
                await self.close()

    def _changed(self, changes: Sequence[Change]) -> None:
        if self.is_over:
            # the last writes of a home that is being closed: everybody who would want to know has been told of the end
            return
        ring = self._home.ring
        if ring.feed != self.store.feed and not self.is_ending:
            # another process has taken the database over, and counts anew: readers are told of a gap
            ring.open(self.store.feed)
        ring.publish(changes)
        self.runs.obey(changes)
        for part in self._home.parts:
            part.changed(changes)

    def _take_role(self, role: Role) -> None:
        if role is Role.OWNER and self._ready and self.is_serving and not self.is_ending:
            self.runs.lead()
            # only what is served knows what the operator wants to keep
            self.store.retain(self._home.retention)
            for part in self._home.parts:
                self.base.run(part.lead)

    # -- end -----------------------------------------------------------------------------------------------------

    def begin_shutdown(self) -> None:
        """Take nothing new, end the streams, and begin to drain. Idempotent; returns at once."""
        if self.is_ending:
            return
        self.is_ending = True
        grace = self._home.settings.grace
        seconds = grace if self.is_serving else min(grace, _SHORT_GRACE)
        self._grace.begin(seconds, is_patient=self.is_serving and self._home.has_patience)
        self._step("drain", self._drain)
        self._say("not ready")
        self._home.ring.close()
        self._say("streams ended")
        self.runs.stop_accepting()
        self._say("claiming stopped")
        for run in self._grace.awaited():
            if run.grace is not None:
                self.loop.call_later(run.grace, self._cancel, run)
        if self._grace.awaited():
            # the next one may come from here on
            self.store.expect_heir()

    def _cancel(self, run: ActiveRun) -> None:
        run.cancel(self._grace.reason(run))

    async def wind_down(self) -> None:
        """Drain, cancel what is left, and stop the services: nothing runs any more, the store is still open."""
        self.begin_shutdown()
        await self._taken("wind down", self._wind_down)

    async def close(self) -> None:
        """Shut down by the list, within the grace: wind down, commit, give back, close."""
        await self._taken("close", self._close)

    def abandon(self) -> None:
        """Let go of everything without a loop: its loop is gone, or the process was forked from that of this life."""
        self.is_over = True
        self._guard = None
        self._uncapture()
        if self.is_of_this_process and self._watchdog is not None:
            self._watchdog.stop()
        if self.is_of_this_process:
            for unsubscribe in self._unsubscribe:
                unsubscribe()
            self.runs.threads.close(0)
            drop_store(self.store)
        # else all that is the parent's, and the store refuses to be used

    async def _drain(self) -> None:
        await self._drained(self._grace.hasty, self._grace.left(_DRAIN))
        self._say("drained")
        left = await cancel_all(self.runs, self._grace.hasty, self._grace.reason, max(0.5, self._grace.left(_CANCEL)))
        self._say(f"cancelled what was left: {len(left)} did not stop" if left else "cancelled what was left")

    async def _wind_down(self) -> None:
        try:
            await self._taken("drain", self._drain)
        except Exception:
            # what comes after it is to be done all the same
            _logger.exception("the runs in flight could not be ended in order")
        for part in reversed(self._home.parts):
            try:
                await part.shut_down(max(0.5, self._grace.left(_SERVICES)))
            except Exception:
                _logger.exception("%r could not be shut down", part)
        self._say("services stopped")
        await self._taken("outlast", self._outlast)

    async def _drained(self, pending: Callable[[], list[ActiveRun]], timeout: float) -> None:
        """Wait until none are *pending*, or a second signal comes."""
        drained = asyncio.ensure_future(drain(pending, timeout))
        hurry = asyncio.ensure_future(self.hurried.wait())
        try:
            await asyncio.wait({drained, hurry}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
            hurry.cancel()

    async def _outlast(self) -> None:
        """Everything else has ended: leave the database to the next process, and wait for what asked for it."""
        if not self._grace.awaited():
            return
        self.store.hand_over()
        self._say("the database is left to the next process")
        while self._grace.awaited():
            self._grace.tell_awaited()
            # what they start meanwhile is told of as well
            await self._drained(self._grace.awaited, 1.0)
        await cancel_all(self.runs, lambda: self.runs.ending, self._grace.reason, LAST)
        self._say("ended what was waited for")

    @property
    def patience(self) -> float:
        """Seconds from now until the grace of the last run that is waited for is over, and it had time to end."""
        return self._grace.patience

    async def _close(self) -> None:
        await self.wind_down()
        failure: Exception | None = None
        try:
            # what it made may still want to write
            await self._taken("leave application", self._leave_application, self.base)
        except Exception as error:  # noqa: BLE001 - raised when the store is closed, which must not be left out
            failure = error
        self.is_over = True
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog.join()
        if not await self._threads_ended():
            _logger.warning("a function that could not be stopped still runs in its thread; it ends with the process")
        try:
            await release_store(self.store)
        except Exception as error:  # noqa: BLE001 - as above
            failure = error
        await self._leave()
        if failure is not None:
            raise failure

    async def _leave_application(self) -> None:
        application, self._application = self._application, None
        if application is not None:
            await application.__aexit__(None, None, None)

    async def _threads_ended(self) -> bool:
        """Whether all threads end within a moment; the loop goes on meanwhile."""
        deadline = self.loop.time() + _THREADS
        while not self.runs.threads.close(0):
            if self.loop.time() > deadline:
                return False
            await asyncio.sleep(_TICK)
        return True

    async def _leave(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._uncapture()
        self._say("records committed, leases given back, store closed")
        self._home.forget(self)
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()

    def _uncapture(self) -> None:
        for capture in self._captures:
            capture.remove()

    # -- steps of the end ----------------------------------------------------------------------------------------

    def _step(
        self, name: str, step: Callable[[], Coroutine[Any, Any, None]], base: contextvars.Context | None = None
    ) -> asyncio.Task[None]:
        """The task that takes a step, made if there is none, or if it was cancelled before it was done."""
        task = self._steps.get(name)
        if task is None or task.cancelled():
            own = self.base.copy() if base is None else base
            task = self._steps[name] = self.loop.create_task(step(), name=f"binp {name}", context=own)
        return task

    async def _taken(
        self, name: str, step: Callable[[], Coroutine[Any, Any, None]], base: contextvars.Context | None = None
    ) -> None:
        """Wait until a step is taken. Whoever waits may be cancelled; the step goes on."""
        while True:
            task = self._step(name, step, base)
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()
                return

    def _say(self, phase: str) -> None:
        _logger.log(logging.INFO if self.is_serving else logging.DEBUG, "shutdown: %s", phase)


def clean_copy() -> contextvars.Context:
    """The running context, outside of any run."""
    base = contextvars.copy_context()
    base.run(current_run.set, None)
    base.run(current_journal.set, None)
    return base


def _layers(home: Home, components: Components) -> Components:
    layers = components.push()
    layers.add(home.source())
    layers.add(home)
    return layers
