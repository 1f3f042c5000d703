"""Print the version."""

from __future__ import annotations

import click


@click.command()
def version() -> None:
    """Print the version."""
    import binp

    click.echo(f"binp {binp.__version__}")
