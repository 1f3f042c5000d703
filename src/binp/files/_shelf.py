"""Where files are kept: a folder beside the database, within limits."""

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
#: seconds after which nobody comes any more for a file that came in
_FORGOTTEN = 3600.0
#: bytes that are collected before a thread writes them
_BATCH = 512 * 1024


class FileTooLarge(BinpError):
    """A file has more bytes than are taken.

    Attributes:
        name: What it is called.
        limit: The most bytes.
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
    """There is no room for a further file.

    Attributes:
        limit: The most bytes of all files that wait, or are used by runs.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the files that runs are using have {limit} bytes, and there is no room for more",
            where="[binp.files] total or BINP_FILES_TOTAL",
            fix="wait until some runs have ended, or raise the limit",
        )
        self.limit = limit


class FileGone(BinpError):
    """A run returned a file that is not kept any more.

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
    """How much is kept."""

    #: bytes of one file
    size: int
    #: bytes of all that come in, and of all that are returned
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
        #: bytes that it may have without asking again
        self._allowed = 0
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._out = os.fdopen(descriptor, "wb", buffering=0)

    async def write(self, chunk: bytes) -> None:
        """Take *chunk*.

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
            # it is looked what there is, and others who look are waited for
            self._allowed = await asyncio.to_thread(self._allow, self._size)
        self._waiting += chunk
        if len(self._waiting) >= _BATCH:
            await self._flush()

    async def finish(self, token: str | None = None) -> File:
        """The file, safely on disk."""
        await self._flush()
        await asyncio.to_thread(self._close)
        return self._file.moved(self.path, size=self._size, sha256=self._digest.hexdigest(), token=token)

    def discard(self) -> None:
        """Take it away. Idempotent."""
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
        # what was had in advance is given back
        self._out.truncate(self._size)
        os.fsync(self._out.fileno())
        self._out.close()


class Shelf:
    """The files of one database: those that have just come in, those of runs, and those that runs returned.

    Making one opens nothing; folders are made when the first file comes.

    Args:
        place: The folder.
        limits: How much is kept.
    """

    def __init__(self, place: Path, limits: Limits) -> None:
        self.limits = limits
        self._new, self._in, self._out = place / "new", place / "in", place / "out"
        self._room = Room(self._new, self._in)
        self._presence = Presence(self._new)
        self._lock = threading.Lock()
        # what this process has among those that have just come in, which is why it is present:
        # names of those that are being written,
        self._drafts: set[str] = set()
        # those that no run has taken yet,
        self._uploads: dict[str, File] = {}
        # and those of runs that could not be moved to where those are
        self._left: dict[int, list[Path]] = {}

    # -- what comes in -------------------------------------------------------------------------------------------

    def receive(self, name: str | None, kind: str | None, most: int | None = None, where: str | None = None) -> Draft:
        """Begin to take a file in.

        Args:
            name: What it is called.
            kind: Its media type, as whoever sends it says.
            most: Bytes that are taken, if that is less than the settings say.
            where: What says so.

        Raises:
            OSError: no file can be made.
        """
        return self._draft(File(b"", name=name, type=kind), most, where)

    async def take(self, draft: Draft) -> File:
        """Have *draft* as an upload, which a form may be given by its token."""
        token = draft.path.name
        file = await draft.finish(token)
        self._uploads[token] = file
        self._drafts.discard(token)
        return file

    async def keep(self, file: File) -> File:
        """A copy of *file* that came from Python.

        Raises:
            FileTooLarge: it has more bytes than the settings say.
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
        """The upload that is meant, if it has not been taken yet."""
        found = self._uploads.get(str(described.get(UPLOAD)))
        return None if found is None else found.copied()

    def found_in(self, run: int) -> Callable[[Mapping[str, Any]], File | None]:
        """Finds what was given to *run*, by what is kept of it in the history."""

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
        """*file*, an upload, belongs to *run* from here on."""
        path = self._in / f"{run}.{file.sha256}"
        if file.token in self._uploads:
            try:
                make_folder(self._in)
                file.path.replace(path)
            except OSError as error:
                # as long as its run: it is only lost for one that survives a restart
                self._left.setdefault(run, []).append(file.path)
                _logger.warning("%s stays at %s, where a restart takes it away: %s", file.name, file.path, error)
            del self._uploads[file.token]
            self._leave_if_done()
        if path.is_file():
            file.relocate(path)

    def forget(self, token: str) -> None:
        """Take an upload away that nobody has taken. Idempotent."""
        if (file := self._uploads.pop(token, None)) is not None:
            file.path.unlink(missing_ok=True)
            self._leave_if_done()

    # -- what is returned ----------------------------------------------------------------------------------------

    async def keep_result(self, file: File, run: int, *, is_part: bool = False) -> File:
        """A copy of what *run* returned, or of a part of it; the oldest results go where there is no room.

        Raises:
            FileTooLarge: it has more bytes than the settings say.
            FilesFull: the run has returned more than there may be of all.
        """
        kept = await self.keep(file)
        path = self._out / (f"{run}.{kept.sha256}" if is_part else str(run))
        try:
            await asyncio.to_thread(self._settle, kept.path, path)
        finally:
            # it was moved, or is of no use
            self.forget(kept.token or "")
        return kept.moved(path, size=kept.size or 0, sha256=kept.sha256 or "")

    def lend(self, run: int) -> str:
        """How the paths begin at which another process may leave what *run* returns; they go with what it was given."""
        return str((self._in / f"{run}.returned-").absolute())

    def result_of(self, run: int, part: str | None = None) -> Path:
        """Where the file is that *run* returned; or one inside of what it returned, by the digest *part*.

        Raises:
            FileGone: it is not kept any more.
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
        """The runs to which files belong that were given to them, and that they returned."""
        given, returned = (
            {run for name, _, _ in look(folder) if (run := _run_of(name))} for folder in (self._in, self._out)
        )
        return given, returned

    def release(self, run: int, *, result: bool = False) -> None:
        """Take away what was given to *run*, and with *result* what it returned."""
        for folder in (self._in, self._out) if result else (self._in,):
            for name, _, _ in look(folder):
                if _run_of(name) == run:
                    (folder / name).unlink(missing_ok=True)
        for path in self._left.pop(run, ()):
            path.unlink(missing_ok=True)
        self._leave_if_done()

    def sweep_new(self) -> None:
        """Take away what came in and was never used: of processes that are gone, and what was forgotten by this one."""
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
        """Be present only as long as there is something for it: nothing is left behind."""
        with self._lock:
            if not (self._drafts or self._uploads or self._left):
                self._presence.leave()


def _run_of(name: str) -> int | None:
    """The run to which the file of this name belongs."""
    head = name.partition(".")[0]
    return int(head) if head.isdecimal() else None
