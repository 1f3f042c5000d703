"""The heartbeat of the owner of a file, in memory that outlives the process, so that an idle process writes nothing."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

__all__ = ["Sign"]

#: memory-backed file system on Linux, which lasts until reboot
_MEMORY = Path("/dev/shm")  # noqa: S108 - it holds a time, and is trusted if it is ours # nosec B108 - the same

#: seconds between two heartbeats on disk, in addition to those in memory: the precision after a power failure
_RARELY = 60.0

#: seconds after which the heartbeat file of a killed process is removed, for any database
_ABANDONED = 24 * 3600.0


class Sign:
    """The time at which the holder of a lock was last alive: in the lock file, and in a file in memory.

    Setting the time of a file causes a disk write of some ten kilobytes, including the file system's journal. Every few
    seconds, that would add up to hundreds of megabytes a day, on the SD card of an idle server. The heartbeat has to
    outlive the process, but not a reboot; so it is kept in memory, where possible.

    Args:
        file: Descriptor of the lock file, which stays open.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        found = os.fstat(file)
        self._path = _MEMORY / f"binp-{os.geteuid()}-{found.st_dev:x}-{found.st_ino:x}"
        self._memory: int | None = None
        self._written = time.monotonic()

    def read(self) -> int:
        """The time of the last heartbeat, in microseconds since the epoch; 0 if there is none."""
        found = os.fstat(self._file)
        if not found.st_size:
            return 0
        # an older one belongs to another file that had the same inode
        signs = [found.st_mtime_ns]
        memory = self._open(os.O_RDONLY)
        if memory is not None:
            signs.append(os.fstat(memory).st_mtime_ns)
            os.close(memory)
        return max(signs) // 1000

    def give(self) -> None:
        """Give a heartbeat. Failures are ignored."""
        is_said = self._say()
        now = time.monotonic()
        if not is_said or now - self._written >= _RARELY:
            self._written = now
            with contextlib.suppress(OSError):
                os.utime(self._file)

    def end(self) -> None:
        """Remove the heartbeat, which is no longer needed, and those of killed processes."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Only close the file; for a forked child, where the heartbeat belongs to the parent."""
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def _say(self) -> bool:
        try:
            # systemd removes a user's files there on logout
            if self._memory is not None and not os.fstat(self._memory).st_nlink:
                self.abandon()
            if self._memory is None:
                _sweep()
                self._memory = self._open(os.O_RDWR | os.O_CREAT)
            if self._memory is None:
                return False
            os.utime(self._memory)
        except OSError:
            return False
        return True

    def _open(self, flags: int) -> int | None:
        """The file in memory; None if there cannot be one, or if another user has created it."""
        try:
            file = os.open(self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            return file
        os.close(file)
        return None


def _sweep() -> None:
    """Remove the files of processes that have been dead for long."""
    limit = time.time() - _ABANDONED
    for path in _MEMORY.glob(f"binp-{os.geteuid()}-*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < limit:
                path.unlink()
