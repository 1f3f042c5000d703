"""Serve a file while it is being edited: again whenever it, a module beside it, or the configuration changes."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buvar import fork
from buvar.errors import Explained
from buvar.plugin import Cancel

from ._serve import Order, serve
from ._target import check_target, folder_of
from ._waiting import Board, in_short

if TYPE_CHECKING:
    from binp.plugin import Listener
    from binp.settings import Settings

#: modules that every start needs, and that do not depend on the file: imported once, by the parent process
_SHARED = (
    "binp.plugin",
    "binp.store.sqlite",
    "fastapi.openapi.utils",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
)
#: folders of installed packages
_FOREIGN = {"site-packages", "dist-packages"}
#: seconds between two checks for newly imported modules
_LOOK = 1.0
#: maximum number of files to watch in a folder in which something is missing
_MOST = 500
#: seconds after which a browser retries
_RETRY = 1


def serve_again(order: Order) -> int:
    """Serve in a child process, and in a new one whenever a file changes; returns the exit status.

    Raises:
        UsageError: there is no such file.
        ForkError: this system cannot fork.
    """
    check_target(order.target)
    for name in _SHARED:
        with contextlib.suppress(ImportError):  # not everything is installed everywhere
            importlib.import_module(name)
    board = Board()

    def excuse(turn: fork.Turn) -> int:
        board.ended(order)
        return _excuse(turn)

    try:
        return fork.rerun(lambda turn: _Serving(order, turn, board).run(), meanwhile=excuse)
    finally:
        board.over()


class _Serving:
    """One turn: the present file, served on the sockets of an earlier turn."""

    def __init__(self, order: Order, turn: fork.Turn, board: Board) -> None:
        self._order = order
        self._turn = turn
        self._board = board
        self._folder = folder_of(order.target)
        self._config = order.config
        self._is_ready = False

    def run(self) -> int:
        """Serve; returns the exit status."""
        turn = self._turn
        try:
            binp = self._order.load()
            binp.home.has_schedules = binp.home.has_patience = False
            self._config = None if binp.home.config is None else str(binp.home.config)
            turn.watch(self._files())
            self._board.loaded(binp)
            status, _ = serve(binp, bind=self._bind, signals=turn.signals, plugins=(self._keep_watch,))
        except Explained as error:
            from binp.plugin import AddressNotUsable
            from buvar.log import flush

            if isinstance(error, AddressNotUsable) and turn.kept is None:
                turn.give_up()
            flush()
            click.echo(f"Error: {error}", err=True)
            self._board.failed(in_short(error), self._order)
            return 2
        finally:
            if not self._is_ready:
                turn.watch([*self._files(), *self._around()], besides=True)
        if status and not self._is_ready:
            self._board.failed("a plugin failed while it was loaded", self._order)
        return status

    def _bind(self, settings: Settings) -> Listener:
        from binp.plugin import Listener

        note, kept = f"{settings.host} {settings.port}", self._turn.kept
        if kept is not None and kept.note == note:
            port = int(kept.sockets[0].getsockname()[1])
            return Listener(settings.host, port, kept.sockets, self._turn.was_ready, self._served)
        made = Listener.bind(settings.host, settings.port)
        self._turn.keep(made.sockets, note)
        return Listener(made.host, made.port, made.sockets, served=self._served)

    def _served(self) -> None:
        self._is_ready = True
        self._turn.ready()

    async def _keep_watch(self, cancel: Cancel) -> AsyncIterator[Coroutine[Any, Any, None]]:
        """A plugin that also watches modules that are imported while it is served."""
        yield self._watch(cancel)

    async def _watch(self, cancel: Cancel) -> None:
        number, known = 0, set[Path]()
        while not cancel.is_set():
            if len(sys.modules) != number and (files := self._files()) != known:
                self._turn.watch(files)
                known = files
            number = len(sys.modules)
            await cancel.within(_LOOK)

    def _files(self) -> set[Path]:
        """The user's own imported modules, and the configuration file."""
        here = str(self._folder)
        # compared as text first, because creating a path for each of the many other modules is slow
        own = {Path(file) for file in _imported() if file.startswith(here) and _is_own(Path(file), self._folder)}
        return own if self._config is None else {*own, Path(self._config)}

    def _around(self) -> Iterator[Path]:
        """The Python files around a file that cannot be loaded: one of them may be missing or wrong."""
        yield self._folder
        with contextlib.suppress(OSError):
            yield from sorted(each for each in self._folder.glob("*.py") if each.stem.isidentifier())[:_MOST]


def _imported() -> Iterator[str]:
    for module in list(sys.modules.values()):
        # from __dict__, because a module's own __getattr__ might import more
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            yield file


def _is_own(file: Path, folder: Path) -> bool:
    """Whether *file* is part of the user's code in *folder*, and not of a package or a Python installed there."""
    if not file.is_relative_to(folder) or _FOREIGN & set(file.relative_to(folder).parts):
        return False
    return not any(Path(prefix).is_relative_to(folder) and file.is_relative_to(prefix) for prefix in _prefixes())


def _prefixes() -> set[str]:
    return {sys.prefix, sys.base_prefix}


def _excuse(turn: fork.Turn) -> int:
    """Respond for a file that cannot be served, until it changes."""
    import uvicorn

    # uvicorn raises the signal again after it has ended; ignore that
    signal.signal(signal.SIGTERM, lambda *_: None)
    config = uvicorn.Config(
        _unavailable,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(list(turn.kept.sockets) if turn.kept is not None else None)
    return 0


async def _unavailable(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    from binp.auth import Problem, send_problem

    problem = Problem(
        status=503,
        code="unavailable",
        detail="the file cannot be served as it is",
        fix="its terminal says why; it is started again when the file is saved",
    )
    wants_page = any(name == b"accept" and b"text/html" in value for name, value in scope.get("headers", ()))
    # lets a page reload itself
    names = (b"retry-after", b"refresh") if wants_page else (b"retry-after",)
    headers = [(name, b"%d" % _RETRY) for name in names]
    await send_problem(problem, scope, receive, send, page=wants_page, headers=headers)
