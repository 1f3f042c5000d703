"""Whether files have changed, told by looking at them again and again."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

#: What the system says of a file: when it was written, its size, which one it is; None where there is none.
Look = tuple[int, int, int] | None

#: Equal looks in a row after which a file is quiet, and after which one that is missing is gone: editors put a new file
#: in the place of the old one, and some of them leave that place empty for a moment.
_QUIET: Final = 1
_GONE: Final = 5


class Files:
    """Files that are looked at, and what they held when they were last told of.

    A file has changed when it holds something else, has come, or has gone; not when it was only touched. A folder has
    changed when another Python file or folder is in it.
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
        """Whether something is being written: it is worth looking again soon."""
        return bool(self._moved)

    def replace(self, paths: Iterable[Path], *, since: float) -> None:
        """Look at *paths* from now on, and at nothing else; see `add`."""
        paths = set(paths)
        for gone in self._looks.keys() - paths:
            del self._looks[gone], self._contents[gone]
        self.add(paths, since=since)

    def add(self, paths: Iterable[Path], *, since: float) -> None:
        """Look at *paths* as well. One that is new here and was written after *since* counts as changed.

        Args:
            paths: Absolute paths of files and folders; they need not exist.
            since: The time of the system's clock, in seconds, when whoever reads them began.
        """
        for path in paths:
            if path in self._looks:
                continue
            before, content, look = _look(path), _content(path), _look(path)
            # what is replaced while it is read is not what was read when the reader began, however old it says it is
            is_new = look is not None and (look != before or look[0] > since * 1e9) and not path.is_dir()
            self._looks[path], self._contents[path] = (None, None) if is_new else (before, content)

    def changed(self) -> list[Path]:
        """Look at all of them: which have changed since they were last told. One that is being written has not yet."""
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
        """Note how they are now; which of them hold something else."""
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
        found = os.stat(path)  # noqa: PTH116 - half the price of that of a path, and this is done all the time
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes | None:
    """What tells the contents of two files apart; None where there is nothing to read."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return "\0".join(sorted(each.name for each in path.iterdir() if _is_module(each))).encode()
        return hashlib.blake2b(path.read_bytes()).digest()
    except OSError:
        return None


def _is_module(path: Path) -> bool:
    """Whether it can be imported by its name."""
    return path.stem.isidentifier() and (path.suffix == ".py" or (path.name != "__pycache__" and path.is_dir()))
