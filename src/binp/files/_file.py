"""A file as an action takes and returns it: a name, a type, and content that is read when it is wanted."""

from __future__ import annotations

import io
import mimetypes
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from binp.errors import BinpError

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = ["MARK", "UPLOAD", "File"]

#: key that marks the description of a file in JSON: ``{"$file": "x.csv", "size": 12, "type": "text/csv", ...}``
MARK = "$file"
#: key of a description that says which of the files that have just come in is meant
UPLOAD = "upload"

#: characters of a name
_LONGEST = 200
#: bytes that are read at once
_CHUNK = 256 * 1024

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[\w!#$&^.+-]+", re.ASCII)

Content = Path | bytes | Iterable[bytes] | AsyncIterable[bytes]


class File:
    """A file that an action takes as an argument, or returns as its result.

    As a parameter it is a choice of a file in the console, a part of a form over HTTP, a path on the command line, and
    a ``Path``, ``bytes`` or ``File`` in Python. It is there until the run has ended. As a result it is kept as long as
    its run, to be downloaded.

    Args:
        content: The path of a file, bytes, or what yields bytes, also asynchronously; that can be read once.
        name: What it is called; the name of the path by default. It is never used as a path.
        type: Its media type; by default the one that its name suggests.

    Raises:
        BinpError: *content* is none of these.
    """

    __slots__ = ("_content", "given", "name", "sha256", "size", "token", "type")

    def __init__(self, content: Content, *, name: str | None = None, type: str | None = None) -> None:  # noqa: A002 - the word of everybody who handles files
        if isinstance(content, str) or not isinstance(content, PurePath | bytes | Iterable | AsyncIterable):
            raise BinpError(
                f"a File cannot be made of {content.__class__.__name__}",
                fix="give it a pathlib.Path, bytes, or an iterator of bytes; a text as text.encode()",
            )
        self._content = content
        given = name if name is not None else content.name if isinstance(content, PurePath) else "file"
        #: what it is called, without folders
        self.name = _clean(given)
        #: its media type, as somebody said; it is not looked into
        self.type = _media_type(type) or mimetypes.guess_type(self.name)[0] or "application/octet-stream"
        #: bytes; None as long as that is not known
        self.size = _size_of(content)
        #: hexadecimal digest of its content; None as long as it has not been read
        self.sha256: str | None = None
        #: names it among those that have just come in
        self.token: str | None = None
        #: the argument that it was made of, as it was given
        self.given: object = None

    def __repr__(self) -> str:
        size = "" if self.size is None else f", {self.size} bytes"
        return f"<File {self.name!r}, {self.type}{size}>"

    @property
    def path(self) -> Path:
        """Where it is on disk.

        Raises:
            BinpError: it is in memory.
        """
        if isinstance(self._content, Path):
            return self._content
        raise BinpError(f"{self!r} is in no file", fix="read it with open() or read_bytes()")

    @property
    def is_on_disk(self) -> bool:
        """Whether it has a path."""
        return isinstance(self._content, Path)

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            OSError: it is not there any more, or cannot be read.
            BinpError: it is made of what can be read once, and was not kept yet.
        """
        if isinstance(self._content, Path):
            return self._content.open("rb")
        if isinstance(self._content, bytes):
            return io.BytesIO(self._content)
        raise BinpError(f"{self!r} is yet to be made", fix="return it, or pass it to an action that is started")

    def read_bytes(self) -> bytes:
        """All that is in it, in memory. Raises like :meth:`open`."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of its text, in memory. Raises like :meth:`open`, and for what is not text in that encoding."""
        return self.read_bytes().decode(encoding)

    def described(self) -> dict[str, Any]:
        """What is kept of it in the history: name, size, type and digest, never its content."""
        return {MARK: self.name, "size": self.size, "type": self.type, "sha256": self.sha256}

    async def chunks(self, in_thread: Callable[..., Any]) -> AsyncIterator[bytes]:
        """Its content, bit by bit; *in_thread* awaits a function that blocks."""
        content = self._content
        if isinstance(content, AsyncIterable):
            async for chunk in content:
                yield chunk
            return
        if isinstance(content, PurePath | bytes):
            with await in_thread(self.open) as file:
                while chunk := await in_thread(file.read, _CHUNK):
                    yield chunk
            return
        source = iter(content)
        while (chunk := await in_thread(next, source, None)) is not None:
            yield chunk

    def moved(self, path: Path, *, size: int, sha256: str, token: str | None = None) -> File:
        """The same file as it was kept at *path*."""
        made = File(path, name=self.name, type=self.type)
        made.size, made.sha256, made.token = size, sha256, token
        return made

    def become(self, kept: File) -> None:
        """Be what was kept of it."""
        self._content, self.size, self.sha256, self.token = kept._content, kept.size, kept.sha256, kept.token

    def note(self, kept: File) -> None:
        """*kept* is a copy of it: say the same, and if it could be read once only, be the copy."""
        if isinstance(self._content, Path | bytes):
            self.size, self.sha256 = kept.size, kept.sha256
        else:
            self._content, self.size, self.sha256 = kept._content, kept.size, kept.sha256

    def relocate(self, path: Path) -> None:
        """It was moved to *path*."""
        self._content = path

    def copied(self) -> File:
        """Another one of the same content."""
        made = File(self._content, name=self.name, type=self.type)
        made.size, made.sha256, made.token = self.size, self.sha256, self.token
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """How a form reads it."""
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(
            _validate, serialization=core_schema.plain_serializer_function_ser_schema(_serialize, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """How a form shows it."""
        return {"type": "string", "format": "binary"}


def _serialize(value: Any) -> Any:
    # a default that was never validated may be something else
    return value.described() if isinstance(value, File) else None if value is None else str(value)


def _validate(value: Any, info: Any) -> File:
    from pydantic_core import PydanticCustomError

    context: Mapping[str, Any] = info.context or {}
    if isinstance(value, File):
        made = value.copied()
    elif isinstance(value, Path):
        if not value.is_file():
            raise PydanticCustomError("file_missing", "there is no file {path}", {"path": repr(str(value))})
        made = File(value)
    elif isinstance(value, bytes):
        made = File(value)
    elif isinstance(value, Mapping) and MARK in value:
        find: Callable[[Mapping[str, Any]], File | None] | None = context.get("find")
        found = None if find is None else find(value)
        if found is None:
            raise PydanticCustomError("file_gone", "the file is not there any more: give it again")
        made = found
    else:
        raise PydanticCustomError("file_type", "a file is expected")
    if (collected := context.get("files")) is not None:
        made.given = value
        collected.append(made)
    return made


def _clean(name: str) -> str:
    """*name* without folders and without what would show as something else."""
    last = _ODD.sub("", re.split(r"[\\/]", name)[-1]).strip()
    if len(last) > _LONGEST:
        stem, dot, end = last.rpartition(".")
        last = f"{stem[: _LONGEST - len(end) - 1]}.{end}" if dot and len(end) < 20 else last[:_LONGEST]
    return last if last.strip(".") else "file"


def _media_type(text: str | None) -> str | None:
    kind = (text or "").partition(";")[0].strip().lower()
    return kind if len(kind) <= 100 and _TYPE.fullmatch(kind) else None


def _size_of(content: Any) -> int | None:
    if isinstance(content, bytes):
        return len(content)
    try:
        return int(content.stat().st_size) if isinstance(content, Path) else None
    except OSError:
        return None
