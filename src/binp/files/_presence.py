"""Whether the process that took a file in is still there."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["Presence"]

_ENDING = ".here"


class Presence:
    """A lock in a folder that the system lets go of when this process ends, and those of others.

    Args:
        folder: Is there when :meth:`name` is called.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._file: int | None = None

    def name(self) -> str:
        """What others know this process by; it is present from here on, to :meth:`leave`.

        Raises:
            OSError: the lock cannot be made.
        """
        while self._file is None:
            name = secrets.token_hex(8)
            place = self._folder / f"{name}{_ENDING}"
            file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # somebody who looks at this very moment takes it for that of one who died
            if _lock(file) and _is_at(file, place):
                self._name, self._file = name, file
            else:
                os.close(file)
        return self._name

    def is_own(self, name: str) -> bool:
        """Whether *name* is that of this process."""
        return self._file is not None and name == self._name

    def is_there(self, name: str) -> bool:
        """Whether the process *name* is there. What one has left behind that died is taken away."""
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
        """The name of the process that *file* is of: they begin with it."""
        return file.partition(".")[0]

    @staticmethod
    def is_lock(file: str) -> bool:
        """Whether *file* is a lock."""
        return file.endswith(_ENDING)

    def leave(self) -> None:
        """Be gone. Idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                (self._folder / f"{self._name}{_ENDING}").unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def _lock(file: int) -> bool:
    # not on all systems; where it is missing no database can be opened either
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
