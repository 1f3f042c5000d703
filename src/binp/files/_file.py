"""A file that an action takes or returns: name, media type, and content that is read on demand."""

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

#: key that marks the JSON description of a file: ``{"$file": "x.csv", "size": 12, "type": "text/csv", ...}``
MARK = "$file"
#: key in a description that selects one of the files uploaded with the request
UPLOAD = "upload"

#: maximum length of a name, in characters
_LONGEST = 200
#: bytes per read
_CHUNK = 256 * 1024

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[\w!#$&^.+-]+", re.ASCII)

Content = Path | bytes | Iterable[bytes] | AsyncIterable[bytes]


class File:
    """A file that an action takes as an argument, or returns as its result.

    As a parameter it is a file input in the console, a part of a form over HTTP, a path on the command line, and a
    ``Path``, ``bytes`` or ``File`` in Python. It is available until the run has ended. As a result it is kept as long
    as its run, and can be downloaded.

    Args:
        content: The path of a file, bytes, or a sync or async iterable of bytes, which can be read once.
        name: File name. Default: the name of the path. It is never used as a path.
        type: Media type. Default: guessed from the name.

    Raises:
        BinpError: *content* is of another type.
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
        #: file name without folders
        self.name = _clean(given)
        #: media type as declared or guessed; the content is not inspected
        self.type = _media_type(type) or mimetypes.guess_type(self.name)[0] or "application/octet-stream"
        #: size in bytes; None while it is unknown
        self.size = _size_of(content)
        #: SHA-256 of the content in hexadecimal; None before it was read
        self.sha256: str | None = None
        #: identifies it among the files uploaded with a request
        self.token: str | None = None
        #: the argument from which it was made
        self.given: object = None

    def __repr__(self) -> str:
        size = "" if self.size is None else f", {self.size} bytes"
        return f"<File {self.name!r}, {self.type}{size}>"

    @property
    def path(self) -> Path:
        """Its path on disk.

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
            OSError: it no longer exists, or cannot be read.
            BinpError: its content is an iterable that was not stored yet.
        """
        if isinstance(self._content, Path):
            return self._content.open("rb")
        if isinstance(self._content, bytes):
            return io.BytesIO(self._content)
        raise BinpError(f"{self!r} is yet to be made", fix="return it, or pass it to an action that is started")

    def read_bytes(self) -> bytes:
        """Its whole content, in memory. Raises the same errors as :meth:`open`."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Its whole text, in memory. Raises the same errors as :meth:`open`, and UnicodeDecodeError."""
        return self.read_bytes().decode(encoding)

    def described(self) -> dict[str, Any]:
        """Its description in the history: name, size, type and digest, never its content."""
        return {MARK: self.name, "size": self.size, "type": self.type, "sha256": self.sha256}

    async def chunks(self, in_thread: Callable[..., Any]) -> AsyncIterator[bytes]:
        """Its content in chunks; *in_thread* runs a blocking function in a thread and awaits it."""
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
        """A file with the same name and type, stored at *path*."""
        made = File(path, name=self.name, type=self.type)
        made.size, made.sha256, made.token = size, sha256, token
        return made

    def become(self, kept: File) -> None:
        """Take over content, size, digest and token of *kept*, its stored copy."""
        self._content, self.size, self.sha256, self.token = kept._content, kept.size, kept.sha256, kept.token

    def note(self, kept: File) -> None:
        """Take over size and digest of *kept*, a stored copy; the content too, if it can only be read once."""
        if isinstance(self._content, Path | bytes):
            self.size, self.sha256 = kept.size, kept.sha256
        else:
            self._content, self.size, self.sha256 = kept._content, kept.size, kept.sha256

    def relocate(self, path: Path) -> None:
        """Take note that it was moved to *path*."""
        self._content = path

    def copied(self) -> File:
        """A second object with the same content."""
        made = File(self._content, name=self.name, type=self.type)
        made.size, made.sha256, made.token = self.size, self.sha256, self.token
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Validate form values with `_validate`."""
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(
            _validate, serialization=core_schema.plain_serializer_function_ser_schema(_serialize, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """The JSON schema of a file input."""
        return {"type": "string", "format": "binary"}


def _serialize(value: Any) -> Any:
    # a default is not validated, and may be of another type
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
    """*name* without folders and control characters, and not too long."""
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
