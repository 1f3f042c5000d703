"""How many bytes there are in folders, with those that are about to be there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Room", "look", "make_folder"]

#: bytes that are had in advance at most, and the share of what is free
_AHEAD = 4 * 1024 * 1024
_SHARE = 16

#: free bytes below which none are had in advance: they might be missing elsewhere
_SCARCE = 16 * 1024 * 1024

#: seconds that another process is waited for which looks at the same folders; one that is stopped may hold them long
_PATIENCE = 2.0
_TICK = 0.005


class Room:
    """What takes up room: what is there, and what is being written, by all who write at the same time.

    A file that is being written is made as long as it may get before it is: so all who look see how much is taken, and
    they look one after the other.

    Args:
        folders: Where the files are; they are written in the first one, and moved on from there.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def grow(self, file: Path, size: int, most: int, total: int) -> int:
        """Let a file that is being written become longer. Blocks.

        Args:
            file: Where it is; by its path, because it may be given up, and closed, by another thread meanwhile.
            size: Bytes that it is to have.
            most: Bytes that it may have at all.
            total: Bytes that all may have together.

        Returns:
            The bytes that it may have from here on, at least *size*; 0 if there is no room for these.

        Raises:
            OSError: it cannot be made longer, or is no more.
        """
        with _alone(self._folders[0]):
            before = file.stat().st_size
            # one that is moved on while it is looked is seen twice: then it is looked again
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
    """Nobody else is inside of this with the same folder; unless one stays there for long, or there are no locks."""
    # not on all systems; where it is missing no database can be opened either
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
