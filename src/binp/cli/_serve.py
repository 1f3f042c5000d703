"""Serve a BINP on a stage in this process, from the initial checks to the end of the last thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from buvar.errors import Explained

if TYPE_CHECKING:
    import asyncio

    from binp.app import BINP
    from binp.plugin import Listener
    from binp.settings import Settings
    from buvar.plugin import Signals, Stage

_logger = logging.getLogger("binp.shutdown")

#: fraction of the grace for functions in threads, after everything is closed
_THREADS = 0.05
#: seconds for leftover tasks to end after they are cancelled
_PATIENCE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to serve and how, from the command line."""

    #: ``FILE[:NAME]`` or ``package.module[:NAME]``
    target: str
    #: path of the configuration file
    config: str | None
    #: settings that take precedence over all others; None for those that were not given
    settings: Mapping[str, Any]

    def load(self) -> BINP:
        """Load the BINP to serve.

        Raises:
            UsageError: there is no such file or module, it cannot be imported, or it does not have exactly one BINP.
        """
        from ._target import load_target

        binp = load_target(self.target)
        if self.config is not None:
            binp.home.config = self.config
        binp.home.overrides.update({name: value for name, value in self.settings.items() if value is not None})
        return binp


def serve(
    binp: BINP,
    *,
    bind: Callable[[Settings], Listener] | None = None,
    signals: Callable[[float], type[Signals]] | None = None,
    plugins: tuple[Callable[..., Any], ...] = (),
) -> tuple[int, bool]:
    """Check everything that can be checked in advance, then serve.

    Args:
        binp: The BINP.
        bind: Returns the listener, after everything else was checked. Default: it is created and closed here.
        signals: Returns the signal handling, for the maximum duration of the shutdown in seconds.
        plugins: Additional plugins.

    Returns:
        The exit status, and whether something is still running that cannot be stopped.

    Raises:
        Explained: something has to be fixed; the message says what.
    """
    from buvar.components import Components
    from buvar.plugin import Stage

    settings = binp.home.settings
    for operation in binp.home.operations.all("action"):
        # report an unsupported parameter now, not when the form is first opened
        _ = operation.form.schema
    binp.schedule.check()
    binp.service.check()
    listener = _bind(settings) if bind is None else bind(settings)
    components = Components()
    components.add(binp)
    components.add(listener)
    # a loop of our own, because the stage would wait for functions in threads without limit
    loop = _new_loop()
    grace = settings.grace
    kind = None if signals is None else signals(grace)
    try:
        stage = Stage(components, loop, kind, grace, fail_fast=True, teardown_timeout=grace)
        status = _run_stage(stage, *plugins)
    finally:
        listener.close()
        is_stuck = _close(loop)
    return status, _has_stuck_threads(grace * _THREADS) or is_stuck


def _bind(settings: Settings) -> Listener:
    from binp.plugin import Listener

    return Listener.bind(settings.host, settings.port)


def _run_stage(stage: Stage, *plugins: Callable[..., Any]) -> int:
    from buvar.plugin import TeardownError

    try:
        stage.run("binp.plugin", *plugins)
    except TeardownError:
        # each error was logged when it happened
        return 1
    except Explained:
        raise
    except Exception as error:  # noqa: BLE001 - any exception of a user's plugin; shown without our frames
        from buvar.log import flush

        from ._target import user_traceback

        # the log is written by a thread, and the error message should come last
        flush()
        # that our own plugin was being loaded is no useful information
        error.__notes__ = [note for note in getattr(error, "__notes__", ()) if "binp.plugin" not in note]
        click.echo(f"Error: a plugin failed while it was loaded\n\n{user_traceback(error)}", err=True)
        return 1
    return 1 if stage.failed else 0


def _new_loop() -> asyncio.AbstractEventLoop:
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _close(loop: asyncio.AbstractEventLoop) -> bool:
    """Cancel the remaining tasks of *loop*, give them a moment, and close it; returns whether a task ignored that."""
    import asyncio

    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    stuck: set[asyncio.Task[Any]] = set()
    if left:
        _, stuck = loop.run_until_complete(asyncio.wait(left, timeout=_PATIENCE))
        for task in stuck:
            _logger.warning("%s ignores its cancellation: it ends with the process", task.get_name())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    return bool(stuck)


def _has_stuck_threads(patience: float) -> bool:
    """Whether functions are still running in threads, which cannot be stopped, after *patience* seconds."""
    end = time.monotonic() + patience
    others = [each for each in threading.enumerate() if each is not threading.current_thread() and not each.daemon]
    for each in others:
        each.join(max(0.0, end - time.monotonic()))
    stuck = sum(each.is_alive() for each in others)
    if stuck:
        _logger.warning("functions still run in %d threads and cannot be stopped: they end with the process", stuck)
    return stuck > 0
