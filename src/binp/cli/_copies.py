"""Back up and restore the database."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ._options import database_of, with_database


@click.command(short_help="Back up the database, even while it is in use.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@with_database
def backup(file: Path, force: bool, db: str | None) -> None:
    """Back up the database to FILE, even while it is in use.

    Everything acknowledged before the start is in the copy. FILE appears when it is complete, on disk and checked. A
    database of a newer version is copied as it is; only that version can use the copy.
    """
    from binp.store.sqlite import back_up, unknown_schema

    from ._progress import progress_bar, size_text

    began = time.monotonic()
    with progress_bar("copying") as show:
        size = back_up(database_of(db), file.absolute(), replace=force, progress=show)
    click.echo(f"copied {size_text(size)} to {file} in {time.monotonic() - began:.1f} s")
    if (problem := unknown_schema(file.absolute())) is not None:
        click.echo(f"The copy is whole, but this version cannot use it: {problem.what}", err=True)


@click.command(short_help="Replace the database with a backup.")
@click.argument("file", type=click.Path(path_type=Path))
@with_database
def restore(file: Path, db: str | None) -> None:
    """Replace the database, which must not be in use, with a copy of FILE.

    The old database is kept beside it, under a name that contains the time.
    """
    from binp.store.sqlite import restore as put_back

    from ._progress import progress_bar

    path = database_of(db)
    with progress_bar("copying") as show:
        kept = put_back(path, file.absolute(), show)
    click.echo(f"restored {path} from {file}")
    if kept is not None:
        click.echo(f"what was there is kept as {kept.name}")
