"""Check a database: its pages, its schema, and its content."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from binp.store.contract import StoreDamaged, StoreError

from ._connect import FAILURES, explain
from ._migrate import altered, missing, shipped, standing
from ._visit import visit

__all__ = ["Finding", "check"]

_HEAD = re.compile(r"^-- [a-z_]+: (.*)$", re.MULTILINE)

#: maximum number of page problems to report
_MOST = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    #: name of the check
    name: str
    #: the problems; empty if there are none
    problems: tuple[str, ...] = ()
    #: additional information
    note: str = ""
    #: what to do about problems that are not damage
    fix: str = ""


def check(path: Path, *, thorough: bool = False) -> Iterator[Finding]:
    """Check the database *path*, whether it is in use or not. Nothing is changed.

    Args:
        path: The database file.
        thorough: Also compare every index with its table, which takes several times as long.

    Raises:
        StoreError: it cannot be opened, or is not a database of this platform.
    """
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(visit(path))
        except StoreDamaged as error:
            # too damaged for any further check
            yield Finding("indexes and pages" if thorough else "pages", (error.what,))
            return
        yield _pages(connection, path, thorough=thorough)
        yield _schema(connection, path)
        yield _content(connection)


def _pages(connection: sqlite3.Connection, path: Path, *, thorough: bool) -> Finding:
    question = "integrity_check" if thorough else "quick_check"
    try:
        found = [str(row) for (row,) in connection.execute(f"PRAGMA {question}({_MOST})")]
    except FAILURES as error:
        found = [explain(error, path).what]
    lines = [line for text in found for line in text.splitlines() if not line.startswith("***") and line != "ok"]
    return Finding("indexes and pages" if thorough else "pages", tuple(lines[:_MOST]))


def _schema(connection: sqlite3.Connection, path: Path) -> Finding:
    try:
        todo = missing(connection, path, shipped())
        changed = altered(connection, path)
    except StoreError as error:
        return Finding("schema", (error.what,), fix="" if isinstance(error, StoreDamaged) else error.fix or "")
    note = f"version {standing(connection, path)}"
    if todo:
        note += f"; the next start changes it to {todo[-1].version}, after a copy was made"
    return Finding("schema", tuple(f"{each} is not as it was made" for each in changed), note)


def _content(connection: sqlite3.Connection) -> Finding:
    problems: list[str] = []
    for what, statement in _checks():
        try:
            (count,) = connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            problems.append(f"it cannot be said whether there are {what}: {error}")
            continue
        except FAILURES as error:
            # the pages are damaged, and all further checks would report the same
            problems.append(f"it cannot be read: {error}")
            break
        if count:
            problems.append(f"{count:,} {what}")
    return Finding("content", tuple(problems))


def _checks() -> Iterator[tuple[str, str]]:
    """The content checks: a description of each problem, and the statement that counts it."""
    text = resources.files(__package__).joinpath("checks.sql").read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, end in zip(heads, ends, strict=True):
        yield head[1], text[head.end() : end]
