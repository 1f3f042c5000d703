"""Parse the URL of a database, and normalise it so that equal databases have equal URLs."""

from __future__ import annotations

import re
from pathlib import Path

from .contract import BadStoreUrl

__all__ = ["canonical_url", "database_path"]

_EXAMPLE = "sqlite:///data.db is a file in the current directory, sqlite:////srv/data.db one with a full path"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def canonical_url(url: str) -> str:
    """The canonical URL of a database: links are resolved, relative paths start at the current directory.

    Raises:
        BadStoreUrl: *url* does not name a usable database.
    """
    return "sqlite:///" + str(database_path(url))


def database_path(url: str) -> Path:
    """The full path of the SQLite file of a URL. Nothing is opened.

    Raises:
        BadStoreUrl: *url* does not name a usable database.
    """
    text = url.strip()
    if not text:
        raise BadStoreUrl("the URL of the database is empty", url, fix=_EXAMPLE)
    scheme = _SCHEME.match(text)
    if ":memory:" in text or "mode=memory" in text or text in {"sqlite:", "sqlite:/", "sqlite://", "sqlite:///"}:
        raise BadStoreUrl(
            f"{text!r} is not a file: state that ends with the process is not supported",
            url,
            fix="name a file, in a temporary directory if it is not to stay: sqlite:////tmp/scratch.db",
        )
    if scheme is None:
        return _resolve(text, url)
    name = scheme[1].lower()
    if name.split("+")[0] in {"postgresql", "postgres"}:
        raise BadStoreUrl(
            "this version keeps its data in SQLite files alone, not in PostgreSQL", _masked(text), fix=_EXAMPLE
        )
    if name != "sqlite":
        raise BadStoreUrl(f"there is no store for {name!r} databases", _masked(text), fix=_EXAMPLE)
    rest = text[len("sqlite:") :]
    if not rest.startswith("///"):
        raise BadStoreUrl(
            f"{text!r} has too few slashes", url, fix=f"sqlite:///{rest.lstrip('/')}, perhaps; {_EXAMPLE}"
        )
    if "?" in rest:
        raise BadStoreUrl(f"{text!r} has options, and there are none", url, fix=f"sqlite:{rest.partition('?')[0]}")
    return _resolve(rest[3:], url)


def _resolve(path: str, url: str) -> Path:
    if "\0" in path:
        raise BadStoreUrl("the path of the database has a NUL in it", url.replace("\0", "\\0"), fix=_EXAMPLE)
    try:
        # Path.resolve starts at the current directory
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise BadStoreUrl(f"{path!r} cannot be followed: {error}", url, fix=_EXAMPLE) from error


def _masked(url: str) -> str:
    return re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url)
