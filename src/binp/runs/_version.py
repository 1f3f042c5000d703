"""Determine the version of the user's code behind each run, once per file and without running git."""

from __future__ import annotations

import hashlib
import os
import struct
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from binp.operations import Operation, Operations

__all__ = ["Versions"]

#: number of hexadecimal digits of a commit, and of a file's hash
_COMMIT, _FILE = 12, 8

#: a larger git index is not read, because that would take long; in bytes
_LARGEST_INDEX = 16 * 1024 * 1024

#: size of the header of an index, and of an entry up to its hash, in bytes
_HEAD, _BEFORE_HASH = 12, 40


@dataclass(frozen=True)
class _Tree:
    """A git tree at the time it was first read."""

    folder: Path
    commit: str
    #: hashes of the files in the index, by path
    files: dict[bytes, str]


class Versions:
    """The version of the code behind each operation, as its file was when first requested.

    A version is one of

    - ``3f2a9c1d02ab``: the file is as in the index of its git tree, which is at that commit;
    - ``3f2a9c1d02ab+5e6f7a8b``: the file is different; the second part is the hash of its content;
    - ``file 5e6f7a8b``: it is not in a git tree.

    Args:
        operations: Their files are read now, before anybody changes them.
    """

    def __init__(self, operations: Operations) -> None:
        self._by_file: dict[str, str | None] = {}
        self._by_folder: dict[Path, _Tree | None] = {}
        for kind in ("action", "journal", "service", "schedule"):
            for operation in operations.all(kind):
                self.of(operation)

    def of(self, operation: Operation) -> str | None:
        """The version of the file in which *operation* is defined; None if it is not defined in a file."""
        file = operation.file
        if file is None:
            return None
        try:
            return self._by_file[file]
        except KeyError:
            version = self._by_file[file] = self._version(Path(file))
            return version

    def _version(self, file: Path) -> str | None:
        try:
            content = file.read_bytes()
            file = file.resolve()
        except OSError:
            return None
        blob = b"blob %d\0%b" % (len(content), content)
        own = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
        tree = self._tree(file.parent)
        if tree is None:
            return f"file {own[:_FILE]}"
        hashed = own if len(tree.commit) == len(own) else hashlib.sha256(blob).hexdigest()
        is_clean = tree.files.get(os.fsencode(file.relative_to(tree.folder).as_posix())) == hashed
        return tree.commit[:_COMMIT] if is_clean else f"{tree.commit[:_COMMIT]}+{own[:_FILE]}"

    def _tree(self, folder: Path) -> _Tree | None:
        if folder not in self._by_folder:
            try:
                found = _tree_around(folder)
            except (OSError, ValueError, struct.error):
                # an unreadable tree gives no version
                found = None
            self._by_folder[folder] = found
        return self._by_folder[folder]


def _tree_around(folder: Path) -> _Tree | None:
    """The git tree that contains *folder*; None if there is none, and for installed libraries."""
    if {"site-packages", "dist-packages"} & set(folder.parts) or folder.is_relative_to(sysconfig.get_path("stdlib")):
        return None
    for each in (folder, *folder.parents):
        git = each / ".git"
        if git.is_file():
            # a linked worktree, or a submodule
            git = (each / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
        if (git / "HEAD").is_file():
            commit = _commit(git)
            return None if commit is None else _Tree(each, commit, _files(git / "index", len(commit) // 2))
    return None


def _commit(git: Path) -> str | None:
    """The commit of the tree; None before the first commit."""
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    shared = git / "commondir"
    common = (git / shared.read_text(encoding="utf-8").strip()).resolve() if shared.is_file() else git
    for place in (git / name, common / name):
        if place.is_file():
            return place.read_text(encoding="utf-8").strip()
    packed = common / "packed-refs"
    for line in packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else ():
        commit, _, found = line.partition(" ")
        if found == name:
            return commit
    return None


def _files(place: Path, size: int) -> dict[bytes, str]:
    """The files in the index at *place*, with hashes of *size* bytes; empty if it cannot be read."""
    if not place.is_file() or place.stat().st_size > _LARGEST_INDEX:
        return {}
    index = place.read_bytes()
    signature, version, count = struct.unpack_from(">4sII", index)
    if signature != b"DIRC" or version not in {2, 3}:
        return {}
    found = {}
    position = _HEAD
    for _ in range(count):
        after = position + _BEFORE_HASH + size
        (flags,) = struct.unpack_from(">H", index, after)
        # in index version 3, a flag marks entries that have two more bytes
        begin = after + (4 if flags & 0x4000 else 2)
        end = index.index(b"\0", begin)
        found[index[begin:end]] = index[position + _BEFORE_HASH : after].hex()
        # each entry is padded with one to eight zeros to a multiple of eight bytes
        position += (end - position) // 8 * 8 + 8
    return found
