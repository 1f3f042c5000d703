"""Own the database: a lock beside the file that the system releases with the process, and a note about its holder."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import Any

import orjson

from binp.store.contract import StoreError, StoreOwned

from ._nodes import Node, is_running
from ._sign import Sign

__all__ = ["HeirLock", "OwnerLock", "claim", "owned_error", "unclaim"]

# files that are open here, and in which process. Closing a second opening would drop the POSIX locks of the first one,
# and a forked child inherits SQLite's belief that it holds locks
_claimed: dict[Path, int] = {}
_claiming = threading.Lock()


def claim(path: Path) -> None:
    """Reserve *path* for one store of this process, until :func:`unclaim`.

    Raises:
        StoreOwned: another store of this process has it.
        StoreError: this process was forked from one that has it.
    """
    with _claiming:
        holder = _claimed.get(path)
        if holder not in {None, os.getpid()}:
            raise StoreError(
                f"process {holder} had the database open when this one was forked from it",
                where=str(path),
                fix="fork first, and open the database in each process afterwards",
            )
        if holder is not None:
            raise StoreOwned(
                f"this process (pid {os.getpid()}) has the database open already",
                str(path),
                {"pid": os.getpid(), "command": _command()},
                fix="use the store that is open, or close it first",
            )
        _claimed[path] = os.getpid()


def unclaim(path: Path) -> None:
    """Allow another store of this process to have *path*."""
    with _claiming:
        _claimed.pop(path, None)


class OwnerLock:
    """The lock ``<database>.owner``. The system releases it when the process ends, for whatever reason.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".owner")
        self._file: int | None = None
        self._sign: Sign | None = None
        #: the file still has the note of a dead holder
        self._is_inherited = False
        self._since = datetime.now(UTC)
        #: last heartbeat of a dead holder, in microseconds since the epoch; 0 if there is none
        self.last_sign = 0

    def take(self) -> bool:
        """Take the lock if nobody holds it.

        Raises:
            StoreError: the file cannot be created, or this system has no such locks.
        """
        try:
            import fcntl
        except ImportError:
            raise StoreError(
                "this system has no flock, which keeps two processes apart", fix="use Linux or macOS"
            ) from None
        while True:
            try:
                file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            except OSError as error:
                raise StoreError(
                    f"the database cannot be claimed: {error.strerror}",
                    where=str(self._path),
                    fix="make the database and its directory readable and writable",
                ) from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # the previous holder may have deleted the file meanwhile: then this lock is worthless
                if self._is_still(file):
                    self._sign = Sign(file)
                    self.last_sign = self._sign.read()
                    self._is_inherited = os.fstat(file).st_size > 0
                    self._file = file
                    self._since = datetime.now(UTC)
                    return True
            except BlockingIOError:
                os.close(file)
                return False
            except OSError as error:
                os.close(file)
                raise StoreError(
                    f"the database cannot be claimed: {error.strerror}",
                    where=str(self._path),
                    fix="keep the database on a file system of this computer, which has locks",
                ) from None
            os.close(file)

    def _is_still(self, file: int) -> bool:
        """Whether *file* is still the one at the path."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def note(self, node: Node, group: str | None, socket: str | None, *, is_leaving: bool = False) -> None:
        """Write down who holds it, and whether the holder will leave it to the next process."""
        assert self._file is not None  # noqa: S101 - only called by the holder
        note = {
            "pid": node.pid,
            "host": node.host,
            "boot": node.boot,
            "started": node.started,
            "command": _command(),
            "since": self._since.isoformat(timespec="seconds"),
            "node": node.name,
            "group": group,
            "socket": socket,
            "leaving": is_leaving,
        }
        # the note cannot be written to a full disk; continue without it
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, orjson.dumps(note), 0)
        self._is_inherited = False

    def touch(self) -> None:
        """Give a heartbeat, for the next holder."""
        if self._sign is not None:
            self._sign.give()

    def read(self) -> dict[str, Any]:
        """The note about its holder; empty if there is none."""
        # the holder locks first and writes the note then: wait for that moment
        for _ in range(20):
            try:
                note = orjson.loads(self._path.read_bytes())
            except (OSError, orjson.JSONDecodeError):
                time.sleep(0.01)
                continue
            if isinstance(note, dict):
                return note
        return {}

    @staticmethod
    def is_of_holder(note: dict[str, Any], boot: str) -> bool:
        """Whether *note* may be that of the present holder; a new holder writes its note a moment after locking.

        Args:
            note: The note.
            boot: Boot id and pid namespace of this process.
        """
        try:
            pid, host, started = note["pid"], note["host"], note.get("started")
            if note.get("boot") is None or started is None:
                # noted by another version: nothing but the host and the pid says who it is
                return bool(host == gethostname() and is_running(pid, started))
            node = Node(name=note["node"], host=host, boot=note["boot"], pid=pid, started=started)
            # the process cannot be checked from another pid namespace
            return node.boot != boot or node.is_alive()
        except (KeyError, TypeError, OverflowError):
            return False

    def release(self) -> None:
        """Release it. Idempotent."""
        if self._is_inherited:
            # a process that only held it briefly leaves the last heartbeat to the one that becomes the owner
            self._is_inherited = False
            self.abandon()
            return
        if self._sign is not None:
            self._sign.end()
        if self._file is not None:
            try:
                # deleted while it is still locked, so that nobody who takes it finds an old note
                self._path.unlink(missing_ok=True)
            except OSError:
                # at least empty the note; the lock itself must not be kept
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, 0)
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Only close the file; for a forked child, where the lock belongs to the parent."""
        if self._sign is not None:
            self._sign.abandon()
            self._sign = None
        if self._file is not None:
            os.close(self._file)
            self._file = None


class HeirLock(OwnerLock):
    """The lock ``<database>.heir``: its holder is the next owner, and waits for the present one to step down.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path.with_name(path.name + ".heir")

    def hold(self) -> bool:
        """Take the lock if nobody holds it; also True if this process holds it already."""
        return self._file is not None or self.take()

    def is_held(self) -> bool:
        """Whether another process holds it. Checks with a shared lock, so that several checks do not see each other."""
        import fcntl

        try:
            file = os.open(self._path, os.O_RDONLY)
        except OSError:
            # it does not exist, or belongs to another user
            return False
        try:
            # a process that wants to take it at this very moment fails, and retries
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def tidy(self) -> None:
        """Remove the file of a dead holder, unless another process holds the lock. Never raises."""
        with contextlib.suppress(OSError, StoreError):
            if self._path.exists() and self.take():
                self.release()


def owned_error(path: Path, owner: dict[str, Any]) -> StoreOwned:
    """The error that names *owner*."""
    pid, command, since = owner.get("pid"), owner.get("command"), owner.get("since")
    known = f"process {pid} ({command}) since {since}" if pid else "another process"
    end = f"end that process{f': kill {pid}' if pid else ''}"
    return StoreOwned(
        f"the database is in use by {known}",
        str(path),
        owner,
        fix=f"{end}; or use another database: --db other.db or BINP_DB=other.db",
    )


def _command() -> str:
    """The command line of this process, without values that may be secret."""
    return shlex.join(sys.orig_argv)[:300]
