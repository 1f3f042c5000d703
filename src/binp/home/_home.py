"""The life of a home: open, attach, shut down in order."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol

from binp.errors import BinpError
from binp.events import Ring
from binp.operations import Operations
from binp.runs import OutputCapture, Runs, current_journal, current_run
from binp.settings import Settings, read_source
from binp.store.contract import Change, Role, Store, StoreClosed
from buvar import config, context, di
from buvar.components import Components

from ._stores import HomeClosed, drop_store, name_of, release_store, take_store

__all__ = ["DifferentDatabases", "Home", "Part"]

_logger = logging.getLogger("binp.shutdown")

#: shares of the grace after which the drain is over, what is left is cancelled, and services have stopped
_DRAIN, _CANCEL, _SERVICES = 0.6, 0.75, 0.95


class DifferentDatabases(BinpError):
    """Parts of one BINP are bound to different databases."""


class Part(Protocol):
    """What a feature may want to know of the life of its home. All are called on the loop, in its base context."""

    def opened(self) -> None:
        """The store is open."""

    def lead(self) -> None:
        """This process leads from here on: what may run only once runs here. Only where the app is served."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Changes were committed."""

    async def shut_down(self, timeout: float) -> None:
        """End what it runs, within *timeout* seconds."""


class Home:
    """What the parts of one BINP share: settings, store, changes, operations, runs and the base context.

    It opens at the first ``await`` of a part, or when the app is served, and closes with the loop it was opened on, or
    when the serving ends. Making one opens nothing: no file, no thread, no socket, no environment variable.

    Args:
        db: URL or path of the database, a store, or None for the setting.
        config: Path of a TOML or JSON file.
    """

    def __init__(self, *, db: str | Store | None = None, config: str | os.PathLike[str] | None = None) -> None:
        self.operations = Operations()
        self.ring: Ring[Change] = Ring()
        #: settings that win over configuration file and environment
        self.overrides: dict[str, Any] = {}
        #: the facade was asked for its FastAPI application: then services belong to its lifespan
        self.has_app = False
        self._db = db
        #: path of the configuration file
        self.config = config
        self._parts: list[Part] = []
        self._settings: Settings | None = None
        self._store: Store | None = None
        self._runs: Runs | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Future[None] | None = None
        self._guard: AsyncGenerator[None, None] | None = None
        self._closers: list[Callable[[], Any]] = []
        self._application: Any = None
        self._drain: asyncio.Task[None] | None = None
        self._hurry: asyncio.Event | None = None
        self._deadline = 0.0
        self._serving = False
        self._ready = False
        self._wound_down = False
        self.base = contextvars.Context()
        self.components: Components | None = None

    def attach(self, part: Part, db: str | Store | None = None) -> None:
        """Let *part* take part in this life; *db* is the database it was bound to by its maker.

        Raises:
            DifferentDatabases: another part is bound to another database.
        """
        self.share_database(db)
        self._parts.append(part)

    def share_database(self, db: str | Store | None) -> None:
        """Use *db*, unless it is None.

        Raises:
            DifferentDatabases: another part is bound to another database.
        """
        if db is None:
            return
        if self._db is not None and name_of(db) != name_of(self._db):
            raise DifferentDatabases(
                f"parts of one BINP are bound to different databases: {name_of(self._db)} and {name_of(db)}",
                fix="give them the same db, or leave it out of all but one",
            )
        self._db = db

    # -- what is shared ------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._store is not None

    @property
    def is_serving(self) -> bool:
        """Whether the app is being served, and not shutting down."""
        return self._serving and self._drain is None

    @property
    def settings(self) -> Settings:
        """The settings; read when first asked for."""
        if self._settings is None:
            source = self.source()
            overrides = dict(self.overrides)
            if isinstance(self._db, str):
                overrides.setdefault("db", self._db)
            self._settings = Settings.load(source, overrides)
        return self._settings

    def source(self) -> config.ConfigSource:
        """The configuration source of this BINP."""
        return read_source(self.config)

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            StoreClosed: it is not open.
        """
        if self._store is None:
            raise StoreClosed("this BINP is not open", fix="await one of its parts first, or serve its app")
        return self._store

    @property
    def runs(self) -> Runs:
        """The runs of this process.

        Raises:
            StoreClosed: the store is not open.
        """
        if self._runs is None:
            raise StoreClosed("this BINP is not open", fix="await one of its parts first, or serve its app")
        return self._runs

    def context(self) -> contextvars.Context:
        """A context for a task that the platform owns: never that of whoever happened to start it."""
        return self.base.copy() if self.is_open else _clean_copy()

    # -- open ----------------------------------------------------------------------------------------------------

    async def ensure(self) -> Home:
        """Open, if that was not done on this loop already."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._store is not None:
            return self
        if self._opening is not None and self._opening.get_loop() is loop:
            await asyncio.shield(self._opening)
            return self
        await self.open()
        return self

    async def open(self, components: Components | None = None, *, serving: bool = False) -> None:
        """Open the store and take up work.

        Args:
            components: What dependency injection finds; the current context by default.
            serving: The app is served: this process may lead, and shuts down by the list.

        Raises:
            StoreError: the database cannot be opened; the message says why.
            HomeClosed: it is open on another loop that is still running.
        """
        loop = asyncio.get_running_loop()
        self._leave_dead_loop(loop)
        self._opening = loop.create_future()
        try:
            await self._open(loop, components, serving)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._opening.set_exception(error)
                self._opening.exception()
            else:
                self._opening.cancel()
            self._opening = None
            raise
        self._opening.set_result(None)
        self._opening = None
        for part in self._parts:
            self.base.run(part.opened)

    def lead(self) -> None:
        """Everything is in place: from here on services and schedules run here, if this process owns the database."""
        self._ready = True
        self._lead(self.store.role)

    async def _open(self, loop: asyncio.AbstractEventLoop, components: Components | None, serving: bool) -> None:
        source = self.source()
        self.components = (components or context.current_context()).push()
        self.components.add(source)
        self.components.add(self)
        self.base = _clean_copy()
        self.base.run(context.buvar_context.set, self.components)
        await asyncio.create_task(self._prepare_injection(components is None), context=self.base)
        try:
            # the settings know of the command line, which wins over what the file says
            own = self._db if self._db is not None and not isinstance(self._db, str) else self.settings.db
            self._store = await take_store(own)
        except BaseException:
            await self._close_application()
            raise
        self._loop = loop
        self._serving = serving
        self._drain = None
        self._ready = self._wound_down = False
        self._hurry = asyncio.Event()
        self.ring.open(self._store.feed)
        self._runs = Runs(self._store, self.operations, self.base)
        capture = OutputCapture()
        capture.install()
        self._closers = [capture.remove, self._store.listen(self._changed)]
        self._store.on_role(self._lead)
        if not serving:
            # asyncio.run and its like close what is left of asynchronous generators before they close the loop
            self._guard = self._until_loop_ends()
            await self._guard.__anext__()

    async def _prepare_injection(self, alone: bool) -> None:
        await config.prepare()
        if alone:
            self._application = di.application(self.components)
            await self._application.__aenter__()

    async def _close_application(self) -> None:
        application, self._application = self._application, None
        if application is not None:
            await asyncio.create_task(application.__aexit__(None, None, None), context=self.base)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._guard = None
            await self.close()

    def _leave_dead_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None or self._loop is loop:
            return
        if self._loop.is_running():
            raise HomeClosed(
                "this BINP is open on another event loop, which is still running",
                fix="use it from one event loop, or make a BINP for each",
            )
        if self._store is not None:
            drop_store(self._store)
        for closer in self._closers:
            closer()
        self._forget()

    def _changed(self, changes: Sequence[Change]) -> None:
        if self._store is None:
            # the last writes of a home that is being closed: everybody who would want to know has been told of the end
            return
        if self.ring.feed != self.store.feed:
            # another process has taken the database over, and counts anew: readers are told of a gap
            self.ring.open(self.store.feed)
        self.ring.publish(changes)
        self.runs.obey(changes)
        for part in self._parts:
            part.changed(changes)

    def _lead(self, role: Role) -> None:
        if role is Role.OWNER and self.is_serving and self._ready:
            for part in self._parts:
                self.base.run(part.lead)

    # -- close ---------------------------------------------------------------------------------------------------

    def begin_shutdown(self) -> None:
        """Take nothing new, end the streams, and begin to drain. Idempotent; returns at once."""
        if self._store is None or self._drain is not None:
            return
        loop = asyncio.get_running_loop()
        grace = self.settings.grace if self._serving else min(self.settings.grace, 2.0)
        self._deadline = loop.time() + grace
        self._drain = loop.create_task(self._drain_runs(), name="binp drain", context=self.base.copy())
        self._say("not ready")
        self.ring.close()
        self._say("streams ended")
        self.runs.stop_accepting()
        self._say("claiming stopped")

    def hurry(self) -> None:
        """What is still in flight is cancelled now: a second signal came."""
        if self._hurry is not None:
            self._hurry.set()

    async def wind_down(self) -> None:
        """Drain, cancel what is left, and stop the services: nothing runs any more, the store is still open.

        Idempotent; not given up when the caller is cancelled.
        """
        if self._store is None or self._wound_down:
            return
        self._wound_down = True
        self.begin_shutdown()
        if self._drain is not None:
            await _finish(self._drain)
        for part in reversed(self._parts):
            await part.shut_down(max(0.5, self._left(_SERVICES)))
        self._say("services stopped")

    async def close(self) -> None:
        """Shut down by the list, within the grace: wind down, commit, give back, close. Idempotent."""
        await self.wind_down()
        store, runs, closers = self._store, self._runs, self._closers
        if store is None or runs is None:
            return
        self._store, self._runs, self._closers = None, None, []
        if not runs.threads.close(0.2):
            _logger.warning("a function that could not be stopped still runs in its thread; it ends with the process")
        await self._close_application()
        try:
            await release_store(store)
        finally:
            for closer in closers:
                closer()
            self._say("records committed, leases given back, store closed")
            self._forget()
            if self._guard is not None:
                await self._guard.aclose()

    def _forget(self) -> None:
        self._store = self._runs = self._loop = self._drain = self._application = None
        self._closers = []
        self._settings = None
        self._serving = False

    async def _drain_runs(self) -> None:
        runs = self.runs
        drained = asyncio.ensure_future(runs.drain(self._left(_DRAIN)))
        hurry = asyncio.ensure_future(self._hurry.wait() if self._hurry else asyncio.sleep(0))
        try:
            await asyncio.wait({drained, hurry}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
            hurry.cancel()
        self._say("drained")
        left = await runs.cancel_all("cancelled: the process was shut down", max(0.5, self._left(_CANCEL)))
        self._say(f"cancelled what was left: {len(left)} did not stop" if left else "cancelled what was left")

    def _left(self, share: float) -> float:
        """Seconds from now until *share* of the grace is used."""
        grace = self.settings.grace if self._serving else min(self.settings.grace, 2.0)
        if self._hurry is not None and self._hurry.is_set():
            return 0.5
        return max(0.0, self._deadline - grace * (1 - share) - asyncio.get_running_loop().time())

    def _say(self, phase: str) -> None:
        _logger.log(logging.INFO if self._serving else logging.DEBUG, "shutdown: %s", phase)


def _clean_copy() -> contextvars.Context:
    """The running context, outside of any run."""
    base = contextvars.copy_context()
    base.run(current_run.set, None)
    base.run(current_journal.set, None)
    return base


async def _finish(task: asyncio.Task[None]) -> None:
    """Await *task* to its end although the caller is cancelled meanwhile."""
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue
    task.result()
