"""Open connections to the file, and turn errors of SQLite into understandable ones."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import orjson

from binp.store.contract import StoreDamaged, StoreError

from ._mounts import network_of

__all__ = [
    "FAILURES",
    "OLDEST_SQLITE",
    "check_directory",
    "check_ours",
    "check_place",
    "connect_checkpointer",
    "connect_copier",
    "connect_reader",
    "connect_writer",
    "explain",
    "explain_use",
    "is_about_the_file",
    "is_passing",
    "looking",
]

#: the first version with strict tables
OLDEST_SQLITE = (3, 37, 0)

#: application id in the header of the file: "binp" in ASCII
_APPLICATION = 0x62696E70

#: maximum size in bytes for a check of the whole file on opening, which takes some hundredths of a second
_SMALL = 16_000_000

#: milliseconds to wait for a lock of another program
_PATIENCE = 5000

_FULL = (
    "there is no space left for the database",
    "free some space; nothing that was acknowledged is lost",
)
_BROKEN = ("the disk reports an error", "look at the disk and at the system's log")
#: Linux remounts a file system read-only after a disk error
_READ_ONLY = (
    "the file system of the database has become read-only",
    "look at the system's log; mount it for writing again, if need be after fsck. What was acknowledged is kept",
)
_DAMAGED = "look at it with `binp check`; restore a backup with `binp restore`"
#: primary result code of SQLite → meaning and fix
_CODES = {
    sqlite3.SQLITE_BUSY: (
        "the database is locked by another program",
        "end the program that holds it open for writing",
    ),
    sqlite3.SQLITE_LOCKED: ("the database is locked by another program", "end the program that holds it open"),
    sqlite3.SQLITE_READONLY: ("the database cannot be written to", "make the file and its directory writable"),
    sqlite3.SQLITE_IOERR: _BROKEN,
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", _DAMAGED),
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: ("the database cannot be opened", "make the file and its directory readable and writable"),
    sqlite3.SQLITE_PERM: ("the database may not be opened", "make the file and its directory readable and writable"),
    sqlite3.SQLITE_NOTADB: ("the file is not a database", "name another file, or put this one aside"),
}

#: the same for errors of the system
_ERRORS = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EIO: _BROKEN, errno.EROFS: _READ_ONLY}

#: result codes for a read-only file system, which also have other causes
_REFUSED = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})

#: what the sqlite3 module raises because of a file; UnicodeDecodeError if its message quotes what is not text
FAILURES = (sqlite3.Error, UnicodeDecodeError)

#: messages about a text that is not what was stored; there is no result code for it
_NONSENSE = ("Could not decode to UTF-8", "malformed JSON")

#: messages for a schema that does not fit our statements
_ALTERED = re.compile(
    r"no such (table|column|index): |no query solution|.* has no column named |.* has \d+ columns but |"
    r"table .* may not be |cannot .* view|ON CONFLICT clause does not match|error in |"
    r"unsupported file format|malformed database schema"
)

#: result codes that disappear with free space, the end of a program or a repaired disk; the others need another file
_PASSING = frozenset(_CODES) - {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def check_directory(path: Path, what: str) -> None:
    """Check that *what*, the database or a copy of it, can be a file at *path*.

    Raises:
        StoreError: there is a directory, a device or a pipe; or the directory does not exist or may not be accessed.
    """
    with looking(path, what):
        is_directory, has_directory = path.is_dir(), path.parent.is_dir()
        is_other = path.exists() and not path.is_file()
    if is_directory:
        raise StoreError(f"the {what} is a directory", where=str(path), fix="name a file in it")
    if not has_directory:
        raise StoreError(
            f"the directory of the {what} does not exist",
            where=str(path),
            fix=f"make it: mkdir -p {shlex.quote(str(path.parent))}",
        )
    if is_other:
        # a file would replace it: nobody wants to replace /dev/null
        raise StoreError(f"the {what} is not a file but a device or a pipe", where=str(path), fix="name a file")


@contextlib.contextmanager
def looking(path: Path, what: str = "database") -> Iterator[None]:
    """Check inside the block whether *what* is at *path*.

    Raises:
        StoreError: this user may not access it.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the {what} cannot be looked at: {error.strerror}",
            where=str(path),
            fix="let this user into its directory, or name another one",
        ) from None


def check_place(path: Path) -> None:
    """Check that a database can be at *path*, before anything is created beside it.

    Raises:
        StoreError: it cannot, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old",
            where="the sqlite3 module of this Python",
            fix=f"use a Python that comes with SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer",
        )
    check_directory(path, "database")
    network = network_of(path.parent)
    if network is not None:
        raise StoreError(
            f"the database is on a network file system ({network}), where SQLite may damage it",
            where=str(path),
            fix="keep it on a local disk; `binp backup` can copy it to the network",
        )


def connect_writer(path: Path, synchronous: str) -> sqlite3.Connection:
    """The one connection that writes to the file and checkpoints it; creates the file if it does not exist.

    Raises:
        StoreError: it cannot be opened, or is not a database of this platform.
    """
    try:
        # private to this user; SQLite creates its other files with the same mode
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        _refuse(path, error)
    _open_companions(path)
    connection = _connect(path, "rw")
    try:
        _prepare(connection, path, synchronous)
    except BaseException as error:
        connection.close()
        if isinstance(error, FAILURES):
            raise explain(error, path) from None
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and does not checkpoint; usable from any thread, one at a time.

    Raises:
        StoreError: it cannot be opened.
    """
    connection = _connect(path, "ro")
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA temp_store = MEMORY")
        # connecting does not open the file yet; this does
        connection.execute("PRAGMA schema_version").fetchone()
    except FAILURES as error:
        connection.close()
        raise explain(error, path) from None
    return connection


def connect_checkpointer(path: Path) -> sqlite3.Connection:
    """A connection that changes no data, but may checkpoint the write-ahead log.

    Raises:
        StoreError: it cannot be opened.
    """
    return _touched(_connect(path, "rw"), path)


def connect_copier(path: Path, *, is_torn: bool = False) -> sqlite3.Connection:
    """A connection that reads, and may write what it reads to other files.

    Args:
        path: The database file.
        is_torn: Also open a truncated file, or one with a partly damaged schema.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        return _touched(_connect(path, "ro"), path)
    except StoreDamaged:
        if not is_torn:
            raise
    connection = _connect(path, "ro")
    # despite its name, it only disables checks here: nothing can be written
    connection.execute("PRAGMA writable_schema = ON")
    return _touched(connection, path)


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file of *connection* is a database of this platform.

    Raises:
        StoreError: it belongs to another program, or is empty.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION:
        raise StoreError(
            "this is not a database of binp", where=str(path), fix="name another file; this one is left as it is"
        )


def explain(error: Exception, path: Path) -> StoreError:
    """The error for *error*, understandable without knowledge of SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, OSError) and error.errno in _ERRORS:
        what, fix = _ERRORS[error.errno]
        return StoreError(f"{what} ({error.strerror})", where=str(path), fix=fix)
    if code is not None and code & 0xFF in _CODES:
        what, fix = _READ_ONLY if code & 0xFF in _REFUSED and _is_read_only(path) else _CODES[code & 0xFF]
        kind = StoreDamaged if code & 0xFF == sqlite3.SQLITE_CORRUPT else StoreError
        return kind(f"{what} ({error})", where=str(path), fix=fix)
    is_nonsense = isinstance(error, sqlite3.Error) and any(text in str(error) for text in _NONSENSE)
    if is_nonsense or isinstance(error, UnicodeDecodeError | orjson.JSONDecodeError):
        return _damaged(error, path)
    if isinstance(error, sqlite3.OperationalError) and _ALTERED.match(str(error)):
        return StoreDamaged(
            f"the tables of the database are not what they were: {error}", where=str(path), fix=_DAMAGED
        )
    return StoreError(f"{type(error).__name__}: {error}", where=str(path))


def _is_read_only(path: Path) -> bool:
    """Whether the file system of *path* rejects writes; not all read-only ones say so."""
    try:
        found = path.stat()
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def explain_use(error: Exception, path: Path) -> StoreError:
    """The same for a file that has been open for a while: if it is no database any more, it is damaged."""
    if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_NOTADB:
        return _damaged(error, path)
    return explain(error, path)


def _damaged(error: Exception, path: Path) -> StoreDamaged:
    """The error for the damage that *error* reports."""
    # cut off quoted content, which may be long and private
    text = str(error).partition(" with text ")[0]
    if isinstance(error, orjson.JSONDecodeError):
        text = "a text in it is not JSON"
    return StoreDamaged(f"the database is damaged ({text})", where=str(path), fix=_DAMAGED)


def is_about_the_file(error: Exception) -> bool:
    """Whether *error* is due to the file, the disk or another program, so that a smaller batch would fail as well."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, OSError | MemoryError | StoreError) or (code is not None and code & 0xFF in _CODES)


def is_passing(error: Exception) -> bool:
    """Whether *error*, which is due to the file, may disappear soon, so that it can be retried."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, OSError | MemoryError) or (code is not None and code & 0xFF in _PASSING)


def _open_companions(path: Path) -> None:
    """Make the files that SQLite created beside the database as writable as the database is.

    If it was read while it was write-protected, they were created write-protected, and SQLite never changes that.
    """
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        # if this fails, SQLite reports the problem
        with contextlib.suppress(OSError):
            if not os.access(companion, os.W_OK):
                companion.chmod(path.stat().st_mode & 0o777)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=_PATIENCE / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
    except sqlite3.Error as error:
        raise explain(error, path) from None


def _touched(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """The same connection, after it has opened its file."""
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except FAILURES as error:
        connection.close()
        raise explain(error, path) from None
    return connection


def _refuse(path: Path, error: OSError) -> NoReturn:
    raise StoreError(
        f"the database cannot be created: {error.strerror}",
        where=str(path),
        fix=f"make {path.parent} writable, or name a file elsewhere",
    ) from None


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    run = connection.execute
    (application,) = run("PRAGMA application_id").fetchone()
    if application != _APPLICATION:
        (objects,) = run("SELECT count(*) FROM sqlite_schema").fetchone()
        if objects:
            raise StoreError(
                "the database was made by another program",
                where=str(path),
                fix="name another file; this one is left as it is",
            )
        # must be set while the file is empty
        run("PRAGMA auto_vacuum = INCREMENTAL")
        run(f"PRAGMA application_id = {_APPLICATION}")
    (mode,) = run("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"the file system cannot do write-ahead logging (SQLite stays in mode {mode!r})",
            where=str(path),
            fix="keep the database on a local disk",
        )
    if path.stat().st_size <= _SMALL:
        (found,) = run("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            # the last line has the problem; the first one only names the database
            raise StoreDamaged(f"the database is damaged: {found.splitlines()[-1]}", where=str(path), fix=_DAMAGED)
    run(f"PRAGMA synchronous = {synchronous}")
    run("PRAGMA cache_size = -65536")
    run("PRAGMA temp_store = MEMORY")
    # overwrites deleted content with zeros where that costs no additional writes
    run("PRAGMA secure_delete = FAST")
    run("PRAGMA journal_size_limit = 67108864")
