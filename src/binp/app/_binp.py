"""The facade: one object with actions, journal, services, schedules, keys and an application."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from binp.action import Action
from binp.errors import BinpError
from binp.home import Home
from binp.journals import Journals
from binp.kv import KV
from binp.schedule import Schedule
from binp.service import Service
from buvar.names import did_you_mean

if TYPE_CHECKING:
    from ._application import Application

__all__ = ["BINP"]

#: methods of FastAPI that people may look for on a BINP
_OF_THE_APP = frozenset(
    [
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "route",
        "websocket",
        "mount",
        "include_router",
        "middleware",
        "add_middleware",
        "exception_handler",
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class BINP:
    """One Python file of functions as a service.

    Creating one opens nothing. Its parts share one database, which is opened at the first ``await`` of one of them, or
    when the app is served.

    Args:
        kv: Key-value state.
        journal: The history of journaled functions.
        action: Functions that the console shows with a button and a typed form.
        service: Background functions that are kept alive.
        schedule: Functions that are started by time.
        plugins: Kernel plugins to load when the app is served, before its services start.
        config: A TOML or JSON file with the settings, in section ``[binp]``, and those of the plugins.
        db: URL or path of the database. Default: the setting.

    Raises:
        DifferentDatabases: the given parts are bound to different databases.
    """

    kv: KV = field(default_factory=KV)
    journal: Journals = field(default_factory=Journals)
    action: Action = field(default_factory=Action)
    service: Service = field(default_factory=Service)
    schedule: Schedule = field(default_factory=Schedule)
    plugins: Sequence[Any] = ()
    config: str | os.PathLike[str] | None = None
    db: str | None = None
    #: the database and everything else that the parts share
    home: Home = field(init=False, repr=False)
    #: name of the module that created it: its ``prepare`` is loaded as a plugin
    module: str = field(init=False, repr=False)
    _state: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        home = Home(db=self.db, config=self.config)
        object.__setattr__(self, "home", home)
        # frame 1 is the generated __init__, frame 2 the module that calls it
        object.__setattr__(self, "module", sys._getframe(2).f_globals.get("__name__", ""))  # noqa: SLF001 - documented
        home.module = self.module
        self._bind(home)

    if not TYPE_CHECKING:
        # type checkers know all attributes

        def __getattr__(self, name: str) -> Any:
            """Raise an error that suggests the attribute that was meant.

            Raises:
                AttributeError: always.
            """
            if hasattr(type(self), name):
                # it is a property that failed with an AttributeError: raise that one
                return object.__getattribute__(self, name)
            near = did_you_mean(name, [known for known in dir(self) if not known.startswith("_")])
            hint = f"binp.app.{name}" if name in _OF_THE_APP else near and f"binp.{near}"
            raise AttributeError(f"a BINP has no {name!r}{f'; did you mean {hint}?' if hint else ''}")

    def _bind(self, home: Home) -> None:
        home.attach(self.journal, self.journal.db)
        home.attach(self.service)
        home.attach(self.schedule)
        home.share_database(self.kv.db)
        self.kv.bind(home)
        self.journal.bind(home)
        self.action.bind(home)
        self.service.bind(home)
        self.schedule.bind(home)

    @property
    def app(self) -> Application:
        """The FastAPI application, created at first use. The user adds routes to it."""
        if self._host is not self:
            return self._host.app
        if "app" not in self._state:
            from ._application import Application
            from ._lifespan import lifespan

            self.home.has_app = True
            self._state["app"] = Application(self, surround=lambda inner: lifespan(self, inner))
        app: Application = self._state["app"]
        return app

    @contextlib.asynccontextmanager
    async def lifespan(self, outer: Any = None) -> AsyncIterator[Any]:
        """Serve this BINP inside another application in which :attr:`app` is mounted.

        A mounted application gets no lifespan events of its own. So the outer application uses this lifespan,
        ``FastAPI(lifespan=binp.lifespan)``, or enters it in its own: ``async with binp.lifespan(app)``. Within it
        plugins are loaded, services and schedules run, and the commands find the server.

        Args:
            outer: The application that is served; tells where this one is mounted.

        Raises:
            InvalidSetting: the server is reachable from other machines, and authentication is off.
            StoreError: the database cannot be opened; the message says why.
        """
        from ._lifespan import lifespan

        host = self._host
        router = host.app.router
        async with lifespan(host, router.lifespan_context(host.app), outer=outer) as state:
            yield state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse to be served instead of :attr:`app`, and say so to the server.

        Raises:
            BinpError: always, except for the lifespan, which is answered with the same message.
        """
        error = BinpError(
            "this is a BINP, and what can be served is its app", fix="name the app: `uvicorn ops:binp.app`"
        )
        if scope.get("type") != "lifespan":
            raise error
        await receive()
        await send({"type": "lifespan.startup.failed", "message": str(error)})

    def include(self, other: BINP) -> None:
        """Include the actions, journals, services, schedules, routes and plugins of another file.

        From then on *other* is an alias that shares everything with this one: one database, one application.

        Raises:
            BinpError: *other* is this one, is already included, or is in use.
            DifferentDatabases: they are bound to different databases. Nothing was changed.
        """
        host = self._host
        if other is host or other._host is not other:
            raise BinpError(
                "a BINP cannot include itself" if other._host is host else "this BINP is included already",
                fix="include each BINP once, into one other",
            )
        if other.home.is_used or host.home.is_used:
            raise BinpError("a BINP that is open cannot be included, nor include another", fix="include it at import")
        host.home.share_database(other.home.db)
        self._state.setdefault("included", []).append(other)
        other._state["host"] = host
        host.service.adopt(other.service)
        other.home.detach(other.service)
        host.schedule.adopt(other.schedule)
        other.home.detach(other.schedule)
        other.journal.bind(host.home)
        other.action.bind(host.home)
        # everything that shares the home of `other` (namespaces, files that it included) moves to the host's home
        other.home.become(host.home)
        if "app" in other._state:
            host.app.take_routes(other._state["app"])

    @property
    def _host(self) -> BINP:
        host: BINP = self._state.get("host", self)
        return host if host is self else host._host

    @property
    def family(self) -> list[BINP]:
        """This one and all that it includes, directly or not, in the order of inclusion."""
        found = [self]
        for other in self._state.get("included", ()):
            found.extend(other.family)
        return found

    def all_plugins(self) -> list[Any]:
        """The plugins to load when the app is served: the given ones, and the ``prepare`` of the files themselves."""
        found: list[Any] = []
        for member in self.family:
            found.extend(member.plugins)
            prepare = getattr(sys.modules.get(member.module), "prepare", None)
            if prepare is not None:
                found.append(prepare)
        return found
