"""Serve the BINP in a file until the process is told to end."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from ._options import Integer

#: loggers whose INFO messages are of no interest here
_QUIET = {"uvicorn": "WARNING", "asyncio": "WARNING"}


@click.command(short_help="Serve a file.")
@click.argument("target", metavar="FILE[:NAME]")
@click.option("--host", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=Integer(0, 65535), help="Port to listen on; 8000 by default, 0 takes a free one.")
@click.option("--db", metavar="URL", help="URL or path of the database; data.db by default.")
@click.option("--config", metavar="PATH", help="A TOML or JSON file with the settings.")
@click.option("--auth", type=click.Choice(["token", "none"]), help="Who may use it: holders of the token, or anyone.")
@click.option("--reload", "is_reloaded", is_flag=True, help="For development: restart when a file changes.")
def run(target: str, config: str | None, is_reloaded: bool, **settings: Any) -> None:
    """Serve the BINP of FILE: its actions, services and routes.

    FILE is a Python file or a dotted module; NAME picks one of several BINPs in it. Ctrl-C ends the server and gives
    runs in flight time to end; a second Ctrl-C cancels them.
    """
    from buvar.log import LogConfig

    from ._serve import Order, serve

    if isinstance(sys.stdout, io.TextIOWrapper):
        # line buffering, so that output appears at once, also in a log file
        sys.stdout.reconfigure(line_buffering=True)
    order = Order(target=target, config=config, settings=settings)
    # with --reload it ends again and again: do not log each step of the shutdown
    quiet = {**_QUIET, "binp.shutdown": "WARNING"} if is_reloaded else _QUIET
    # a process on a terminal is the only one: its id is of no interest
    with LogConfig(level="INFO", levels=quiet, add_pid=not sys.stderr.isatty()).setup():
        if is_reloaded:
            from ._reload import serve_again

            sys.exit(serve_again(order))
        status, is_stuck = serve(order.load())
    if is_stuck:
        sys.stdout.flush()
        # the interpreter would wait for threads without limit; everything is committed and closed
        os._exit(status)
    sys.exit(status)
