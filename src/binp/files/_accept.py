"""Restrict which files a parameter accepts."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from binp.errors import BinpError
from binp.settings import read_size

from ._file import File

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = ["Accept"]


class Accept:
    """Restricts the files that a parameter accepts: ``Annotated[File, Accept(".csv", "text/csv", size="10 MB")]``.

    Args:
        kinds: File name extensions with the dot, and media types, including ``image/*``. Default: any file.
        size: Maximum size of one file: bytes, or a text such as ``"10 MB"``. The limit in the settings applies as well.

    Raises:
        BinpError: an argument is invalid.
    """

    def __init__(self, *kinds: str, size: int | str | None = None) -> None:
        for kind in kinds:
            if not (kind.startswith(".") and len(kind) > 1) and kind.count("/") != 1:
                raise BinpError(f"Accept({kind!r}) is not a kind of file", fix="write it like '.csv' or 'text/csv'")
        self.kinds = tuple(kind.lower() for kind in kinds)
        self.size = read_size(size, "Accept(size=...)") if isinstance(size, str) else size
        if self.size is not None and self.size <= 0:
            raise BinpError(f"Accept(size={size!r}) takes no file", fix="write bytes above 0, or leave it out")

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Validate each file."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Add the accepted kinds and the maximum size to the JSON schema."""
        made = dict(handler(schema))
        place = made if made.get("format") == "binary" else made.get("items", {})
        if self.kinds:
            place["x-accept"] = list(self.kinds)
        if self.size is not None:
            place["x-max-bytes"] = self.size
        return made

    def _check(self, value: Any) -> Any:
        for file in value if isinstance(value, list | tuple | set) else [value]:
            if isinstance(file, File):
                self._check_one(file)
        return value

    def _check_one(self, file: File) -> None:
        from pydantic_core import PydanticCustomError

        if self.size is not None and file.size is not None and file.size > self.size:
            raise PydanticCustomError(
                "file_too_large",
                "{name} has {size} bytes, and at most {limit} are taken",
                {"name": file.name, "size": file.size, "limit": self.size},
            )
        if self.kinds and not any(_fits(file, kind) for kind in self.kinds):
            raise PydanticCustomError(
                "file_kind",
                "{name} is {type}, and what is taken is {kinds}",
                {"name": file.name, "type": file.type, "kinds": ", ".join(self.kinds)},
            )


def _fits(file: File, kind: str) -> bool:
    return file.name.lower().endswith(kind) if kind.startswith(".") else fnmatch.fnmatchcase(file.type, kind)
