"""Serve the BINP of a file until the process is told to end."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from buvar.errors import Explained

if TYPE_CHECKING:
    import asyncio

    from binp.app import BINP
    from buvar.plugin import Stage

_logger = logging.getLogger("binp.shutdown")

#: share of the grace that functions in threads have when everything is closed
_THREADS = 0.05
#: seconds for tasks that nobody owns to end when they are cancelled
_PATIENCE = 0.5
#: levels of loggers that say at INFO what is of no interest to somebody who runs a file
_QUIET = {"uvicorn": "WARNING", "asyncio": "WARNING"}


@click.command(short_help="Serve a file.")
@click.argument("target", metavar="FILE[:NAME]")
@click.option("--host", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 8000 by default, 0 takes a free one.")
@click.option("--db", metavar="URL", help="URL or path of the database; data.db by default.")
@click.option("--config", metavar="PATH", help="A TOML or JSON file with the settings.")
@click.option("--auth", type=click.Choice(["token", "none"]), help="Who may use it: holders of the token, or anybody.")
def run(target: str, config: str | None, **overrides: Any) -> None:
    """Serve the BINP of FILE: its actions, services and routes.

    FILE is a Python file or a dotted module. NAME is needed where there is more than one BINP in it. Ctrl-C ends it:
    runs in flight are given time to end; a second Ctrl-C cancels them.
    """
    from buvar.log import LogConfig

    from ._target import load_target

    if isinstance(sys.stdout, io.TextIOWrapper):
        # what is printed is read while it runs, also by a log that is no terminal
        sys.stdout.reconfigure(line_buffering=True)
    # one process on a terminal is the only one
    with LogConfig(level="INFO", levels=_QUIET, add_pid=not sys.stderr.isatty()).setup():
        binp = load_target(target)
        if config is not None:
            binp.home.config = config
        binp.home.overrides.update({name: value for name, value in overrides.items() if value is not None})
        status, is_stuck = _serve(binp)
    if is_stuck:
        sys.stdout.flush()
        # the interpreter would wait without limit, and everything is committed and closed
        os._exit(status)
    sys.exit(status)


def _serve(binp: BINP) -> tuple[int, bool]:
    """Check everything that can be wrong, then serve.

    Returns:
        The status to exit with, and whether something still runs that nobody can stop.
    """
    from buvar.components import Components
    from buvar.plugin import Stage

    settings = binp.home.settings
    for operation in binp.home.operations.all("action"):
        # a form that cannot be made is told now, and not to whoever opens it first
        _ = operation.form.schema
    from binp.plugin import Listener

    listener = Listener.bind(settings.host, settings.port)
    components = Components()
    components.add(binp)
    components.add(listener)
    # our own loop, because the stage would wait without limit for functions in threads
    loop = _new_loop()
    grace = settings.grace
    try:
        stage = Stage(components, loop, cancel_timeout=grace, fail_fast=True, teardown_timeout=grace)
        status = _run_stage(stage)
    finally:
        listener.close()
        is_stuck = _close(loop)
    return status, _has_stuck_threads(grace * _THREADS) or is_stuck


def _run_stage(stage: Stage) -> int:
    from buvar.plugin import TeardownError

    try:
        stage.run("binp.plugin")
    except TeardownError:
        # each part of it was logged when it happened
        return 1
    except Explained:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a plugin of the user raises; told without our frames
        from buvar.log import flush

        from ._target import user_traceback

        # the log is written beside us, and this is to be the last word
        flush()
        # that our own plugin was being loaded says nothing
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
    """Cancel what is left on *loop*, give it a moment, and close it; whether something ignored that."""
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
    """Whether functions still run in threads, which nobody can stop, after *patience* seconds."""
    end = time.monotonic() + patience
    others = [each for each in threading.enumerate() if each is not threading.current_thread() and not each.daemon]
    for each in others:
        each.join(max(0.0, end - time.monotonic()))
    stuck = sum(each.is_alive() for each in others)
    if stuck:
        _logger.warning("functions still run in %d threads and cannot be stopped: they end with the process", stuck)
    return stuck > 0
