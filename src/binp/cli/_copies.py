"""Copy the database, and put a copy in its place."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ._options import database_of, with_database


@click.command(short_help="Copy the database, also while it is in use.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE if it is there.")
@with_database
def backup(file: Path, force: bool, db: str | None) -> None:
    """Copy the database to FILE.

    Whoever writes meanwhile goes on; what was acknowledged before is in the copy. FILE appears when it is whole, on the
    disk, and looked through. What a newer version wrote is copied as it is, and only that version can use the copy.
    """
    from binp.store.sqlite import back_up, unknown_schema

    from ._progress import progress_bar, size_text

    began = time.monotonic()
    with progress_bar("copying") as show:
        size = back_up(database_of(db), file.absolute(), replace=force, progress=show)
    click.echo(f"copied {size_text(size)} to {file} in {time.monotonic() - began:.1f} s")
    if (problem := unknown_schema(file.absolute())) is not None:
        click.echo(f"The copy is whole, but this version cannot use it: {problem.what}", err=True)


@click.command(short_help="Put a backup in the place of the database.")
@click.argument("file", type=click.Path(path_type=Path))
@with_database
def restore(file: Path, db: str | None) -> None:
    """Put a copy of FILE in the place of the database, which nobody may have open.

    What was there is kept beside it, under a name with the time in it.
    """
    from binp.store.sqlite import restore as put_back

    from ._progress import progress_bar

    path = database_of(db)
    with progress_bar("copying") as show:
        kept = put_back(path, file.absolute(), show)
    click.echo(f"restored {path} from {file}")
    if kept is not None:
        click.echo(f"what was there is kept as {kept.name}")
