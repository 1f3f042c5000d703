"""The home that the parts of one BINP share; opened on demand, and closed by what opened it."""

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
    """A feature that takes part in the life of its home. Called on the event loop, in the home's base context."""

    def opened(self) -> None:
        """The store was opened."""

    def lead(self) -> None:
        """This process leads from here on: start what may run only once. Only called while the app is served."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Changes were committed."""

    async def shut_down(self, timeout: float) -> None:
        """End everything that it runs, within *timeout* seconds."""


class Home:
    """What the parts of one BINP share: settings, store, changes, operations, runs and the base context.

    It opens at the first ``await`` of a part, or when the app is served. It closes with the event loop on which it was
    opened, or when the app is no longer served, and can be opened again. Creating one opens nothing: no file, thread or
    socket, and reads no environment variable.

    Args:
        db: URL or path of the database, a store, or None for the setting.
        config: Path of a TOML or JSON file.
    """

    def __init__(self, *, db: str | Store | None = None, config: str | os.PathLike[str] | None = None) -> None:
        self.operations = Operations()
        self.ring: Ring[Change] = Ring()
        #: the features that take part in its life
        self.parts: list[Part] = []
        #: settings that take precedence over configuration file and environment
        self.overrides: dict[str, Any] = {}
        #: the FastAPI application of the facade was requested: services belong to its lifespan
        self.has_app = False
        #: whether schedules run while it is served; off while its file is being edited (``--reload``)
        self.has_schedules = True
        #: whether a shutdown waits for runs with a longer grace; off while its file is being edited (``--reload``)
        self.has_patience = True
        #: name of the module that created the BINP
        self.module = ""
        #: this process was started by another one, which owns the database
        self.is_guest = False
        #: path of the configuration file
        self.config = config
        #: the database to which its parts are bound; None for the setting
        self.db = db
        self._settings: Settings | None = None
        self._life: Life | None = None
        self._opening: asyncio.Task[None] | None = None
        #: all home objects that share this state
        self._names: list[Home] = [self]

    def attach(self, part: Part, db: str | Store | None = None) -> None:
        """Add *part* to the home; *db* is the database to which its creator has bound it.

        Raises:
            DifferentDatabases: another part is bound to another database.
        """
        self.share_database(db)
        self.parts.append(part)

    def detach(self, part: Part) -> None:
        """Remove *part* from the home."""
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
        """Become an alias of *host*: the parts of this home join *host*, and both share one state.

        Operations are moved by the parts that own them.

        Raises:
            DifferentDatabases: they are bound to different databases. Nothing was changed.
        """
        host.share_database(self.db)
        host.parts.extend(self.parts)
        host._names.extend(self._names)
        for name in tuple(self._names):
            # share the whole state, so that nothing has to be forwarded
            name.__dict__ = host.__dict__

    # -- what is shared ------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._life is not None and not self._life.is_over

    @property
    def is_used(self) -> bool:
        """Whether it is open, being opened or being closed."""
        return self._life is not None or (self._opening is not None and not self._opening.done())

    @property
    def is_serving(self) -> bool:
        """Whether the app is being served, and not shutting down."""
        return self.is_served and self._life is not None and not self._life.is_ending

    @property
    def is_served(self) -> bool:
        """Whether the app is being served, including its shutdown."""
        return self._life is not None and self._life.is_serving

    @property
    def is_ending(self) -> bool:
        """Whether it is shutting down: nothing new is accepted."""
        return self._life is not None and self._life.is_ending

    @property
    def is_hurried(self) -> bool:
        """Whether everything in flight was told to end at once."""
        return self._life is not None and self._life.hurried.is_set()

    def describe(self) -> dict[str, Any]:
        """What another process needs to know to load the same program."""
        module = sys.modules.get(self.module)
        spec = getattr(module, "__spec__", None)
        return {
            # a program started with -m has its real name in the spec
            "module": spec.name if spec is not None else self.module,
            "file": getattr(module, "__file__", None),
            "argv": sys.argv,
            "config": None if self.config is None else os.fspath(self.config),
            "overrides": {name: value for name, value in self.overrides.items() if name != "db"},
        }

    @property
    def patience(self) -> float:
        """Seconds by which a shutdown may take longer because of runs with a grace of their own."""
        return 0.0 if self._life is None else self._life.patience

    @property
    def settings(self) -> Settings:
        """The settings; read at first access, and again after each closing."""
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
        """What to open: a given store, otherwise the URL or path from the settings."""
        # the settings include the command line, which takes precedence over the argument in the file
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
        """The store if it is open on the running event loop, otherwise None; a fast check."""
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
        """The components for dependency injection; None while it is not open."""
        return None if self._life is None else self._life.components

    def context(self) -> contextvars.Context:
        """A context for a task of the platform; never that of the code that happens to start it."""
        return clean_copy() if self._life is None or self._life.is_over else self._life.base.copy()

    def _open_life(self) -> Life:
        if self._life is None or self._life.is_over:
            raise StoreClosed("this BINP is not open", fix="await one of its parts first, or serve its app")
        return self._life

    # -- open ----------------------------------------------------------------------------------------------------

    async def ensure(self) -> Home:
        """Open it, unless it is open on this event loop already. If it is being closed, it is opened again afterwards.

        Raises:
            StoreError: the database cannot be opened; the message says why.
            HomeClosed: it is open on another event loop that is still running.
        """
        life = self._life
        if life is None or life.is_over or life.loop is not asyncio.get_running_loop():
            await self._opened(None)
        return self

    async def open(self, components: Components | None = None, *, serving: bool = False) -> None:
        """Open the store and start working. If it is open on this event loop already, only *serving* may change.

        Args:
            components: The components for dependency injection. Default: the current context.
            serving: The app is served: this process may become the leader, and shuts down in order.

        Raises:
            StoreError: the database cannot be opened; the message says why.
            HomeClosed: it is open on another event loop that is still running.
        """
        life = await self._opened(components)
        if not serving:
            return
        while life.is_ending:
            await life.close()
            life = await self._opened(components)
        life.serve(components)

    def lead(self) -> None:
        """Everything is set up: run services and schedules from here on, if this process owns the database."""
        self._open_life().lead()

    async def _opened(self, components: Components | None) -> Life:
        """The life on this event loop. A task of its own starts it, so that no waiting caller can cancel it."""
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
        """Drop what is open on an event loop that is gone, or was open when this process was forked."""
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
        """*life* has ended; the next one reads the settings again."""
        if self._life is life:
            self._life = self._settings = None

    # -- close ---------------------------------------------------------------------------------------------------

    def begin_shutdown(self) -> None:
        """Accept nothing new, end the streams, and start draining. Idempotent; returns immediately."""
        life = self._life
        if life is not None and life.loop is asyncio.get_running_loop():
            life.begin_shutdown()

    def hurry(self) -> None:
        """Cancel everything in flight: a second signal came."""
        if self._life is not None:
            self._life.hurried.set()

    async def wind_down(self) -> None:
        """Drain, cancel the rest, and stop the services. Afterwards nothing is running, and the store is still open.

        Idempotent. Cancelling a caller does not stop it; every caller waits for its end.
        """
        life = self._life
        if life is not None and life.loop is asyncio.get_running_loop():
            await life.wind_down()

    async def close(self) -> None:
        """Shut down in order, within the grace: wind down, commit, hand over, close.

        Idempotent. Cancelling a caller does not stop it; every caller waits for its end.

        Raises:
            StoreError: queued writes could not be committed.
            HomeClosed: it is open on another event loop that is still running.
        """
        loop = asyncio.get_running_loop()
        if self._opening is not None and self._opening.get_loop() is loop:
            await asyncio.wait({self._opening})
        self._leave_other(loop)
        if self._life is not None:
            await self._life.close()


def _look_at(opening: asyncio.Task[None]) -> None:
    """Mark the exception as retrieved: if nobody waits any more, the next one who opens gets an error of his own."""
    if not opening.cancelled():
        opening.exception()
