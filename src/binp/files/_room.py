"""Count the bytes in folders, including files that are being written."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Room", "look", "make_folder"]

#: maximum number of bytes to reserve in advance, and the maximum fraction of the free bytes
_AHEAD = 4 * 1024 * 1024
_SHARE = 16

#: nothing is reserved in advance if fewer bytes are free, because others may need them
_SCARCE = 16 * 1024 * 1024

#: seconds to wait for another process that counts the same folders; a stopped one may hold the lock for long
_PATIENCE = 2.0
_TICK = 0.005


class Room:
    """Limits the total size of files, including those that several processes are writing at the same time.

    A file is extended to its reserved size before it is written. So every process sees how much is taken; only one
    counts at a time.

    Args:
        folders: The folders with the files. They are written in the first one, and then moved.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def grow(self, file: Path, size: int, most: int, total: int) -> int:
        """Extend a file that is being written. Blocks.

        Args:
            file: Its path; not its descriptor, because another thread may give it up and close it meanwhile.
            size: Required bytes.
            most: Maximum bytes of this file.
            total: Maximum bytes of all files together.

        Returns:
            The bytes that it may have from now on, at least *size*; 0 if there is no room.

        Raises:
            OSError: it cannot be extended, or no longer exists.
        """
        with _alone(self._folders[0]):
            before = file.stat().st_size
            # a file that is moved meanwhile may be counted twice: in doubt count again
            for _ in range(2):
                free = total - self._taken() + before - size
                if free >= 0:
                    ahead = min(_AHEAD, free // _SHARE, most - size) if free > _SCARCE else 0
                    os.truncate(file, size + ahead)
                    return size + ahead
        return 0

    def _taken(self) -> int:
        return sum(size for folder in self._folders for _, size, _ in look(folder))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder; without it if another process holds it for long, or there are no locks."""
    # not available on all systems; without it, no database can be opened either
    import fcntl

    until = time.monotonic() + _PATIENCE
    file = os.open(folder, os.O_RDONLY)
    try:
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_TICK)
            except OSError:
                break
        yield
    finally:
        os.close(file)


def make_folder(folder: Path) -> None:
    """Create *folder* and its parent, accessible to this user only.

    Raises:
        OSError: it cannot be created.
    """
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def look(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Name, size and modification time of each file in *folder*."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        # it may have been removed meanwhile
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            yield entry.name, status.st_size, status.st_mtime
