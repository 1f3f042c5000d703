"""What the door goes by."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from buvar.secret import Secret

from ._signing import SESSION_LIFE

__all__ = ["Access"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Who is let in, and by which names the server is known."""

    #: what proves the right to enter; None asks nobody (``auth="none"``), which works from this machine only
    token: Secret[str] | None
    #: answers True to the first who asks for a key, in whichever process, and False ever after
    once: Callable[[str], Awaitable[bool]]
    #: names by which it is reached besides localhost and the address it listens on; ``*.example.com`` covers subdomains
    allowed_hosts: tuple[str, ...] = ()
    #: pages of the development servers on localhost may use the platform's API
    dev: bool = False
    #: seconds for which a browser stays logged in
    session_life: float = SESSION_LIFE
    #: seconds since the epoch
    clock: Callable[[], float] = time.time
