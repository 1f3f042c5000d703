"""One life of a home, from opening its store to closing it, in order."""

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

#: fractions of the grace after which the drain ends, the cancelled runs have ended, and the services have stopped
_DRAIN, _CANCEL, _SERVICES = 0.6, 0.75, 0.95
#: grace in seconds if nothing is served
_SHORT_GRACE = 2.0
#: seconds for idle threads to end, and the polling interval
_THREADS, _TICK = 0.2, 0.002


class Life:
    """What a home has while it is open, on one event loop of one process. Created by :meth:`begin`; used once.

    Each step of its end runs in a task of its own: callers wait for it, and may be cancelled, but the step continues.
    Only if everything on the loop is cancelled, as ``asyncio.run`` does, the steps are cancelled too. Each step can be
    repeated, and the next caller continues where it was.
    """

    def __init__(self, home: Home, store: Store, base: contextvars.Context, components: Components) -> None:
        self.loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self.store = store
        #: the context of the platform's tasks; the same object all the time
        self.base = base
        #: the components for dependency injection
        self.components = components
        self.runs = Runs(store, home.operations, base, Tracing(home.settings.trace), home.settings.files.bytes)
        self.runs.processes = Processes(store, home.describe, self.runs.files.shelf)
        #: the app is served: this process may become the leader, and the grace comes from the settings
        self.is_serving = False
        #: nothing new is accepted
        self.is_ending = False
        #: nothing is running any more, and the store is being closed
        self.is_over = False
        #: set when everything in flight is to be cancelled
        self.hurried = asyncio.Event()
        self._home = home
        self._given: Components | None = None
        self._application: Any = None
        self._ready = False
        #: reports what blocks the event loop, while the app is served
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
        """Open the store of *home*. Must be called by a task that runs in *base*.

        Args:
            home: The home.
            base: The context of the platform's tasks.
            components: The components for dependency injection; None for those of *base*, with a new application scope.

        Raises:
            StoreError: the database cannot be opened.
            HomeClosed: it is open on another event loop that is still running.
        """
        _ = home.settings  # rejects invalid settings before anything is opened
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
            # asyncio.run and similar functions close async generators before they close the loop: that is how its end
            # is noticed
            await life._guard.__anext__()
        return life

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was started in this process, and not in the one from which this one was forked."""
        return self._pid == os.getpid()

    def serve(self, components: Components | None) -> None:
        """The app is served from here on, with *components* if given; what is in flight continues."""
        self.is_serving = True
        if self._watchdog is None:
            self._watchdog = Watchdog(self.runs, self.loop)
            self._watchdog.start()
        self._ready = False
        if components is None or components is self._given:
            return
        self._given = components
        # the runs hold the context object: keep it, and replace its variables
        for variable, value in clean_copy().items():
            self.base.run(variable.set, value)
        self.components = _layers(self._home, components)
        self.base.run(context.buvar_context.set, self.components)

    def lead(self) -> None:
        """Everything is set up: start what may run only once, if this process owns the database."""
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
            # the last writes of a home that is being closed: all readers were told of its end
            return
        ring = self._home.ring
        if ring.feed != self.store.feed and not self.is_ending:
            # another process has taken over the database, and numbers changes anew: readers are told of a gap
            ring.open(self.store.feed)
        ring.publish(changes)
        self.runs.obey(changes)
        for part in self._home.parts:
            part.changed(changes)

    def _take_role(self, role: Role) -> None:
        if role is Role.OWNER and self._ready and self.is_serving and not self.is_ending:
            self.runs.lead()
            # only a served app knows the operator's retention settings
            self.store.retain(self._home.retention)
            for part in self._home.parts:
                self.base.run(part.lead)

    # -- end -----------------------------------------------------------------------------------------------------

    def begin_shutdown(self) -> None:
        """Accept nothing new, end the streams, and start draining. Idempotent; returns immediately."""
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
            # the next process may start from here on
            self.store.expect_heir()

    def _cancel(self, run: ActiveRun) -> None:
        run.cancel(self._grace.reason(run))

    async def wind_down(self) -> None:
        """Drain, cancel the rest, and stop the services. Afterwards nothing is running, and the store is still open."""
        self.begin_shutdown()
        await self._taken("wind down", self._wind_down)

    async def close(self) -> None:
        """Shut down in order, within the grace: wind down, commit, hand over, close."""
        await self._taken("close", self._close)

    def abandon(self) -> None:
        """Drop everything without an event loop: the loop is gone, or belongs to the process that forked this one."""
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
        # otherwise everything belongs to the parent, and the store refuses to be used

    async def _drain(self) -> None:
        await self._drained(self._grace.hasty, self._grace.left(_DRAIN))
        self._say("drained")
        left = await cancel_all(self.runs, self._grace.hasty, self._grace.reason, max(0.5, self._grace.left(_CANCEL)))
        self._say(f"cancelled what was left: {len(left)} did not stop" if left else "cancelled what was left")

    async def _wind_down(self) -> None:
        try:
            await self._taken("drain", self._drain)
        except Exception:
            # the next steps must be done all the same
            _logger.exception("the runs in flight could not be ended in order")
        for part in reversed(self._home.parts):
            try:
                await part.shut_down(max(0.5, self._grace.left(_SERVICES)))
            except Exception:
                _logger.exception("%r could not be shut down", part)
        self._say("services stopped")
        await self._taken("outlast", self._outlast)

    async def _drained(self, pending: Callable[[], list[ActiveRun]], timeout: float) -> None:
        """Wait until nothing is *pending*, or a second signal comes."""
        drained = asyncio.ensure_future(drain(pending, timeout))
        hurry = asyncio.ensure_future(self.hurried.wait())
        try:
            await asyncio.wait({drained, hurry}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
            hurry.cancel()

    async def _outlast(self) -> None:
        """Everything else has ended: hand the database over to the next process, and wait for the awaited runs."""
        if not self._grace.awaited():
            return
        self.store.hand_over()
        self._say("the database is left to the next process")
        while self._grace.awaited():
            self._grace.tell_awaited()
            # repeated, because these runs may start further ones
            await self._drained(self._grace.awaited, 1.0)
        await cancel_all(self.runs, lambda: self.runs.ending, self._grace.reason, LAST)
        self._say("ended what was waited for")

    @property
    def patience(self) -> float:
        """Seconds until the grace of the last awaited run is over, plus the time for it to end."""
        return self._grace.patience

    async def _close(self) -> None:
        await self.wind_down()
        failure: Exception | None = None
        try:
            # objects of the application scope may still write during their teardown
            await self._taken("leave application", self._leave_application, self.base)
        except Exception as error:  # noqa: BLE001 - raised after the store is closed, which must not be skipped
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
        """Whether all threads end within a moment; does not block the event loop."""
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
        """The task of a step; created if there is none, or if it was cancelled before its end."""
        task = self._steps.get(name)
        if task is None or task.cancelled():
            own = self.base.copy() if base is None else base
            task = self._steps[name] = self.loop.create_task(step(), name=f"binp {name}", context=own)
        return task

    async def _taken(
        self, name: str, step: Callable[[], Coroutine[Any, Any, None]], base: contextvars.Context | None = None
    ) -> None:
        """Wait for a step. Callers may be cancelled; the step continues."""
        while True:
            task = self._step(name, step, base)
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()
                return

    def _say(self, phase: str) -> None:
        _logger.log(logging.INFO if self.is_serving else logging.DEBUG, "shutdown: %s", phase)


def clean_copy() -> contextvars.Context:
    """A copy of the running context, outside of any run."""
    base = contextvars.copy_context()
    base.run(current_run.set, None)
    base.run(current_journal.set, None)
    return base


def _layers(home: Home, components: Components) -> Components:
    layers = components.push()
    layers.add(home.source())
    layers.add(home)
    return layers
