"""Encode arguments and files as a multipart form, reading the files while it is sent."""

from __future__ import annotations

import json
import mimetypes
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binp.errors import UsageError

__all__ = ["CHUNK", "Upload", "upload_of"]

#: bytes per read
CHUNK = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """The body of a request, and the headers that describe it."""

    #: Content-Type and Content-Length
    headers: dict[str, str]
    #: the chunks of the body; raises UsageError if a file cannot be read
    chunks: Iterator[bytes]


def upload_of(arguments: Mapping[str, Any], files: Sequence[tuple[str, Path]]) -> Upload:
    """*arguments* as JSON, and *files*, each under the path of its parameter.

    Raises:
        OSError: a file does not exist.
    """
    boundary = secrets.token_hex(16)
    parts: list[bytes | Path] = [_part(boundary, "arguments"), json.dumps(arguments).encode()]
    for name, file in files:
        parts += [b"\r\n" + _part(boundary, name, file), file]
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    size = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in parts)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(size)}
    return Upload(headers=headers, chunks=_chunks(parts))


def _part(boundary: str, name: str, file: Path | None = None) -> bytes:
    """The header of a part of a form."""
    named = "" if file is None else f'; filename="{_quoted(file.name)}"'
    kind = "" if file is None else (mimetypes.guess_type(file.name)[0] or "application/octet-stream")
    lines = [f"--{boundary}", f'Content-Disposition: form-data; name="{_quoted(name)}"{named}']
    return "\r\n".join([*lines, *([f"Content-Type: {kind}"] if kind else []), "", ""]).encode()


def _quoted(text: str) -> str:
    """Quote a name in a form as browsers do."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _chunks(parts: Iterable[bytes | Path]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        try:
            with part.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise UsageError(f"{part} cannot be read: {error.strerror or error}") from None
