"""Check the database, and migrate its schema."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ._options import database_of, with_database


@click.command(short_help="Check the database for damage.")
@click.option("--thorough", is_flag=True, help="Also compare every index with its table; takes much longer.")
@with_database
def check(thorough: bool, db: str | None) -> None:
    """Check the database: its pages, its schema, and whether its content is consistent.

    The database may be in use; nothing is changed. The exit status is 0 if it is sound, 1 if it is not.
    """
    from binp.store.sqlite import check as look

    from ._progress import size_text

    path = database_of(db)
    began = time.monotonic()
    bad = []
    for finding in look(path, thorough=thorough):
        note = f"  {finding.note}" if finding.note else ""
        took = f"{time.monotonic() - began:.1f} s"
        click.echo(f"{'BAD' if finding.problems else 'ok ':<4}{finding.name:<18}{took:>8}{note}")
        for problem in finding.problems:
            click.echo(f"      {problem}")
        if finding.problems:
            bad.append(finding)
        began = time.monotonic()
    if bad:
        what = f"{path.name} is damaged"
        fix = "restore a backup: binp restore FILE; or save what can be read: binp export > FILE"
        if len(bad) == 1 and bad[0].fix:
            # not damaged: it was written by another version
            what, fix = bad[0].problems[0], bad[0].fix
        click.echo(f"Error: {what}\n  where: {path}\n  fix:   {fix}", err=True)
        sys.exit(1)
    # the newest data may still be in the write-ahead log
    size = _size(path) + _size(path.with_name(f"{path.name}-wal"))
    click.echo(f"{path.name} is sound ({size_text(size)})")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@click.command(short_help="Update the schema of the database.")
@click.option("--dry-run", is_flag=True, help="Try it on a copy; the database may be in use and is not changed.")
@with_database
def migrate(dry_run: bool, db: str | None) -> None:
    """Update the schema of the database, which must not be in use.

    The server does so when it starts; this does it, or tries it, beforehand. A copy is made first.
    """
    from binp.store.sqlite import rehearse, upgrade

    from ._progress import progress_bar

    path = database_of(db)
    began = time.monotonic()
    if dry_run:
        with progress_bar("copying") as show:
            names = rehearse(path, show)
    else:
        names = upgrade(path)
    if not names:
        click.echo("the schema is up to date")
        return
    for name in names:
        click.echo(name)
    took = f"{time.monotonic() - began:.1f} s"
    click.echo(f"tried on a copy in {took}; nothing was changed" if dry_run else f"applied in {took}")
