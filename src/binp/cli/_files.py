"""Find the files among the arguments of a command, by the schema of the action's form."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from binp.errors import UsageError


def take_files(
    arguments: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, Path]]]:
    """The arguments without files, and the files, each with the path of its parameter.

    Raises:
        UsageError: a file does not exist, cannot be read, or is larger than the form allows.
    """
    kept: dict[str, Any] = {}
    files: list[tuple[str, Path]] = []
    for name, value in arguments.items():
        node = _file_in(schema.get("properties", {}).get(name, {}), schema.get("$defs", {}))
        texts = value if isinstance(value, list) else [value]
        if node is None or not all(isinstance(text, str) for text in texts):
            kept[name] = value
        elif isinstance(value, list):
            files += [(f"{name}.{index}", _checked(name, text, node)) for index, text in enumerate(texts)]
        else:
            files.append((name, _checked(name, value, node)))
    return kept, files


def _file_in(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of the file in a parameter: directly, in a union, or as the item of a list."""
    schema = definitions.get(schema.get("$ref", "").removeprefix("#/$defs/"), schema)
    if schema.get("format") == "binary":
        return schema
    inner = [*schema.get("anyOf", ()), *([schema["items"]] if isinstance(schema.get("items"), Mapping) else [])]
    return next((found for one in inner if (found := _file_in(one, definitions)) is not None), None)


def _checked(name: str, text: str, schema: Mapping[str, Any]) -> Path:
    path = Path(text).expanduser()
    try:
        found = path.stat()
        # opening a pipe would block until somebody writes to it
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{name}: there is no file {text!r}", fix="write the path of a file") from None
    except OSError as error:
        raise UsageError(f"{name}: {text!r} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a file"
        raise UsageError(f"{name}: {text!r} is {kind}", fix="write the path of a file")
    most = schema.get("x-max-bytes")
    if most is not None and found.st_size > most:
        raise UsageError(f"{name}: {path.name} has {found.st_size} bytes, and at most {most} are taken")
    return path
