"""Read a file of environment variables: one `NAME=value` per line."""

from __future__ import annotations

import pathlib
import re

from buvar.config._errors import ConfigFileError

_LINE = re.compile(
    r"""
    \s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?:'(?P<literal>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^'"\s#](?:[^\n#]|(?<=\S)\#)*)?)
    \s*(?:(?<=\s)\#.*)?
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def is_env_file(path: pathlib.Path) -> bool:
    """Whether a file is named like a file of variables: `.env`, `.env.local`, `live.env`."""
    return path.suffix == ".env" or path.name == ".env" or path.name.startswith(".env.")


def read_env_file(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Read the variables of a file.

    A value may be in single quotes, where everything is literal, or in double quotes, where a backslash before n, r or
    t makes a control character, and before anything else stands for that character. An unquoted value ends at `` #`` or
    at the end of the line. Nothing is expanded. If a name occurs twice, the last value counts.

    Returns:
        Name to (value, place in the file).

    Raises:
        ConfigFileError: the file is missing, unreadable, or has a line that is not an assignment.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigFileError(str(path), error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(str(path), str(error)) from error
    found: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigFileError(
                str(path),
                f"line {number} is not an assignment",
                fix="write it as NAME=value, the value in quotes where it has quotes or spaces around it",
            )
        name, literal, quoted, plain = match.group("name", "literal", "quoted", "plain")
        if quoted is not None:
            literal = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)
        value = (plain or "").strip() if literal is None else literal
        found[name] = (value, f"variable {name} in {path} line {number}")
    return found
