"""The settings of the door."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from buvar.secret import Secret

from ._signing import SESSION_LIFE

__all__ = ["Access"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Who is admitted, and by which names the server is known."""

    #: the token to authenticate with; None for no authentication (``auth="none"``), which only works from this machine
    token: Secret[str] | None
    #: returns True for the first call with a key, in any process, and False for later ones
    once: Callable[[str], Awaitable[bool]]
    #: host names besides localhost and the address of the server; ``*.example.com`` covers subdomains
    allowed_hosts: tuple[str, ...] = ()
    #: whether pages of development servers on localhost may use the platform's API
    dev: bool = False
    #: seconds that a browser stays logged in
    session_life: float = SESSION_LIFE
    #: returns seconds since the epoch
    clock: Callable[[], float] = time.time
