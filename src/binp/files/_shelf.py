"""Store files in a folder beside the database, within limits."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binp.errors import BinpError

from ._file import MARK, UPLOAD, File
from ._presence import Presence
from ._room import Room, look, make_folder

__all__ = ["Draft", "FileGone", "FileTooLarge", "FilesFull", "Limits", "Shelf"]

_logger = logging.getLogger("binp.files")

_DIGEST = re.compile(r"[0-9a-f]{64}")
#: seconds after which an unused upload is removed
_FORGOTTEN = 3600.0
#: bytes to collect before a thread writes them
_BATCH = 512 * 1024


class FileTooLarge(BinpError):
    """A file is larger than allowed.

    Attributes:
        name: Its name.
        limit: The maximum size, in bytes.
    """

    def __init__(self, name: str, limit: int, *, where: str) -> None:
        super().__init__(
            f"{name} has more than {limit} bytes, which is the most that is taken",
            where=where,
            fix="send a smaller file, or raise the limit",
        )
        self.name = name
        self.limit = limit


class FilesFull(BinpError):
    """There is no room for another file.

    Attributes:
        limit: The maximum bytes of all files that are uploaded or used by runs.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the files that runs are using have {limit} bytes, and there is no room for more",
            where="[binp.files] total or BINP_FILES_TOTAL",
            fix="wait until some runs have ended, or raise the limit",
        )
        self.limit = limit


class FileGone(BinpError):
    """A file that a run returned is no longer stored.

    Attributes:
        run: Its id.
    """

    def __init__(self, run: int) -> None:
        super().__init__(
            f"the file of run {run} is not kept any more",
            where="[binp.files] total or BINP_FILES_TOTAL",
            fix="start the action again, or raise the limit for those to come",
        )
        self.run = run


@dataclass(frozen=True, slots=True)
class Limits:
    """The size limits."""

    #: maximum bytes of one file
    size: int
    #: maximum bytes of all uploads and arguments, and of all results
    total: int


class Draft:
    """A file that is being written; its content goes to disk, and is never in memory as a whole."""

    def __init__(
        self,
        file: File,
        path: Path,
        allow: Callable[[int], int],
        most: int,
        where: str,
        ended: Callable[[str], None],
    ) -> None:
        self.path = path
        self._file = file
        self._allow = allow
        self._most = most
        self._where = where
        self._ended = ended
        self._size = 0
        #: bytes that it may have without asking for more room
        self._allowed = 0
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._out = os.fdopen(descriptor, "wb", buffering=0)

    async def write(self, chunk: bytes) -> None:
        """Append *chunk*.

        Raises:
            FileTooLarge: it has become too large.
            FilesFull: there is no room for it.
            OSError: it cannot be written.
        """
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise BinpError(
                f"{self._file.name} yields {chunk.__class__.__name__}, not bytes", fix="encode it: text.encode()"
            )
        self._size += len(chunk)
        if self._size > self._most:
            raise FileTooLarge(self._file.name, self._most, where=self._where)
        if self._size > self._allowed:
            # in a thread: counting the files takes time, and may wait for other processes
            self._allowed = await asyncio.to_thread(self._allow, self._size)
        self._waiting += chunk
        if len(self._waiting) >= _BATCH:
            await self._flush()

    async def finish(self, token: str | None = None) -> File:
        """Complete the file, safely on disk."""
        await self._flush()
        await asyncio.to_thread(self._close)
        return self._file.moved(self.path, size=self._size, sha256=self._digest.hexdigest(), token=token)

    def discard(self) -> None:
        """Remove it. Idempotent."""
        self._out.close()
        self.path.unlink(missing_ok=True)
        self._ended(self.path.name)

    async def _flush(self) -> None:
        content, self._waiting = bytes(self._waiting), bytearray()
        if content:
            await asyncio.to_thread(self._put, content)

    def _put(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._out.write(rest) :]
        self._digest.update(content)

    def _close(self) -> None:
        # release the bytes that were reserved in advance
        self._out.truncate(self._size)
        os.fsync(self._out.fileno())
        self._out.close()


class Shelf:
    """The files of one database: uploads, arguments of runs, and results of runs.

    Creating one opens nothing; folders are created with the first file.

    Args:
        place: The folder.
        limits: The size limits.
    """

    def __init__(self, place: Path, limits: Limits) -> None:
        self.limits = limits
        self._new, self._in, self._out = place / "new", place / "in", place / "out"
        self._room = Room(self._new, self._in)
        self._presence = Presence(self._new)
        self._lock = threading.Lock()
        # uploads of this process, for which it holds its presence lock:
        # names of those that are being written,
        self._drafts: set[str] = set()
        # those that no run has claimed yet,
        self._uploads: dict[str, File] = {}
        # and those of runs that could not be moved to the folder for arguments
        self._left: dict[int, list[Path]] = {}

    # -- what comes in -------------------------------------------------------------------------------------------

    def receive(self, name: str | None, kind: str | None, most: int | None = None, where: str | None = None) -> Draft:
        """Start receiving an upload.

        Args:
            name: File name.
            kind: Media type, as given by the sender.
            most: Maximum size in bytes, if less than the settings allow.
            where: What sets this maximum.

        Raises:
            OSError: no file can be created.
        """
        return self._draft(File(b"", name=name, type=kind), most, where)

    async def take(self, draft: Draft) -> File:
        """Complete *draft* as an upload, which the arguments of a form can refer to by its token."""
        token = draft.path.name
        file = await draft.finish(token)
        self._uploads[token] = file
        self._drafts.discard(token)
        return file

    async def keep(self, file: File) -> File:
        """Store a copy of *file* from Python.

        Raises:
            FileTooLarge: it is larger than the settings allow.
            FilesFull: there is no room for it.
        """
        draft = self._draft(file, None, None)
        try:
            async for chunk in file.chunks(asyncio.to_thread):
                await draft.write(chunk)
            return await self.take(draft)
        except BaseException:
            draft.discard()
            raise

    def find(self, described: Mapping[str, Any]) -> File | None:
        """The upload for a description, unless it was claimed already."""
        found = self._uploads.get(str(described.get(UPLOAD)))
        return None if found is None else found.copied()

    def found_in(self, run: int) -> Callable[[Mapping[str, Any]], File | None]:
        """Finds the files given to *run*, by their descriptions in the history."""

        def find(described: Mapping[str, Any]) -> File | None:
            digest = str(described.get("sha256"))
            path = self._in / f"{run}.{digest}"
            if not _DIGEST.fullmatch(digest) or not path.is_file():
                return None
            made = File(path, name=str(described[MARK]), type=str(described.get("type")))
            made.sha256 = digest
            return made

        return find

    def claim(self, file: File, run: int) -> None:
        """Assign *file*, an upload, to *run*."""
        path = self._in / f"{run}.{file.sha256}"
        if file.token in self._uploads:
            try:
                make_folder(self._in)
                file.path.replace(path)
            except OSError as error:
                # it still exists as long as its run, unless the run survives a restart
                self._left.setdefault(run, []).append(file.path)
                _logger.warning("%s stays at %s, where a restart takes it away: %s", file.name, file.path, error)
            del self._uploads[file.token]
            self._leave_if_done()
        if path.is_file():
            file.relocate(path)

    def forget(self, token: str) -> None:
        """Remove an upload that was not claimed. Idempotent."""
        if (file := self._uploads.pop(token, None)) is not None:
            file.path.unlink(missing_ok=True)
            self._leave_if_done()

    # -- what is returned ----------------------------------------------------------------------------------------

    async def keep_result(self, file: File, run: int, *, is_part: bool = False) -> File:
        """Store a copy of what *run* returned, or of a part of it; the oldest results are removed if there is no room.

        Raises:
            FileTooLarge: it is larger than the settings allow.
            FilesFull: the run has returned more than all results together may have.
        """
        kept = await self.keep(file)
        path = self._out / (f"{run}.{kept.sha256}" if is_part else str(run))
        try:
            await asyncio.to_thread(self._settle, kept.path, path)
        finally:
            # it was moved, or is not needed
            self.forget(kept.token or "")
        return kept.moved(path, size=kept.size or 0, sha256=kept.sha256 or "")

    def lend(self, run: int) -> str:
        """The path prefix for what another process returns for *run*; removed with the run's arguments."""
        return str((self._in / f"{run}.returned-").absolute())

    def result_of(self, run: int, part: str | None = None) -> Path:
        """The path of the file that *run* returned; with *part*, of the nested file with that digest.

        Raises:
            FileGone: it is no longer stored.
        """
        path = self._out / (str(run) if part is None else f"{run}.{part}")
        if (part is not None and not _DIGEST.fullmatch(part)) or not path.is_file():
            raise FileGone(run)
        return path

    def _settle(self, path: Path, target: Path) -> None:
        make_folder(self._out)
        path.replace(target)
        kept = sorted((at, name, size) for name, size, at in look(self._out))
        room = sum(size for _, _, size in kept) - self.limits.total
        for _, name, size in kept:
            if room <= 0:
                return
            if _run_of(name) != _run_of(target.name):
                (self._out / name).unlink(missing_ok=True)
                room -= size
        if room > 0 and "." in target.name:
            target.unlink()
            raise FilesFull(self.limits.total)

    # -- care ----------------------------------------------------------------------------------------------------

    def owners(self) -> tuple[set[int], set[int]]:
        """The runs that have files as arguments, and those that have files as results."""
        given, returned = (
            {run for name, _, _ in look(folder) if (run := _run_of(name))} for folder in (self._in, self._out)
        )
        return given, returned

    def release(self, run: int, *, result: bool = False) -> None:
        """Remove the argument files of *run*, and with *result* also the files that it returned."""
        for folder in (self._in, self._out) if result else (self._in,):
            for name, _, _ in look(folder):
                if _run_of(name) == run:
                    (folder / name).unlink(missing_ok=True)
        for path in self._left.pop(run, ()):
            path.unlink(missing_ok=True)
        self._leave_if_done()

    def sweep_new(self) -> None:
        """Remove unused uploads: those of dead processes, and those that were forgotten by this one."""
        used = {*self._drafts, *self._uploads, *(path.name for paths in list(self._left.values()) for path in paths)}
        there: dict[str, bool] = {}
        for name, _, at in look(self._new):
            owner = self._presence.owner_of(name)
            if owner not in there:
                there[owner] = self._presence.is_there(owner)
            is_forgotten = self._presence.is_own(owner) and time.time() - at > _FORGOTTEN
            if not there[owner] or (is_forgotten and name not in used and not self._presence.is_lock(name)):
                (self._new / name).unlink(missing_ok=True)

    def _draft(self, file: File, most: int | None, where: str | None) -> Draft:
        make_folder(self._new)
        limit, said = self.limits.size, "[binp.files] size or BINP_FILES_SIZE"
        if most is not None and most < limit:
            limit, said = most, where or said
        total = self.limits.total
        with self._lock:
            name = f"{self._presence.name()}.{secrets.token_hex(16)}"
            self._drafts.add(name)

        def allow(size: int) -> int:
            allowed = self._room.grow(self._new / name, size, limit, total)
            if not allowed:
                raise FilesFull(total)
            return allowed

        try:
            return Draft(file, self._new / name, allow, limit, said, self._discarded)
        except BaseException:
            self._discarded(name)
            raise

    def _discarded(self, name: str) -> None:
        self._drafts.discard(name)
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        """Release the presence lock if this process has no uploads, so that nothing is left behind."""
        with self._lock:
            if not (self._drafts or self._uploads or self._left):
                self._presence.leave()


def _run_of(name: str) -> int | None:
    """The run that the file of this name belongs to."""
    head = name.partition(".")[0]
    return int(head) if head.isdecimal() else None
