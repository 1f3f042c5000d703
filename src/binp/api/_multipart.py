"""Parse ``multipart/form-data`` (RFC 7578) incrementally, within limits."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote

from binp.errors import BinpError

__all__ = ["BadMultipart", "End", "Head", "boundary_of", "read_parts"]

#: maximum size of the headers of one part in bytes, and maximum number of parts
_HEADERS, _PARTS = 8192, 1000

_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


class BadMultipart(BinpError):
    """A body is not valid ``multipart/form-data``."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this is not multipart/form-data: {why}", fix="let a library write it: curl -F file=@x.csv")


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a part."""

    name: str
    #: None for a field that is not a file
    filename: str | None
    #: media type as sent
    type: str | None


@dataclass(frozen=True, slots=True)
class End:
    """The end of a part."""


def boundary_of(content_type: str) -> bytes:
    """The boundary in a Content-Type header.

    Raises:
        BadMultipart: there is none.
    """
    found = _parameters(content_type).get("boundary", "")
    if not 1 <= len(found) <= 200:
        raise BadMultipart("its type names no boundary")
    return found.encode("latin-1", "replace")


async def read_parts(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Head | bytes | End]:
    """Parse a body: for each part its head, its content in chunks, and its end.

    Raises:
        BadMultipart: it is invalid, or ends too early.
    """
    delimiter = b"\r\n--" + boundary
    source = _Source(chunks, b"\r\n")
    async for _ in source.until(delimiter):
        pass  # ignore the preamble
    for _ in range(_PARTS):
        line = await source.line(len(delimiter))
        if line.startswith(b"--"):
            return
        if line.strip(b" \t"):
            raise BadMultipart("there is something behind a boundary")
        yield _head(await source.headers())
        async for piece in source.until(delimiter):
            yield piece
        yield End()
    raise BadMultipart(f"it has more than {_PARTS} parts")


class _Source:
    """A buffer of received bytes."""

    def __init__(self, chunks: AsyncIterator[bytes], first: bytes) -> None:
        self._chunks = chunks
        self._held = bytearray(first)

    async def _more(self) -> None:
        async for chunk in self._chunks:
            if chunk:
                self._held += chunk
                return
        raise BadMultipart("it ends too early")

    async def until(self, mark: bytes) -> AsyncIterator[bytes]:
        """Everything before *mark*, in chunks; the mark is skipped."""
        while (at := self._held.find(mark)) < 0:
            # the end of the buffer may be the start of the mark
            safe = len(self._held) - len(mark) + 1
            if safe > 0:
                piece = bytes(self._held[:safe])
                del self._held[:safe]
                yield piece
            await self._more()
        piece = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        if piece:
            yield piece

    async def line(self, limit: int) -> bytes:
        """The rest of the line; a closing one needs no line end."""
        while (at := self._held.find(b"\r\n")) < 0:
            if self._held.startswith(b"--"):
                return b"--"
            if len(self._held) > limit:
                raise BadMultipart("there is something behind a boundary")
            await self._more()
        found = bytes(self._held[:at])
        # keep the line end: an empty set of headers starts and ends with it
        del self._held[:at]
        return found

    async def headers(self) -> bytes:
        while (at := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > _HEADERS:
                raise BadMultipart("the headers of a part are too long")
            await self._more()
        found = bytes(self._held[:at])
        del self._held[: at + 4]
        return found


def _head(text: bytes) -> Head:
    headers = {}
    for line in text.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    found = _parameters(headers.get("content-disposition", ""))
    if "name" not in found:
        raise BadMultipart("a part has no name")
    filename = found.get("filename")
    if (extended := found.get("filename*", "")).count("'") >= 2:
        filename = unquote(extended.split("'", 2)[2], errors="replace")
    return Head(found["name"], filename, headers.get("content-type"))


def _parameters(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        # browsers escape three characters in names like this, and do not escape backslashes
        text = re.sub(r'\\(")', r"\1", quoted).replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        found.setdefault(name.lower(), text if quoted else plain)
    return found
