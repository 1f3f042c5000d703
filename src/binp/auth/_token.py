"""The token file: the one secret of an instance, beside its database, readable by its owner only."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
import stat
import time
from pathlib import Path

from binp.errors import UsageError

__all__ = ["TokenFileError", "read_or_create_token", "token_path"]

_logger = logging.getLogger("binp.auth")

#: random bytes in a token
_SIZE = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43,}")
#: seconds to wait for another process that is writing the file
_PATIENCE = 2.0
_HAS_OWNERS = hasattr(os, "geteuid")
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW if _HAS_OWNERS else 0


class TokenFileError(UsageError):
    """The token file cannot be used.

    Attributes:
        path: The file.
    """

    def __init__(self, what: str, path: Path, *, fix: str) -> None:
        super().__init__(what, path, where=str(path), fix=fix)
        self.path = path


def token_path(url: str) -> Path:
    """Path of the token file of the database at *url*: beside its file, or in the working directory for a server."""
    scheme, _, rest = url.partition("://")
    if scheme.startswith("sqlite"):
        file = Path(rest.removeprefix("/") if rest.startswith("/") else rest)
        return file.with_name(file.name + ".token")
    return Path(f"binp-{hashlib.sha256(url.encode()).hexdigest()[:12]}.token")


def read_or_create_token(path: Path) -> str:
    """The token in *path*; if there is no such file, it is created with 32 random bytes.

    If several processes create it at once, one wins, and all return its token. If others can read or write the file,
    its permissions are corrected with a warning.

    Raises:
        TokenFileError: the file belongs to another user, is not a regular file, has no token, or cannot be accessed.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            token = _read(path)
        except FileNotFoundError:
            _create(path)
            continue
        except OSError as error:
            raise _unusable(path, error) from error
        if _TOKEN.fullmatch(token):
            return token
        # on file systems without hard links, the file exists for a moment before its content
        if token or time.monotonic() > deadline:
            raise TokenFileError(
                "the token file holds no token", path, fix="delete it: a new one is made at the next start"
            )
        time.sleep(0.01)


def _read(path: Path) -> str:
    # non-blocking, in case a named pipe is in its place
    descriptor = os.open(path, os.O_RDONLY | _OPEN | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenFileError("the token file is not a regular file", path, fix="delete it")
        if _HAS_OWNERS:
            _make_private(path, descriptor, status)
        return os.read(descriptor, 1024).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)


def _make_private(path: Path, descriptor: int, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise TokenFileError(
            f"the token file belongs to user {status.st_uid}, and this process is user {os.geteuid()}",
            path,
            fix="start it as the user who owns the database, or delete the file as that user",
        )
    if status.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)
        _logger.warning(
            "others could use the token file %s (mode %o), which is private again: delete it if they must not know it",
            path,
            stat.S_IMODE(status.st_mode),
        )


def _create(path: Path) -> None:
    """Create the file with a new token, atomically; a file that another process creates meanwhile is kept."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, secrets.token_urlsafe(_SIZE))
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unusable(path, error) from error
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    except OSError:
        # this file system has no hard links: create it exclusively, and let readers wait for the content
        try:
            _write(path, draft.read_text())
        except FileExistsError:
            return
        except OSError as error:
            raise _unusable(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, token: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
        file.flush()
        os.fsync(descriptor)


def _unusable(path: Path, error: OSError) -> TokenFileError:
    if error.errno == errno.ELOOP:
        return TokenFileError("the token file is a symbolic link", path, fix="delete it, or put the file itself there")
    return TokenFileError(
        f"the token file cannot be used: {error.strerror}",
        path,
        fix="give this process the right to read and write in that directory",
    )
