"""How many bytes there are in folders, with those that are about to be there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Room", "look", "make_folder"]

#: bytes that come in here between two looks at what has come in elsewhere
_GLANCE = 8 * 1024 * 1024


class Room:
    """What takes up room: what is there, and what is being written, by all who write at the same time.

    Args:
        folders: Where the files are.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        #: bytes of those that are being written here, by their names
        self._growing: dict[str, int] = {}
        #: bytes of all others at the last look, and bytes that have come since
        self._others = self._unseen = 0

    def __contains__(self, name: str) -> bool:
        return name in self._growing

    def grow(self, name: str, size: int, total: int) -> bool:
        """The file *name*, which is being written, is to have *size* bytes: whether all then have *total* at most."""
        before = self._growing.get(name)
        self._growing[name] = size
        self._unseen += size - (before or 0)
        if before is None or self._unseen > _GLANCE or not self._fits(total):
            self._others = sum(
                found for folder in self._folders for name, found, _ in look(folder) if name not in self._growing
            )
            self._unseen = 0
        return self._fits(total)

    def settle(self, name: str) -> None:
        """It is written."""
        self._others += self._growing.pop(name, 0)

    def drop(self, name: str) -> None:
        """It is no more."""
        self._growing.pop(name, None)

    def _fits(self, total: int) -> bool:
        return self._others + sum(self._growing.values()) <= total


def make_folder(folder: Path) -> None:
    """Make *folder*, and the one around it, for this user alone.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def look(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Name, bytes and time of each file in *folder*."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        # somebody may have taken it away meanwhile
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            yield entry.name, status.st_size, status.st_mtime
