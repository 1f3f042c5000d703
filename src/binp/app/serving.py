"""What a server says of itself while it serves: where it is, and the link that lets one in."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from binp.auth import make_link, read_or_create_token, token_path
from binp.client import publish, withdraw
from binp.home import Home
from binp.store.contract import Role

__all__ = ["Presence", "url_of"]

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to dial, not what to listen on


def url_of(host: str, port: int, *, secure: bool = False) -> str:
    """Where a server that listens on *host* is reached from this machine, without a slash at the end."""
    name = host.strip("[]")
    name = _EVERYWHERE.get(name, name)
    return f"{'https' if secure else 'http'}://{f'[{name}]' if ':' in name else name}:{port}"


#: seconds above which it is not believed that a start took so long
_DAY = 24 * 3600


class Presence:
    """Tells people and programs where the process that leads is reached, from the announcement to the end.

    Args:
        home: An open home.
        url: Where it is reached from this machine; None if that is not known.
    """

    def __init__(self, home: Home, url: str | None) -> None:
        self._home = home
        self._url = url
        self._database = _path_of(home.store.url)
        self._is_told = False
        self._is_over = False
        self._unsubscribe: Callable[[], None] | None = None

    def announce(self, *, is_told: bool = False) -> None:
        """Say it, if this process leads, and when it comes to lead; print a link that logs one browser in.

        Args:
            is_told: People have a link already: none is printed.
        """
        home = self._home
        if home.store.role is Role.OWNER and not is_told:
            self._print()
        self._unsubscribe = home.store.on_role(self._publish)
        self._publish(home.store.role)

    def withdraw(self) -> None:
        """Say no more that it is reached. Idempotent."""
        self._is_over = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._is_told:
            withdraw(self._database)

    def _publish(self, role: Role) -> None:
        if role is Role.OWNER and self._url is not None and not self._is_over:
            self._is_told = True
            # a folder that cannot be written to is no reason not to serve: then the address has to be named
            with contextlib.suppress(OSError):
                publish(self._database, self._url)

    def _print(self) -> None:
        lines = [f"database  {self._database}"]
        if self._url is not None:
            lines.insert(0, f"open      {self._link(self._url)}")
        if (took := _took()) is not None:
            lines.append(f"ready     in {took:.1f} s")
        print("\n".join(lines), flush=True)  # noqa: T201 - it is for the person who started the server
        sys.stdout.flush()

    def _link(self, url: str) -> str:
        if self._home.settings.auth == "none":
            return f"{url}/"
        return make_link(f"{url}/", read_or_create_token(token_path(self._home.store.url)))


def _took() -> float | None:
    """Seconds since the moment that whoever started this tells of; told once, not to what this process starts."""
    try:
        # without fractions ``date`` leaves the letter behind that stands for them
        began = float(os.environ.pop("BINP_BEGAN", "").removesuffix("N"))
    except ValueError:
        return None
    took = time.time() - began
    # the clock was set meanwhile, or that is not a moment at all: also what is not a number fails this
    return took if 0 <= took < _DAY else None


def _path_of(url: str) -> Path:
    """The database file of a canonical URL."""
    return Path(url.removeprefix("sqlite:///"))
