"""Own the database: a lock beside the file that ends with the process, and a note of who holds it."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from binp.store.contract import StoreError, StoreOwned

from ._nodes import Node
from ._sign import Sign

__all__ = ["HeirLock", "OwnerLock", "claim", "owned_error", "unclaim"]

# files that are open here, and by which process: a second opening would have to close its own, which drops the locks of
# the first; and a child of a process that has a file open inherits what SQLite believes to have locked
_claimed: dict[Path, int] = {}
_claiming = threading.Lock()


def claim(path: Path) -> None:
    """Have *path* for one store of this process alone, from here to :func:`unclaim`.

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
    """Let another store of this process have *path*."""
    with _claiming:
        _claimed.pop(path, None)


class OwnerLock:
    """The lock ``<database>.owner``. The system lets go of it when the process ends, however that ends.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".owner")
        self._file: int | None = None
        self._sign: Sign | None = None
        #: it has the note of a holder that died, and none of this one
        self._is_inherited = False
        self._since = datetime.now(UTC)
        #: the last sign of life of a holder that died, in microseconds since the epoch; 0 if there was none
        self.last_sign = 0

    def take(self) -> bool:
        """Take the lock if nobody holds it.

        Raises:
            StoreError: the file cannot be made, or this system has no such locks.
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
                # the one who held it may have removed the file in the meantime: then this lock is of nothing
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
        """Whether *file* lies there."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def note(self, node: Node, group: str | None, socket: str | None, *, is_leaving: bool = False) -> None:
        """Write down who holds it, and whether it lets go of it for the next one who comes."""
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
        # on a full disk nobody can be told, which is no reason not to go on
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, orjson.dumps(note), 0)
        self._is_inherited = False

    def touch(self) -> None:
        """Give a sign of life, for the next one who takes it."""
        if self._sign is not None:
            self._sign.give()

    def read(self) -> dict[str, Any]:
        """Who holds it, as far as is known."""
        # the holder locks first and notes then: give it the moment in between
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
        """Whether *note* may be that of who holds it: who takes it notes that when it can write, which takes a moment.

        Args:
            note: What was read.
            boot: The kernel's life, and whose processes are numbered together in it, as this process knows it.
        """
        try:
            node = Node(
                name=note["node"], host=note["host"], boot=note["boot"], pid=note["pid"], started=note["started"]
            )
            # of one that is numbered elsewhere nothing is known
            return node.boot != boot or node.is_alive()
        except (KeyError, TypeError):
            return False

    def release(self) -> None:
        """Let go of it. Idempotent."""
        if self._is_inherited:
            # whoever holds it for a moment, or cannot be the owner after all, leaves the last sign to the one who can
            self._is_inherited = False
            self.abandon()
            return
        if self._sign is not None:
            self._sign.end()
        if self._file is not None:
            try:
                # removed while it is still held, so that nobody who takes it finds an old note
                self._path.unlink(missing_ok=True)
            except OSError:
                # no more can be done than to say nothing in it; kept, it would keep everybody from the database
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, 0)
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Close the file and nothing more: in a forked child, where the lock is the parent's."""
        if self._sign is not None:
            self._sign.abandon()
            self._sign = None
        if self._file is not None:
            os.close(self._file)
            self._file = None


class HeirLock(OwnerLock):
    """The lock ``<database>.heir``: whoever holds it is the next owner, and waits for the present one to let go.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path.with_name(path.name + ".heir")

    def hold(self) -> bool:
        """Take the lock if nobody holds it; true as well if this process does."""
        return self._file is not None or self.take()

    def is_held(self) -> bool:
        """Whether another process holds it. It is not taken in order to look, so that those who look see no other."""
        import fcntl

        try:
            file = os.open(self._path, os.O_RDONLY)
        except OSError:
            # there is none, or none of this user's
            return False
        try:
            # shared by all who look; who wants to hold it at this very moment is turned away, and tries again
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def tidy(self) -> None:
        """Take away what one who died has left behind, unless somebody holds it. Never raises."""
        with contextlib.suppress(OSError, StoreError):
            if self._path.exists() and self.take():
                self.release()


def owned_error(path: Path, owner: dict[str, Any]) -> StoreOwned:
    """The refusal that names *owner*."""
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
    """The command line of this process, without the values that may be secrets."""
    return shlex.join(sys.orig_argv)[:300]
