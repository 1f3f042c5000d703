"""Detect changes of files by polling."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

#: The state of a file: modification time, size and inode; None if it does not exist.
Look = tuple[int, int, int] | None

#: How many equal polls in a row mean that a file is quiet, and that a missing one is gone: editors replace a file by a
#: new one, and some leave a gap for a moment.
_QUIET: Final = 1
_GONE: Final = 5


class Files:
    """Polled files, and their content when they were last reported.

    A file counts as changed if its content is different, it was created, or it was removed; not if it was only touched.
    A folder counts as changed if the set of Python files and folders in it is different.
    """

    def __init__(self) -> None:
        self._looks: dict[Path, Look] = {}
        self._contents: dict[Path, bytes | None] = {}
        self._moved: dict[Path, Look] = {}
        self._equal = 0

    def __len__(self) -> int:
        return len(self._looks)

    def __contains__(self, path: Path) -> bool:
        return path in self._looks

    @property
    def is_restless(self) -> bool:
        """Whether a file is being written, so that the next poll should come soon."""
        return bool(self._moved)

    def replace(self, paths: Iterable[Path], *, since: float) -> None:
        """Watch exactly *paths* from now on; see `add`."""
        paths = set(paths)
        for gone in self._looks.keys() - paths:
            del self._looks[gone], self._contents[gone]
        self.add(paths, since=since)

    def add(self, paths: Iterable[Path], *, since: float) -> None:
        """Watch *paths* as well. A new one that was written after *since* counts as changed.

        Args:
            paths: Absolute paths of files and folders; they need not exist.
            since: When their reader started: wall-clock time, in seconds.
        """
        for path in paths:
            if path in self._looks:
                continue
            before, content, look = _look(path), _content(path), _look(path)
            # a file replaced while it is being read is not what the reader read, whatever its timestamp
            is_new = look is not None and (look != before or look[0] > since * 1e9) and not path.is_dir()
            self._looks[path], self._contents[path] = (None, None) if is_new else (before, content)

    def changed(self) -> list[Path]:
        """Poll all files; returns those changed since last reported, except files that are still being written."""
        moved = {path: look for path, before in self._looks.items() if (look := _look(path)) != before}
        if not moved:
            self._moved = {}
            return []
        self._equal = self._equal + 1 if moved == self._moved else 0
        self._moved = moved
        if self._equal < (_GONE if None in moved.values() else _QUIET):
            return []
        self._moved = {}
        return self._take(moved)

    def _take(self, moved: Mapping[Path, Look]) -> list[Path]:
        """Store their present state; returns those with different content."""
        other: list[Path] = []
        for path, look in moved.items():
            self._looks[path] = look
            content = _content(path)
            if content != self._contents[path]:
                self._contents[path] = content
                other.append(path)
        return sorted(other)


def _look(path: Path) -> Look:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, and called constantly
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes | None:
    """A value that differs when the content differs; None if it cannot be read."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return "\0".join(sorted(each.name for each in path.iterdir() if _is_module(each))).encode()
        return hashlib.blake2b(path.read_bytes()).digest()
    except OSError:
        return None


def _is_module(path: Path) -> bool:
    """Whether it can be imported by its name."""
    return path.stem.isidentifier() and (path.suffix == ".py" or (path.name != "__pycache__" and path.is_dir()))
