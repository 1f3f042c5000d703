"""Find the server of a database through a file beside the database, which only its owner can read."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from binp.errors import UsageError

from ._errors import START, NotServed

__all__ = ["Instance", "find", "publish", "publish_waiting", "read_token", "withdraw"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A running server, as published beside its database."""

    #: its URL for clients on this machine, without a trailing slash
    url: str
    #: its process id
    pid: int
    #: why it serves nothing until its file is fixed; None if it serves
    waits: str | None = None


def publish(database: Path, url: str) -> None:
    """Publish beside *database* that this process serves it at *url*; the file is private and written atomically."""
    _say(_place(database), {"url": url, "pid": os.getpid()})


def publish_waiting(database: Path, why: str, pid: int) -> None:
    """Publish beside *database* that process *pid* waits for its file to be fixed, unless another process serves it.

    Raises:
        OSError: the file cannot be written.
    """
    place = _place(database)
    with contextlib.suppress(FileNotFoundError, NotServed):
        found = _read(place, database)
        if found.pid != pid and _is_alive(found.pid):
            return
    _say(place, {"url": "", "pid": pid, "waits": why})


def _say(place: Path, told: dict[str, str | int]) -> None:
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(told, file)
        draft.replace(place)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def withdraw(database: Path, pid: int | None = None) -> None:
    """Withdraw what this process, or process *pid*, has published; not what another process published since."""
    place = _place(database)
    with contextlib.suppress(OSError, NotServed):
        if _read(place, database).pid == (pid or os.getpid()):
            place.unlink()


def find(database: Path) -> Instance:
    """The server of *database* on this machine.

    Raises:
        NotServed: there is no such database, it is not served, its server was killed, or waits for its file to be
            fixed.
    """
    place = _place(database)
    try:
        found = _read(place, database)
    except FileNotFoundError:
        if database.exists():
            raise NotServed(
                f"no server is running for {database.name}", database, where=str(database), fix=START
            ) from None
        raise NotServed("there is no database here", database, where=str(database), fix=START) from None
    except OSError as error:
        raise NotServed(
            f"it is unclear which server runs for {database.name}: {error.strerror}",
            database,
            where=str(place),
            fix="use it as the user who runs the server, or name the server with --url and --token",
        ) from None
    if not _is_alive(found.pid):
        raise NotServed(
            f"the server of {database.name} is gone: process {found.pid} was killed",
            database,
            where=str(place),
            fix="start it again with `binp run FILE`",
        )
    if found.waits is not None:
        raise NotServed(
            f"the server of {database.name} waits for its file to be fixed: {found.waits}",
            database,
            where=str(database),
            fix="mend it and save it: then it is started again; its terminal says more",
        )
    return found


def read_token(database: Path) -> str | None:
    """The token of the server of *database*; None if it has no authentication.

    Raises:
        UsageError: this user may not read it.
    """
    place = database.with_name(database.name + ".token")
    try:
        return place.read_text("ascii", "replace").strip() or None
    except FileNotFoundError:
        # without authentication there is no token file
        return None
    except OSError as error:
        raise UsageError(
            f"the token of {database.name} cannot be read: {error.strerror}",
            where=str(place),
            fix="use it as the user who runs the server, or give the token with --token or BINP_TOKEN",
        ) from None


def _place(database: Path) -> Path:
    return database.with_name(database.name + ".serving")


def _read(place: Path, database: Path) -> Instance:
    try:
        found = json.loads(place.read_bytes())
        waits = found.get("waits")
        return Instance(str(found["url"]), int(found["pid"]), None if waits is None else str(waits))
    except (ValueError, KeyError, TypeError):
        raise NotServed(
            f"it is unclear which server runs for {database.name}: the file is damaged",
            database,
            where=str(place),
            fix="delete it, and start the server again",
        ) from None


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        # on Windows this signal would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # it exists, but belongs to another user
        return True
    return True
