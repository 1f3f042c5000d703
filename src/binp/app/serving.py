"""Announce where a server is reached, and print the link that logs a browser in."""

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

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses to connect to, not to listen on


def url_of(host: str, port: int, *, secure: bool = False) -> str:
    """The URL under which a server that listens on *host* is reached from this machine, without a trailing slash."""
    name = host.strip("[]")
    name = _EVERYWHERE.get(name, name)
    return f"{'https' if secure else 'http'}://{f'[{name}]' if ':' in name else name}:{port}"


#: longer starts are taken for an error of the clock, in seconds
_DAY = 24 * 3600


class Presence:
    """Announces where the leading process is reached, for as long as it serves.

    Args:
        home: An open home.
        url: The URL for clients on this machine; None if it is unknown.
    """

    def __init__(self, home: Home, url: str | None) -> None:
        self._home = home
        self._url = url
        self._database = _path_of(home.store.url)
        self._is_told = False
        self._is_over = False
        self._unsubscribe: Callable[[], None] | None = None

    def announce(self, *, is_told: bool = False) -> None:
        """Publish the URL when this process leads, now or later, and print a link that logs one browser in.

        Args:
            is_told: A link was printed already: do not print another one.
        """
        home = self._home
        if home.store.role is Role.OWNER and not is_told:
            self._print()
        self._unsubscribe = home.store.on_role(self._publish)
        self._publish(home.store.role)

    def withdraw(self) -> None:
        """Withdraw the published URL. Idempotent."""
        self._is_over = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._is_told:
            withdraw(self._database)

    def _publish(self, role: Role) -> None:
        if role is Role.OWNER and self._url is not None and not self._is_over:
            self._is_told = True
            # without write access to the folder it still serves: clients must then be given the address
            with contextlib.suppress(OSError):
                publish(self._database, self._url)

    def _print(self) -> None:
        lines = [f"database  {self._database}"]
        if self._url is not None:
            lines.insert(0, f"open      {self._link(self._url)}")
        if (took := _took()) is not None:
            lines.append(f"ready     in {took:.1f} s")
        print("\n".join(lines), flush=True)  # noqa: T201 - for the person who started the server
        sys.stdout.flush()

    def _link(self, url: str) -> str:
        if self._home.settings.auth == "none":
            return f"{url}/"
        return make_link(f"{url}/", read_or_create_token(token_path(self._home.store.url)))


def _took() -> float | None:
    """Seconds since the start of the command, from ``BINP_BEGAN``; read once, and not passed on to child processes."""
    try:
        # a ``date`` that knows no fractions of a second prints the letter N of its format
        began = float(os.environ.pop("BINP_BEGAN", "").removesuffix("N"))
    except ValueError:
        return None
    took = time.time() - began
    # the clock was changed meanwhile, or the value is not a time; NaN fails the comparison too
    return took if 0 <= took < _DAY else None


def _path_of(url: str) -> Path:
    """The path of the database file of a canonical URL."""
    return Path(url.removeprefix("sqlite:///"))
