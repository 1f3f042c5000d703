"""Serve the BINP of a file until the process is told to end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from buvar.errors import Explained

if TYPE_CHECKING:
    from binp.app import BINP
    from binp.plugin import Listener

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

    with LogConfig(level="INFO", levels=_QUIET).setup():
        binp = load_target(target)
        home = binp.home
        if config is not None:
            home.config = config
        home.overrides.update({name: value for name, value in overrides.items() if value is not None})
        status = _serve(binp)
    sys.exit(status)


def _serve(binp: BINP) -> int:
    """Check everything that can be wrong, then serve; the status to exit with."""
    settings = binp.home.settings
    for operation in binp.home.operations.all("action"):
        # a form that cannot be made is told now, and not to whoever opens it first
        _ = operation.form.schema
    from binp.plugin import Listener

    listener = Listener.bind(settings.host, settings.port)
    try:
        return _run_stage(binp, listener, settings.grace)
    finally:
        listener.close()


def _run_stage(binp: BINP, listener: Listener, grace: float) -> int:
    from buvar.components import Components
    from buvar.plugin import Stage, TeardownError

    components = Components()
    components.add(binp)
    components.add(listener)
    stage = Stage(components, cancel_timeout=grace, fail_fast=True, teardown_timeout=grace)
    try:
        stage.run("binp.plugin")
    except TeardownError:
        # each part of it was logged when it happened
        return 1
    except Explained:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a plugin of the user raises; told without our frames
        from ._target import user_traceback

        # that our own plugin was being loaded says nothing
        error.__notes__ = [note for note in getattr(error, "__notes__", ()) if "binp.plugin" not in note]
        click.echo(f"Error: a plugin failed while it was loaded\n\n{user_traceback(error)}", err=True)
        return 1
    return 1 if stage.failed else 0
