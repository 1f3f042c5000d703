"""Hand files over to another process on the same machine, and take back the ones that it returns."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from binp.errors import BinpError

from ._file import MARK, UPLOAD, File
from ._inside import files_in
from ._room import make_folder
from ._shelf import FileTooLarge

__all__ = ["finder", "give_back", "hand_over", "place_of", "take_back"]

_CHUNK = 256 * 1024


def hand_over(files: Sequence[File]) -> list[dict[str, Any]]:
    """What another process needs to know about *files*, which stay on disk as long as it needs them."""
    return [
        {
            "path": str(file.path.absolute()),
            "name": file.name,
            "type": file.type,
            "size": file.size,
            "sha256": file.sha256,
            "token": file.token,
        }
        for file in files
    ]


def place_of(number: int) -> dict[str, Any]:
    """A placeholder for the handed-over file with that *number*, if its argument was not JSON."""
    return {MARK: "", UPLOAD: _key(number)}


def finder(told: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], File | None]:
    """Finds the files described by :func:`hand_over`, by their placeholders in JSON."""
    known: dict[str, File] = {}
    for number, each in enumerate(told):
        file = File(Path(each["path"]), name=each["name"], type=each["type"])
        file.size, file.sha256 = each["size"], each["sha256"]
        known |= {str(key): file for key in (_key(number), each["token"], each["sha256"]) if key}

    def find(described: Mapping[str, Any]) -> File | None:
        found = known.get(str(described.get(UPLOAD) or described.get("sha256")))
        if found is None:
            return None
        made = found.copied()
        # two files may have the same content
        made.name, made.type = str(described[MARK] or made.name), str(described.get("type") or made.type)
        return made

    return find


async def give_back(value: Any, place: str, limit: int) -> dict[str, Any]:
    """Write the files in *value* to where the other process finds them.

    Args:
        value: The result of the function.
        place: Prefix of their paths.
        limit: Maximum size of one file, in bytes.

    Returns:
        The paths of the files, by digest.

    Raises:
        FileTooLarge: a file is larger.
        BinpError: a file yields something else than bytes.
        OSError: a file cannot be read or written.
    """
    told: dict[str, Any] = {}
    for number, file in enumerate(files_in(value)):
        path = Path(f"{place}{number}")
        make_folder(path.parent)
        digest = hashlib.sha256()
        size = 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            async for chunk in file.chunks(asyncio.to_thread):
                if not isinstance(chunk, bytes | bytearray | memoryview):
                    raise BinpError(
                        f"{file.name} yields {chunk.__class__.__name__}, not bytes", fix="encode it: text.encode()"
                    )
                size += len(chunk)
                if size > limit:
                    raise FileTooLarge(file.name, limit, where="[binp.files] size or BINP_FILES_SIZE")
                digest.update(chunk)
                await asyncio.to_thread(out.write, chunk)
        file.note(file.moved(path, size=size, sha256=digest.hexdigest()))
        told[digest.hexdigest()] = str(path)
    return told


def take_back(value: Any, told: Mapping[str, str]) -> Any:
    """*value*, received as JSON, with the descriptions of returned files replaced by these files."""
    if isinstance(value, Mapping):
        path = told.get(str(value.get("sha256"))) if MARK in value else None
        if path is not None:
            # the file exists until its run has ended; by then it is replaced by its stored copy
            return File(_chunks(Path(path)), name=str(value[MARK]), type=str(value.get("type")))
        return {key: take_back(inner, told) for key, inner in value.items()}
    if isinstance(value, list):
        return [take_back(inner, told) for inner in value]
    return value


def _key(number: int) -> str:
    return f"#{number}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
