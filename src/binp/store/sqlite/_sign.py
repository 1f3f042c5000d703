"""Say that the owner of a file is alive, in memory that outlives it: a process with nothing to do writes nothing."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

__all__ = ["Sign"]

#: where Linux keeps files in memory: until the computer is started anew
_MEMORY = Path("/dev/shm")  # noqa: S108 - it holds a time, and is trusted if it is ours # nosec B108 - the same

#: seconds between two signs on the disk while there are some in memory: that much is not known after a power cut
_RARELY = 60.0

#: seconds after which what a killed process has left in memory is taken away, whosever database it was
_ABANDONED = 24 * 3600.0


class Sign:
    """The time at which the holder of a lock was alive last: of its file, and of one in memory.

    To set the time of a file is a write to the disk, some ten kilobytes with the journal of the file system. Every few
    seconds that would be hundreds of megabytes a day, on the SD card of a server that does nothing. What a killed
    process leaves has to outlive the process, and not the computer: so it is said in memory, where there is some.

    Args:
        file: The descriptor of the lock's file, which stays open.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        found = os.fstat(file)
        self._path = _MEMORY / f"binp-{os.geteuid()}-{found.st_dev:x}-{found.st_ino:x}"
        self._memory: int | None = None
        self._written = time.monotonic()

    def read(self) -> int:
        """When the last sign was given, in microseconds since the epoch; 0 if there was none."""
        found = os.fstat(self._file)
        if not found.st_size:
            return 0
        # one that is older is of another file, which had the same number
        signs = [found.st_mtime_ns]
        memory = self._open(os.O_RDONLY)
        if memory is not None:
            signs.append(os.fstat(memory).st_mtime_ns)
            os.close(memory)
        return max(signs) // 1000

    def give(self) -> None:
        """Be alive. Where that cannot be said, it is not: no reason to end what runs."""
        is_said = self._say()
        now = time.monotonic()
        if not is_said or now - self._written >= _RARELY:
            self._written = now
            with contextlib.suppress(OSError):
                os.utime(self._file)

    def end(self) -> None:
        """Nobody has to know any more; what one who was killed has left goes too."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Close the file and nothing more: in a forked child, where the sign is the parent's."""
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def _say(self) -> bool:
        try:
            # systemd takes away what a user has there who logs out
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
        """The file in memory, if there can be one, and nobody else has put it there."""
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
    """Take away what nobody came to take over: who is alive has said so since."""
    limit = time.time() - _ABANDONED
    for path in _MEMORY.glob(f"binp-{os.geteuid()}-*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < limit:
                path.unlink()
