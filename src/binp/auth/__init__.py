"""Access control: the door in front of the platform's HTTP and WebSocket endpoints."""

from __future__ import annotations

from ._access import Access
from ._door import Door, Zone
from ._problem import Problem, send_problem
from ._signing import Session, make_link, make_ticket, new_session, read_session, read_ticket, without_ticket
from ._token import TokenFileError, read_or_create_token, token_path

__all__ = [
    "Access",
    "Door",
    "Problem",
    "Session",
    "TokenFileError",
    "Zone",
    "make_link",
    "make_ticket",
    "new_session",
    "read_or_create_token",
    "read_session",
    "read_ticket",
    "send_problem",
    "token_path",
    "without_ticket",
]
