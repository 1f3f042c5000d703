"""Export a database as lines of JSON, and import such lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import click

from ._losses import losses_text
from ._options import Server, database_of, with_database, with_server

#: maximum number of lines, and of characters, to import at once
_LINES, _CHARACTERS = 500, 500_000


@click.command(short_help="Export the whole database as lines of JSON.")
@with_database
def export(db: str | None) -> None:
    """Export the whole database to standard output, as lines of JSON.

    Runs with their records and labels, keys with their versions, the state of services and schedules. The database may
    be in use; one of a newer version is refused. Of a damaged database everything readable is exported; at the end
    comes a list of what is missing, and the exit status is 1.
    """
    from binp.store.sqlite import export as lines_of

    from ._progress import counter

    path = database_of(db)
    out = sys.stdout.buffer
    line = b""
    with counter("lines") as show:
        for number, line in enumerate(lines_of(path)):
            out.write(line + b"\n")
            show(number)
        out.flush()
    if lost := json.loads(line).get("lost"):
        click.echo(
            f"Error: {path.name} is damaged, and this is not all that was in it\n{losses_text(lost)}\n  where: {path}\n"
            "  fix:   restore a backup: binp restore FILE; without one, take in what could be read: binp import FILE",
            err=True,
        )
        sys.exit(1)


@click.command("import", short_help="Import what was exported.")
@click.argument("file", type=click.File("r", encoding="utf-8"), default="-")
@with_server
def import_lines(file: IO[str], **where: Any) -> None:
    """Import the output of `binp export` from FILE or from standard input.

    What is in the database stays, unless a later state of it is imported, so the same lines can be imported twice. Runs
    that had not ended become interrupted. A running server does the import itself. The exit status is 1 if lines are
    missing: they are cut off, or come from a damaged database.
    """
    from ._progress import counter

    lines = _Lines(file)
    # before a database is created for it
    lines.read_head()
    with counter("lines") as show:
        taken = _take_in(lines.parts(show), Server(**where))
    click.echo(f"{lines.number:,} lines, {taken:,} of them new")
    if not lines.is_whole:
        click.echo("Error: the lines are cut off: the last one is missing; what came was taken in", err=True)
        sys.exit(1)
    if lines.lost:
        click.echo(
            "Error: this is not all that there was: it was exported from a damaged database; what came was taken in\n"
            + losses_text(lines.lost),
            err=True,
        )
        sys.exit(1)


class _Lines:
    """The lines of a file, a few at a time."""

    def __init__(self, file: Iterable[str]) -> None:
        #: number of lines so far
        self.number = 0
        #: the last line was read, and the number of lines is as it says
        self.is_whole = False
        #: the losses of a damaged database, from the last line
        self.lost: list[dict[str, Any]] = []
        self._file = iter(file)

    def parts(self, show: Callable[[int], None]) -> Iterator[tuple[str, ...]]:
        """Groups of lines to import together; *show* is called with the number of lines so far.

        Raises:
            UsageError: a line is not a line of an export.
        """
        part: list[str] = []
        size = 0
        for text in self._file:
            line = text.strip()
            if self._is_last(line):
                break
            part.append(line)
            self.number += 1
            size += len(line)
            if len(part) >= _LINES or size >= _CHARACTERS:
                yield tuple(part)
                part, size = [], 0
                show(self.number)
        if part:
            yield tuple(part)

    def _is_last(self, line: str) -> bool:
        from binp.errors import UsageError

        try:
            row = json.loads(line)
            kind = row["kind"]
        except (ValueError, TypeError, KeyError):
            raise UsageError(
                f"line {self.number + 2} is not a line of an export: {line[:60]!r}",
                fix="write it anew: binp export > FILE; lines before that may have been taken in, which does no harm",
            ) from None
        if kind != "end":
            return False
        self.is_whole = row.get("lines") == self.number
        self.lost = row.get("lost") or []
        return True

    def read_head(self) -> None:
        """Read the first line.

        Raises:
            UsageError: it is not an export, or one of a newer version.
        """
        from binp.errors import UsageError

        try:
            head = json.loads(next(self._file, ""))
            number = head["format"] if head["kind"] == "binp" else None
        except (ValueError, TypeError, KeyError):
            number = None
        if number is None:
            raise UsageError("this is not an export of binp", fix="write one: binp export > FILE")
        if number != 1:
            raise UsageError(
                f"the export has format {number}, and this version knows format 1",
                fix="take it in with the version that wrote it, or a newer one",
            )


def _take_in(parts: Iterator[tuple[str, ...]], server: Server) -> int:
    """Import through the server if there is one, otherwise into the file; returns the number of imported lines."""
    from binp.client import NotServed

    try:
        client = server.client()
    except NotServed:
        if server.url is not None:
            raise
        return _into_file(parts, server)

    def send(part: tuple[str, ...]) -> int:
        return int(client.post("/internal/import", {"lines": part})["taken"])

    return sum(map(send, parts))


def _into_file(parts: Iterator[tuple[str, ...]], server: Server) -> int:
    import asyncio

    from binp.store import open_store
    from binp.store.contract import Import

    async def run() -> int:
        store = open_store(str(server.database))
        await store.open()
        try:
            return sum([int(await store.write(Import(lines=part))) for part in parts])
        finally:
            await store.close()

    return asyncio.run(run())
