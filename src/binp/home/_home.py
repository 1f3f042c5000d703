"""What the parts of one BINP share, opened when it is needed and closed with what opened it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from binp.errors import BinpError
from binp.events import Ring
from binp.operations import Operations
from binp.runs import Runs
from binp.settings import Settings, read_source, unread_variables
from binp.store.contract import Change, Retention, Store, StoreClosed
from buvar import config
from buvar.components import Components

from ._life import Life, clean_copy
from ._retention import retention_of
from ._stores import HomeClosed, name_of

__all__ = ["DifferentDatabases", "Home", "Part"]

_logger = logging.getLogger("binp")


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
    when the serving ends; it may be opened again. Making one opens nothing: no file, no thread, no socket, no
    environment variable.

    Args:
        db: URL or path of the database, a store, or None for the setting.
        config: Path of a TOML or JSON file.
    """

    def __init__(self, *, db: str | Store | None = None, config: str | os.PathLike[str] | None = None) -> None:
        self.operations = Operations()
        self.ring: Ring[Change] = Ring()
        #: who wants to know of its life
        self.parts: list[Part] = []
        #: settings that win over configuration file and environment
        self.overrides: dict[str, Any] = {}
        #: the facade was asked for its FastAPI application: then services belong to its lifespan
        self.has_app = False
        #: where it is served, runs start by the clock; not while its file is being written
        self.has_schedules = True
        #: a shutdown waits for what asked for that; not while its file is being written
        self.has_patience = True
        #: name of the module that made the BINP
        self.module = ""
        #: another process has the database, and has started this one
        self.is_guest = False
        #: path of the configuration file
        self.config = config
        #: the database that its parts are bound to; None for the setting
        self.db = db
        self._settings: Settings | None = None
        self._life: Life | None = None
        self._opening: asyncio.Task[None] | None = None
        #: all homes that are this one
        self._names: list[Home] = [self]

    def attach(self, part: Part, db: str | Store | None = None) -> None:
        """Let *part* take part in this life; *db* is the database it was bound to by its maker.

        Raises:
            DifferentDatabases: another part is bound to another database.
        """
        self.share_database(db)
        self.parts.append(part)

    def detach(self, part: Part) -> None:
        """Let *part* take part no more."""
        self.parts.remove(part)

    def share_database(self, db: str | Store | None) -> None:
        """Use *db*, unless it is None.

        Raises:
            DifferentDatabases: another part is bound to another database.
        """
        if db is None:
            return
        if self.db is not None and name_of(db) != name_of(self.db):
            raise DifferentDatabases(
                f"parts of one BINP are bound to different databases: {name_of(self.db)} and {name_of(db)}",
                fix="give them the same db, or leave it out of all but one",
            )
        self.db = db

    def become(self, host: Home) -> None:
        """Be another name for *host* from here on: whoever has this one shares what *host* is, and takes part in it.

        Operations are left to those who know of them.

        Raises:
            DifferentDatabases: they are bound to different databases. Nothing has been changed.
        """
        host.share_database(self.db)
        host.parts.extend(self.parts)
        host._names.extend(self._names)
        for name in tuple(self._names):
            # all that a home is, so that there is nothing that would have to be handed on
            name.__dict__ = host.__dict__

    # -- what is shared ------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._life is not None and not self._life.is_over

    @property
    def is_used(self) -> bool:
        """Whether it is open, or is being opened or closed."""
        return self._life is not None or (self._opening is not None and not self._opening.done())

    @property
    def is_serving(self) -> bool:
        """Whether the app is being served, and not shutting down."""
        return self.is_served and self._life is not None and not self._life.is_ending

    @property
    def is_served(self) -> bool:
        """Whether the app is being served, also while it shuts down."""
        return self._life is not None and self._life.is_serving

    @property
    def is_ending(self) -> bool:
        """Whether it shuts down: nothing new is taken."""
        return self._life is not None and self._life.is_ending

    @property
    def is_hurried(self) -> bool:
        """Whether what was in flight was told to end at once."""
        return self._life is not None and self._life.hurried.is_set()

    def describe(self) -> dict[str, Any]:
        """What another process needs to know to load the same program."""
        module = sys.modules.get(self.module)
        spec = getattr(module, "__spec__", None)
        return {
            # a program that was started with -m is known by another name
            "module": spec.name if spec is not None else self.module,
            "file": getattr(module, "__file__", None),
            "argv": sys.argv,
            "config": None if self.config is None else os.fspath(self.config),
            "overrides": {name: value for name, value in self.overrides.items() if name != "db"},
        }

    @property
    def patience(self) -> float:
        """Seconds that a shutdown may go on for runs that asked for it, longer than for all others."""
        return 0.0 if self._life is None else self._life.patience

    @property
    def settings(self) -> Settings:
        """The settings; read when first asked for, and anew after each closing."""
        if self._settings is None:
            source = self.source()
            overrides = dict(self.overrides)
            if isinstance(self.db, str):
                overrides.setdefault("db", self.db)
            self._settings = Settings.load(source, overrides)
            for problem in unread_variables():
                _logger.warning("the environment variable %s", problem)
        return self._settings

    def source(self) -> config.ConfigSource:
        """The configuration source of this BINP."""
        return read_source(self.config)

    @property
    def database(self) -> str | Store:
        """What is opened: a store that was given, else the URL or path of the settings."""
        # these know of the command line, which wins over what the file says
        return self.db if self.db is not None and not isinstance(self.db, str) else self.settings.db

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            StoreClosed: it is not open.
        """
        return self._open_life().store

    @property
    def opened(self) -> Store | None:
        """The store if it is open on the running loop, which is found out quickly; else None."""
        life = self._life
        if life is None or life.is_over or life.loop is not asyncio.get_running_loop():
            return None
        return life.store

    @property
    def runs(self) -> Runs:
        """The runs of this process.

        Raises:
            StoreClosed: the store is not open.
        """
        return self._open_life().runs

    @property
    def retention(self) -> Retention:
        """How long runs are kept."""
        return retention_of(self.settings.retention, self.operations)

    @property
    def components(self) -> Components | None:
        """What dependency injection finds; None while it is not open."""
        return None if self._life is None else self._life.components

    def context(self) -> contextvars.Context:
        """A context for a task that the platform owns: never that of whoever happened to start it."""
        return clean_copy() if self._life is None or self._life.is_over else self._life.base.copy()

    def _open_life(self) -> Life:
        if self._life is None or self._life.is_over:
            raise StoreClosed("this BINP is not open", fix="await one of its parts first, or serve its app")
        return self._life

    # -- open ----------------------------------------------------------------------------------------------------

    async def ensure(self) -> Home:
        """Open, if that was not done on this loop already. One that is being closed is opened again after that.

        Raises:
            StoreError: the database cannot be opened; the message says why.
            HomeClosed: it is open on another loop that is still running.
        """
        life = self._life
        if life is None or life.is_over or life.loop is not asyncio.get_running_loop():
            await self._opened(None)
        return self

    async def open(self, components: Components | None = None, *, serving: bool = False) -> None:
        """Open the store and take up work. If it is open on this loop already, that stays, and may be served now.

        Args:
            components: What dependency injection finds; the current context by default.
            serving: The app is served: this process may lead, and shuts down by the list.

        Raises:
            StoreError: the database cannot be opened; the message says why.
            HomeClosed: it is open on another loop that is still running.
        """
        life = await self._opened(components)
        if not serving:
            return
        while life.is_ending:
            await life.close()
            life = await self._opened(components)
        life.serve(components)

    def lead(self) -> None:
        """Everything is in place: from here on services and schedules run here, if this process owns the database."""
        self._open_life().lead()

    async def _opened(self, components: Components | None) -> Life:
        """The life on this loop. It is begun by a task of its own, so that no one of those who wait can cancel it."""
        loop = asyncio.get_running_loop()
        while True:
            self._leave_other(loop)
            life = self._life
            if life is not None and not life.is_over:
                return life
            if life is not None:
                await life.close()
                continue
            opening = self._opening
            if opening is None or opening.done() or opening.get_loop() is not loop:
                base = clean_copy()
                opening = loop.create_task(self._open(base, components), name="binp open", context=base)
                opening.add_done_callback(_look_at)
                self._opening = opening
            await asyncio.wait({opening})
            if not opening.cancelled():
                opening.result()

    async def _open(self, base: contextvars.Context, components: Components | None) -> None:
        self._life = await Life.begin(self._names[0], base, components)
        for part in self.parts:
            part.opened()

    def _leave_other(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of what is open on a loop that is gone, or was open when this process was forked."""
        life = self._life
        if life is None or life.loop is loop:
            return
        if life.is_of_this_process and life.loop.is_running():
            raise HomeClosed(
                "this BINP is open on another event loop, which is still running",
                fix="use it from one event loop, or make a BINP for each",
            )
        life.abandon()
        self.forget(life)

    def forget(self, life: Life) -> None:
        """*life* has ended; what comes after it reads the settings anew."""
        if self._life is life:
            self._life = self._settings = None

    # -- close ---------------------------------------------------------------------------------------------------

    def begin_shutdown(self) -> None:
        """Take nothing new, end the streams, and begin to drain. Idempotent; returns at once."""
        life = self._life
        if life is not None and life.loop is asyncio.get_running_loop():
            life.begin_shutdown()

    def hurry(self) -> None:
        """What is still in flight is cancelled now: a second signal came."""
        if self._life is not None:
            self._life.hurried.set()

    async def wind_down(self) -> None:
        """Drain, cancel what is left, and stop the services: nothing runs any more, the store is still open.

        Idempotent. It goes on when a caller is cancelled; everybody who calls waits for the end of it.
        """
        life = self._life
        if life is not None and life.loop is asyncio.get_running_loop():
            await life.wind_down()

    async def close(self) -> None:
        """Shut down by the list, within the grace: wind down, commit, give back, close.

        Idempotent. It goes on when a caller is cancelled; everybody who calls waits for the end of it.

        Raises:
            StoreError: what was queued could not be committed.
            HomeClosed: it is open on another loop that is still running.
        """
        loop = asyncio.get_running_loop()
        if self._opening is not None and self._opening.get_loop() is loop:
            await asyncio.wait({self._opening})
        self._leave_other(loop)
        if self._life is not None:
            await self._life.close()


def _look_at(opening: asyncio.Task[None]) -> None:
    """Take note of how it ended: where nobody waits any more, the next who opens gets an error of his own."""
    if not opening.cancelled():
        opening.exception()
