"""The format of a refusal: one JSON shape for programs, a small page for people."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

__all__ = ["Problem", "send_problem"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

MEDIA_TYPE = "application/problem+json"

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem}"
    "h1{font-size:1.4rem}code{font:0.95em ui-monospace,monospace}"
)
#: for pages that need nothing but their own inline style
STRICT_CSP = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Why a request was refused."""

    status: int
    #: one sentence
    detail: str
    #: what the reader can do about it
    fix: str | None = None
    #: short, stable name for programs
    code: str = "problem"
    #: additional members of the JSON object
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object: ``type``, ``title``, ``status``, ``detail``, ``fix``, and the additional members."""
        return {
            "type": f"urn:binp:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "fix": self.fix,
            **self.extra,
        }

    def as_page(self) -> bytes:
        """A self-contained page, to be sent with STRICT_CSP."""
        fix = f"<p>{_marked(self.fix)}</p>" if self.fix else ""
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{self.status} binp</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<style>{_STYLE}</style><h1>{_marked(self.detail)}</h1>{fix}</html>"
        ).encode()


def _marked(text: str) -> str:
    """*text* escaped, with everything between backquotes as code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


async def send_problem(
    problem: Problem, scope: Scope, receive: Receive, send: Send, *, page: bool = False, headers: Headers = ()
) -> None:
    """Refuse a connection: an HTTP response, or a WebSocket closed with code 1008 before it is accepted.

    With *page*, the response is a page instead of JSON.
    """
    if scope["type"] == "websocket":
        await receive()
        # the protocol allows at most 123 bytes
        reason = problem.detail.encode()[:120].decode(errors="ignore")
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    body = problem.as_page() if page else json.dumps(problem.as_dict()).encode()
    kind = "text/html; charset=utf-8" if page else MEDIA_TYPE
    own = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if page:
        own.append((b"content-security-policy", STRICT_CSP.encode()))
    await send({"type": "http.response.start", "status": problem.status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
