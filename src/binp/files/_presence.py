"""Find out whether the process that received a file still exists."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["Presence"]

_ENDING = ".here"


class Presence:
    """A lock file in a folder, which the system releases when this process ends, and those of other processes.

    Args:
        folder: Must exist when :meth:`name` is called.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._file: int | None = None

    def name(self) -> str:
        """The name of this process for others; it counts as present from here on, until :meth:`leave`.

        Raises:
            OSError: the lock cannot be created.
        """
        while self._file is None:
            name = secrets.token_hex(8)
            place = self._folder / f"{name}{_ENDING}"
            file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # until it is locked, another process may take it for that of a dead one and remove it
            if _lock(file) and _is_at(file, place):
                self._name, self._file = name, file
            else:
                os.close(file)
        return self._name

    def is_own(self, name: str) -> bool:
        """Whether *name* belongs to this process."""
        return self._file is not None and name == self._name

    def is_there(self, name: str) -> bool:
        """Whether the process *name* exists. The lock file of a dead one is removed."""
        if self.is_own(name):
            return True
        place = self._folder / f"{name}{_ENDING}"
        try:
            file = os.open(place, os.O_RDWR)
        except OSError:
            return False
        try:
            if not _lock(file):
                return True
            place.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)

    @staticmethod
    def owner_of(file: str) -> str:
        """The name of the process that *file* belongs to: file names start with it."""
        return file.partition(".")[0]

    @staticmethod
    def is_lock(file: str) -> bool:
        """Whether *file* is a lock."""
        return file.endswith(_ENDING)

    def leave(self) -> None:
        """Release the lock. Idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                (self._folder / f"{self._name}{_ENDING}").unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def _lock(file: int) -> bool:
    # not available on all systems; without it, no database can be opened either
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), place.stat())
    except FileNotFoundError:
        return False
