"""Tickets and sessions: short signed texts that only a holder of the token can create."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from urllib.parse import unquote_plus

__all__ = [
    "Session",
    "cookie_name",
    "make_link",
    "make_ticket",
    "new_session",
    "read_session",
    "read_ticket",
    "ticket_of",
    "without_ticket",
]

#: seconds for which a printed link is valid
TICKET_LIFE = 15 * 60
#: seconds that a browser stays logged in
SESSION_LIFE = 30 * 24 * 3600

_SIGNED = re.compile(r"([A-Za-z0-9_-]{8,32})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a logged-in browser."""

    id: str
    #: seconds since the epoch
    expires: int


def make_ticket(token: str, *, life: float = TICKET_LIFE, now: float | None = None) -> str:
    """A ticket that logs one browser in, once, within *life* seconds."""
    return _sign(token, "ticket", secrets.token_urlsafe(12), int((time.time() if now is None else now) + life))


def make_link(url: str, token: str, *, life: float = TICKET_LIFE) -> str:
    """*url*, which ends in the path of the console, with a ticket."""
    return f"{url}?ticket={make_ticket(token, life=life)}"


def read_ticket(token: str, ticket: str, *, now: float) -> str | None:
    """The key of a valid ticket, to make sure that it is used only once; None if it is forged or expired."""
    found = _verify(token, "ticket", ticket, now)
    return None if found is None else f"ticket:{found[0]}"


def new_session(token: str, *, life: float = SESSION_LIFE, now: float, name: str | None = None) -> tuple[Session, str]:
    """A new session, or a new expiry for the session *name*, and the signed text for its cookie."""
    session = Session(name or secrets.token_urlsafe(9), int(now + life))
    return session, _sign(token, "session", session.id, session.expires)


def read_session(token: str, text: str, *, now: float) -> Session | None:
    """The session in a signed text; None if it is forged or expired."""
    found = _verify(token, "session", text, now)
    return None if found is None else Session(*found)


def cookie_name(token: str, *, secure: bool) -> str:
    """Name of the session cookie; each instance has its own, because all ports of a host share their cookies."""
    own = hashlib.sha256(b"binp cookie name\0" + token.encode()).hexdigest()[:10]
    return f"{'__Host-' if secure else ''}binp-{own}"


def ticket_of(query: bytes) -> str | None:
    """The ticket in a query string; None if there is none."""
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"ticket":
            return unquote_plus(value.decode("latin-1"))
    return None


def without_ticket(query: bytes) -> bytes:
    """A query string without tickets, for logs and redirects."""
    return b"&".join(part for part in query.split(b"&") if part.partition(b"=")[0] != b"ticket")


def _sign(token: str, purpose: str, name: str, expires: int) -> str:
    return f"{name}.{expires}.{_mac(token, purpose, name, expires)}"


def _verify(token: str, purpose: str, text: str, now: float) -> tuple[str, int] | None:
    match = _SIGNED.fullmatch(text)
    if match is None:
        return None
    name, digits, mac = match.groups()
    expires = int(digits)
    good = hmac.compare_digest(_mac(token, purpose, name, expires), mac)
    return (name, expires) if good and expires > now else None


def _mac(token: str, purpose: str, name: str, expires: int) -> str:
    message = f"binp {purpose}\0{name}\0{expires}".encode()
    digest = hmac.new(token.encode(), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
