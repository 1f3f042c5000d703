"""Migrate the schema: numbered files of statements, each applied once, completely or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from binp.store.contract import SchemaTooNew, StoreError

from ._clock import wall_clock
from ._connect import FAILURES, explain, is_about_the_file
from ._copy import copy_into
from ._statements import statements

__all__ = ["Migration", "altered", "check_known", "migrate", "missing", "shipped", "standing"]

_NAME = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One file of statements."""

    #: 1, 2, 3...
    version: int
    #: name of the file
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The digest that identifies the content of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, in order."""
    folder = resources.files(__package__).joinpath("migrations")
    found = []
    for file in folder.iterdir():
        named = _NAME.fullmatch(file.name)
        if named:
            found.append(Migration(version=int(named[1]), name=file.name, text=file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> list[int]:
    """Apply the missing *migrations*. If the file contains data, a copy is made first.

    Returns:
        The applied versions.

    Raises:
        SchemaTooNew: the file was written by a newer version of the platform.
        StoreError: a migration has changed since it was applied, or a statement failed: it is rolled back.
    """
    try:
        connection.execute(statements()["make_migrations"])
    except FAILURES as error:
        raise explain(error, path) from None
    todo = missing(connection, path, migrations)
    if todo and standing(connection, path):
        _back_up(connection, path, todo[0].version)
    for migration in todo:
        _apply(connection, migration, path)
    return [migration.version for migration in todo]


def missing(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> list[Migration]:
    """The *migrations* that were not applied yet.

    Raises:
        SchemaTooNew: the file was written by a newer version of the platform.
        StoreError: a migration has changed since it was applied.
    """
    applied = _applied(connection, path)
    _verify(applied, migrations, path)
    return [migration for migration in migrations if migration.version not in applied]


def check_known(connection: sqlite3.Connection, path: Path) -> None:
    """Check that this version knows the schema of the file; missing migrations do not matter.

    Raises:
        SchemaTooNew: the file was written by a newer version.
        StoreError: a migration has changed since it was applied.
    """
    missing(connection, path, shipped())


def altered(connection: sqlite3.Connection, path: Path, *, tables: Iterable[str] = ()) -> list[str]:
    """The differences between the schema and what the applied migrations create, such as ``table run``.

    Args:
        connection: A connection to the file.
        path: The file.
        tables: Only compare the columns of these tables. Default: the definitions of everything.

    Raises:
        StoreError: the applied migrations cannot be read.
    """
    applied = _applied(connection, path)
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        pattern.execute(statements()["make_migrations"])
        for migration in shipped():
            if not applied or migration.version in applied:
                for statement in _split(migration.text):
                    pattern.execute(statement)
        try:
            if tables:
                looks = ((table, f"PRAGMA table_info({table})") for table in tables)
                return [f"table {table}" for table, look in looks if _rows(pattern, look) != _rows(connection, look)]
            look = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type DESC, name"
            there = set(_rows(connection, look))
            return [f"{row[0]} {row[1]}" for row in _rows(pattern, look) if row not in there]
        except FAILURES as error:
            raise explain(error, path) from None


def _rows(connection: sqlite3.Connection, statement: str) -> list[Any]:
    return connection.execute(statement).fetchall()


def standing(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the schema; 0 if the file has none."""
    return max(_applied(connection, path), default=0)


def _applied(connection: sqlite3.Connection, path: Path) -> dict[int, tuple[str, str]]:
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migration'").fetchone():
            return {}
        rows = connection.execute(statements()["list_migrations"])
        return {version: (name, sha256) for version, name, sha256 in rows}
    except FAILURES as error:
        raise explain(error, path) from None


def _verify(applied: dict[int, tuple[str, str]], migrations: Sequence[Migration], path: Path) -> None:
    known = {migration.version: migration for migration in migrations}
    newest, have = max(known, default=0), max(applied, default=0)
    if have > newest:
        raise SchemaTooNew(
            f"the database has schema {have}, and this version knows schema {newest}",
            have,
            newest,
            where=str(path),
            fix=_way_back(path, newest),
        )
    for version, (name, sha256) in applied.items():
        if version not in known or known[version].sha256 != sha256:
            raise StoreError(
                f"migration {name} is not the one that was applied to the database",
                name,
                where=str(path),
                fix="install an unchanged release: a migration that was applied once never changes",
            )
    if any(version < have for version in known if version not in applied):
        raise StoreError(
            "a migration is missing between those that were applied to the database",
            where=str(path),
            fix="restore a backup: the table of migrations was tampered with",
        )


def _way_back(path: Path, newest: int) -> str:
    """What to do with a file that is too new for a version whose newest schema is *newest*."""
    copies = (_copy_of(path, version) for version in range(newest + 1, 1, -1))
    # there is no copy if the newer version created the database, or if the copy was deleted
    copy = next((copy.name for copy in copies if copy.exists()), None)
    return "install the version that wrote it" + (f", or restore the copy {copy}" if copy else "")


def _copy_of(path: Path, version: int) -> Path:
    """The path of the copy made before the schema of *path* became *version*."""
    return path.with_name(f"{path.name}.before-{version}.bak")


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    # overwrites the copy of an interrupted attempt: the present data is the same or newer
    copy = _copy_of(path, version)
    try:
        copy_into(connection, path, copy)
    except StoreError as error:
        raise StoreError(
            f"the copy that is made before a change of the schema failed: {error.what}",
            where=str(copy),
            fix="make room for a copy of the database; nothing was changed",
        ) from None


def _apply(connection: sqlite3.Connection, migration: Migration, path: Path) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _split(migration.text):
                connection.execute(statement)
            connection.execute(
                statements()["add_migration"],
                (migration.version, migration.name, migration.sha256, wall_clock()),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except (sqlite3.Error, sqlite3.Warning) as error:
        if is_about_the_file(error):
            raise explain(error, path) from None
        raise StoreError(
            f"migration {migration.name} failed: {error}",
            migration.name,
            where=str(path),
            fix="the database is as it was before it; install the version that it worked with",
        ) from error


def _split(text: str) -> list[str]:
    """Split *text* into statements; SQLite decides, because triggers and strings contain semicolons too."""
    found, current = [], ""
    for piece in re.split(r"(?<=;)", text):
        current += piece
        if sqlite3.complete_statement(current):
            found.append(current.strip())
            current = ""
    rest = re.sub(r"--[^\n]*|/\*.*?\*/", "", current, flags=re.DOTALL).strip()
    return [*found, rest] if rest else found
