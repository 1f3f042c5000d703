"""Print a new link that logs one browser in."""

from __future__ import annotations

from typing import Any

import click

from ._options import Server, with_server


@click.command(short_help="Print a link that logs in one browser.")
@with_server
def link(**where: Any) -> None:
    """Print a new link to the running server. It logs in one browser, once."""
    from binp.auth import make_link

    client = Server(**where).client()
    # checks that the server answers and accepts the token
    client.get("/internal/actions/")
    click.echo(make_link(f"{client.url}/", client.token) if client.token else f"{client.url}/")
