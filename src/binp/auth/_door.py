"""The door: the outermost layer of HTTP and WebSockets, which denies access to the platform by default."""

from __future__ import annotations

import enum
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from binp.errors import BinpError
from binp.settings import is_loopback

from ._access import Access
from ._cors import preflight, with_cors
from ._origin import DEV_ORIGINS, header, headers_of, host_of, is_allowed_host, is_local, same_origin
from ._problem import ASGIApp, Headers, Problem, Receive, Scope, Send, send_problem
from ._signing import Session, cookie_name, new_session, read_session, read_ticket, ticket_of, without_ticket

__all__ = ["Door", "Zone"]

_logger = logging.getLogger("binp.auth")

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_HOW_TO_ENTER = "open the link that was printed when the server started, or get a new one with `binp link`"

_DEFAULT_HEADERS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'none'; object-src 'none'"),
    (b"cache-control", b"no-store"),
)


class Zone(enum.Enum):
    """Who is responsible for a path."""

    #: the platform: requires credentials, and rejects changes from other origins
    PROTECTED = "protected"
    #: the user's application, which is responsible for its own access control; only the Host is checked
    USER = "user"


@dataclass(frozen=True, slots=True)
class _Actor:
    name: str
    #: authenticated by a cookie, which a browser sends with any request, whoever caused it
    by_cookie: bool = False
    session: Session | None = None


class Door:
    """An ASGI application in front of all others.

    It checks the Host of every connection. For the protected zone, it requires a bearer token or the cookie of a
    session started by a one-time ticket, and rejects changes requested by pages of other origins. Accepted connections
    carry ``scope["binp.actor"]``: ``token``, ``session:<id>`` or ``local``.

    Args:
        choose: Returns zone and application for an HTTP or WebSocket connection.
        access: Returns the settings; called for each connection.
        lifespan: The application that gets the lifespan events.
    """

    def __init__(
        self,
        choose: Callable[[Scope], tuple[Zone, ASGIApp]],
        *,
        access: Callable[[], Awaitable[Access]],
        lifespan: ASGIApp,
    ) -> None:
        self._choose = choose
        self._access = access
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a connection, or pass it on."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"a connection of type {scope['type']!r} is not served")
        try:
            access = await self._access()
        except BinpError as error:
            _logger.error("nobody is let in: what the door goes by cannot be read: %s", error)  # noqa: TRY400 - the message has the reason
            problem = Problem(status=503, code="unavailable", detail="the server is not ready", fix="see its log")
            await send_problem(problem, scope, receive, send)
            return
        refusal = _check_host(scope, access)
        if refusal is not None:
            await send_problem(refusal, scope, receive, send)
            return
        zone, app = self._choose(scope)
        if zone is Zone.PROTECTED:
            await _guard(access, app, scope, receive, send)
        elif not await _login_in_passing(access, scope, receive, send):
            await app(scope, receive, send)


def _check_host(scope: Scope, access: Access) -> Problem | None:
    host = host_of(scope)
    if host is not None and is_allowed_host(scope, host, access.allowed_hosts):
        return None
    named = ", ".join(headers_of(scope, b"host")) or "no host"
    return Problem(
        status=421,
        code="unknown-host",
        detail=f"this server is not known as {named[:200]!r}",
        fix=f"if it is to be, add the name to the setting allowed_hosts, as in `allowed_hosts = [{host or 'name'!r}]`",
    )


async def _guard(access: Access, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    origin = header(scope, b"origin")
    is_dev = access.dev and origin in DEV_ORIGINS and is_local(scope) and is_loopback(host_of(scope) or "")
    if is_dev and origin is not None and scope["type"] == "http":
        if scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method"):
            await preflight(scope, send, origin)
            return
        send = with_cors(send, origin)
    ticket = ticket_of(scope["query_string"])
    if ticket is not None:
        # modified in place: the server logs this very mapping
        scope["query_string"] = without_ticket(scope["query_string"])
        if scope["type"] == "http" and scope["method"] == "GET":
            await _login(access, ticket, scope, receive, send)
            return
    actor = _authenticate(access, scope)
    problem = _check_origin(scope, origin, actor, trusted=is_dev)
    if problem is None and isinstance(actor, Problem):
        problem = actor
    if problem is not None or isinstance(actor, Problem):
        await _refuse(problem or Problem(status=403, detail="refused"), scope, receive, send)
        return
    scope["binp.actor"] = actor.name
    scope["state"] = {**scope.get("state", {}), "actor": actor.name}
    await app(scope, receive, _with_headers(send, _renewed(access, actor.session, scope)))


def _authenticate(access: Access, scope: Scope) -> _Actor | Problem:
    """The authenticated actor, or the reason for refusing it."""
    if access.token is None:
        if is_local(scope):
            return _Actor("local")
        return Problem(
            status=403,
            code="loopback-only",
            detail="without authentication this server answers its own machine alone",
            fix="set auth = 'token'",
        )
    token = access.token.reveal()
    scheme, _, given = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        if hmac.compare_digest(given.strip().encode(), token.encode()):
            return _Actor("token")
        return Problem(
            status=401,
            code="wrong-token",
            detail="this is not the token",
            fix="the token is in the file beside the database whose name ends in `.token`",
        )
    session = _session(access, token, scope)
    if session is not None:
        return _Actor(f"session:{session.id}", by_cookie=True, session=session)
    return Problem(status=401, code="unauthorized", detail="you are not logged in", fix=_HOW_TO_ENTER)


def _session(access: Access, token: str, scope: Scope) -> Session | None:
    name = cookie_name(token, secure=_is_secure(scope))
    for line in headers_of(scope, b"cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            session = read_session(token, value, now=access.clock()) if key == name else None
            if session is not None:
                return session
    return None


def _check_origin(scope: Scope, origin: str | None, actor: _Actor | Problem, *, trusted: bool) -> Problem | None:
    """Reject a request that a page of another origin made a browser send (CSRF).

    For requests that may change something, this is the algorithm of Go's ``http.CrossOriginProtection``. A WebSocket
    must have an Origin header, unless a bearer token, or no credentials at all, show that no browser opened it.
    """
    if trusted:
        return None
    foreign = Problem(
        status=403,
        code="cross-origin",
        detail="a page of another origin may not do this",
        fix="use the console of this server; programs send their token as `Authorization: Bearer ...`",
    )
    if scope["type"] == "websocket":
        if origin is not None:
            return None if same_origin(scope, origin) else foreign
        return foreign if isinstance(actor, _Actor) and actor.by_cookie else None
    if scope["method"] in _SAFE_METHODS:
        return None
    site = header(scope, b"sec-fetch-site")
    if site is not None:
        return None if site in ("same-origin", "none") else foreign
    if origin is not None:
        return None if same_origin(scope, origin) else foreign
    if isinstance(actor, _Actor) and actor.by_cookie and not _is_json(scope):
        return Problem(
            status=403,
            code="cross-origin",
            detail="it cannot be told which page sent this",
            fix="send `Content-Type: application/json`, or the token as `Authorization: Bearer ...`",
        )
    return None


def _is_json(scope: Scope) -> bool:
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    is_page = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and _wants_page(scope)
    challenge = ((b"www-authenticate", b'Bearer realm="binp"'),) if problem.status == 401 else ()
    await send_problem(problem, scope, receive, send, page=is_page, headers=challenge)


def _wants_page(scope: Scope) -> bool:
    return "text/html" in (header(scope, b"accept") or "")


async def _login_in_passing(access: Access, scope: Scope, receive: Receive, send: Send) -> bool:
    """Log in at ``/`` if the user's application serves that path; any other ``ticket`` parameter is left to it."""
    if scope["type"] != "http" or scope["method"] != "GET" or access.token is None:
        return False
    ticket = ticket_of(scope["query_string"])
    if ticket is None or read_ticket(access.token.reveal(), ticket, now=access.clock()) is None:
        return False
    scope["query_string"] = without_ticket(scope["query_string"])
    await _login(access, ticket, scope, receive, send)
    return True


async def _login(access: Access, ticket: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers: list[tuple[bytes, bytes]] = []
    if access.token is not None:
        token = access.token.reveal()
        key = read_ticket(token, ticket, now=access.clock())
        try:
            is_good = key is not None and await access.once(key)
        except BinpError as error:
            _logger.error("a login failed: whether its link was used before cannot be told: %s", error)  # noqa: TRY400 - the message has the reason
            problem = Problem(status=503, code="unavailable", detail="nobody can log in now", fix="see the log")
            await send_problem(problem, scope, receive, send, page=_wants_page(scope))
            return
        if is_good:
            session, text = new_session(token, life=access.session_life, now=access.clock())
            headers.append(_cookie(token, text, access.session_life, scope))
            _logger.info("a browser logged in: session %s", session.id)
        elif _session(access, token, scope) is None:
            problem = Problem(
                status=401,
                code="bad-ticket",
                detail="this link was used before, or is too old",
                fix="get a new one with `binp link`",
            )
            await send_problem(problem, scope, receive, send, page=_wants_page(scope))
            return
    # exactly one leading slash: two would mean another host
    location = quote("/" + scope["path"].lstrip("/\\")).encode()
    if scope["query_string"]:
        location += b"?" + scope["query_string"]
    headers += [
        (b"location", location),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_secure(scope: Scope) -> bool:
    return scope.get("scheme") in ("https", "wss")


def _cookie(token: str, text: str, life: float, scope: Scope) -> tuple[bytes, bytes]:
    secure = _is_secure(scope)
    name = cookie_name(token, secure=secure)
    # Lax, because with Strict a link opened from another site would come without the cookie
    value = f"{name}={text}; Path=/; Max-Age={int(life)}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return (b"set-cookie", value.encode())


def _renewed(access: Access, session: Session | None, scope: Scope) -> Headers:
    """A cookie with a new expiry, for a session in the second half of its life."""
    if session is None or access.token is None or scope["type"] != "http":
        return ()
    if session.expires - access.clock() > access.session_life / 2:
        return ()
    token = access.token.reveal()
    _, text = new_session(token, life=access.session_life, now=access.clock(), name=session.id)
    return (_cookie(token, text, access.session_life, scope),)


def _with_headers(send: Send, more: Headers) -> Send:
    """Add the headers *more*, and those default headers that the response does not set itself."""

    async def wrapped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in _DEFAULT_HEADERS if pair[0] not in present]
            message = {**message, "headers": [*headers, *more]}
        await send(message)

    return wrapped
