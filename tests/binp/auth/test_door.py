"""The door: every attack in the table is refused, and every honest visitor gets in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from binp.auth import Access, Door, make_ticket, new_session
from binp.auth._signing import cookie_name
from binp.errors import BinpError

ORIGIN = "http://127.0.0.1:8000"
EVIL = "https://evil.example"


def cookie(token: str, house: Any, **options: Any) -> dict[str, str]:
    """Headers of a browser that is logged in."""
    _, text = new_session(token, life=1000, now=house.clock(), **options)
    return {"cookie": f"other=1; {cookie_name(token, secure=False)}={text}"}


#: name, method, headers, scope, status (of a WebSocket: the close code); COOKIE and BEARER stand for good credentials
ATTACKS: list[tuple[str, str, dict[str, Any], dict[str, Any], int]] = [
    ("nothing at all", "GET", {}, {}, 401),
    ("nothing at all, HEAD", "HEAD", {}, {}, 401),
    ("nothing at all, OPTIONS", "OPTIONS", {}, {}, 401),
    ("nothing at all, POST", "POST", {}, {}, 401),
    ("wrong token", "GET", {"authorization": "Bearer " + "u" * 43}, {}, 401),
    ("a part of the token", "GET", {"authorization": "Bearer " + "t" * 42}, {}, 401),
    ("token with a tail", "GET", {"authorization": "Bearer " + "t" * 44}, {}, 401),
    ("two tokens", "GET", {"authorization": "Bearer x, Bearer " + "t" * 43}, {}, 401),
    ("token not ASCII", "GET", {"authorization": "Bearer \xff"}, {}, 401),
    ("token as Basic", "GET", {"authorization": "Basic " + "t" * 43}, {}, 401),
    ("token in the query", "GET", {}, {"query_string": b"token=" + b"t" * 43}, 401),
    ("wrong token beside a good cookie", "GET", {"COOKIE": 1, "authorization": "Bearer x"}, {}, 401),
    ("foreign Host", "GET", {"BEARER": 1, "host": "evil.example"}, {}, 421),
    ("rebound Host", "POST", {"COOKIE": 1, "host": "evil.example:8000", "origin": "http://evil.example:8000"}, {}, 421),
    ("Host that begins like ours", "GET", {"BEARER": 1, "host": "127.0.0.1.evil.example"}, {}, 421),
    ("Host that ends like ours", "GET", {"BEARER": 1, "host": "evil-localhost"}, {}, 421),
    ("Host with user info", "GET", {"BEARER": 1, "host": "localhost@evil.example"}, {}, 421),
    ("Host with a path", "GET", {"BEARER": 1, "host": "evil.example/localhost"}, {}, 421),
    ("another address as Host", "GET", {"BEARER": 1, "host": "10.0.0.7:8000"}, {}, 421),
    ("empty Host", "GET", {"BEARER": 1, "host": ""}, {}, 421),
    ("no Host", "GET", {"BEARER": 1, "host": None}, {}, 421),
    ("page of another origin", "POST", {"COOKIE": 1, "origin": EVIL, "content-type": "application/json"}, {}, 403),
    ("page of another origin that knows the token", "POST", {"BEARER": 1, "origin": EVIL}, {}, 403),
    ("page of another port", "POST", {"COOKIE": 1, "origin": "http://127.0.0.1:9000"}, {}, 403),
    ("page of a sandbox", "POST", {"COOKIE": 1, "origin": "null"}, {}, 403),
    ("origin that begins like ours", "POST", {"COOKIE": 1, "origin": ORIGIN + ".evil.example"}, {}, 403),
    ("origin with user info", "POST", {"COOKIE": 1, "origin": "http://127.0.0.1:8000@evil.example"}, {}, 403),
    ("origin that is no URL", "POST", {"COOKIE": 1, "origin": "http://["}, {}, 403),
    (
        "cross-site form, text",
        "POST",
        {"COOKIE": 1, "sec-fetch-site": "cross-site", "content-type": "text/plain"},
        {},
        403,
    ),
    (
        "cross-site form",
        "POST",
        {"COOKIE": 1, "sec-fetch-site": "cross-site", "content-type": "application/x-www-form-urlencoded"},
        {},
        403,
    ),
    ("same-site form", "POST", {"COOKIE": 1, "sec-fetch-site": "same-site"}, {}, 403),
    ("cross-site form, own origin", "POST", {"COOKIE": 1, "sec-fetch-site": "cross-site", "origin": ORIGIN}, {}, 403),
    ("cross-site PUT", "PUT", {"COOKIE": 1, "origin": EVIL}, {}, 403),
    ("cross-site DELETE", "DELETE", {"COOKIE": 1, "origin": EVIL}, {}, 403),
    ("cross-site invented method", "FROB", {"COOKIE": 1, "origin": EVIL}, {}, 403),
    ("lower-case method", "get", {"COOKIE": 1, "origin": EVIL}, {}, 403),
    ("cookie, form of unknown origin", "POST", {"COOKIE": 1, "content-type": "text/plain"}, {}, 403),
    ("cookie, nothing of unknown origin", "POST", {"COOKIE": 1}, {}, 403),
    ("cookie, almost JSON", "POST", {"COOKIE": 1, "content-type": "text/json; application/json"}, {}, 403),
    ("development origin without the setting", "POST", {"COOKIE": 1, "origin": "http://localhost:5000"}, {}, 403),
    ("WebSocket, nothing at all", "WS", {"origin": ORIGIN}, {}, 1008),
    ("WebSocket, wrong token", "WS", {"authorization": "Bearer x"}, {}, 1008),
    ("WebSocket without Origin", "WS", {"COOKIE": 1}, {}, 1008),
    ("WebSocket of another origin", "WS", {"COOKIE": 1, "origin": EVIL}, {}, 1008),
    ("WebSocket of another port", "WS", {"COOKIE": 1, "origin": "http://127.0.0.1:9000"}, {}, 1008),
    ("WebSocket of another origin that knows the token", "WS", {"BEARER": 1, "origin": EVIL}, {}, 1008),
    ("WebSocket, foreign Host", "WS", {"BEARER": 1, "host": "evil.example"}, {}, 1008),
    ("WebSocket, rebound Host", "WS", {"COOKIE": 1, "host": "evil.example", "origin": "http://evil.example"}, {}, 1008),
]


def credentials(headers: dict[str, Any], token: str, house: Any) -> dict[str, str]:
    """Headers with what COOKIE and BEARER stand for."""
    full = {name: value for name, value in headers.items() if name not in ("COOKIE", "BEARER")}
    if "COOKIE" in headers:
        full |= cookie(token, house)
    if "BEARER" in headers:
        full["authorization"] = f"Bearer {token}"
    return full


@pytest.mark.parametrize(
    ("method", "headers", "scope", "status"), [row[1:] for row in ATTACKS], ids=[r[0] for r in ATTACKS]
)
async def test_attack(house: Any, token: str, method: str, headers: Any, scope: Any, status: int) -> None:
    """API-02, API-08: what has no business in the protected zone is refused, and gets through without a door (N-18)."""
    full = credentials(headers, token, house)

    answer = await house.ask(method, headers=full, **scope)
    naive = await house.ask(method, headers=full, through=house.naive, **scope)

    assert answer.reached is None
    assert status == (answer.close_code if method == "WS" else answer.status)
    assert naive.reached == "platform"
    assert token.encode() not in answer.body if method != "WS" else True


WELCOME: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
    ("token", "GET", {"BEARER": 1}, {}, "token"),
    ("token, scheme in capitals", "GET", {"authorization": "BEARER " + "t" * 43}, {}, "token"),
    ("token, a form", "POST", {"BEARER": 1}, {}, "token"),
    ("cookie", "GET", {"COOKIE": 1}, {}, "session"),
    ("cookie beside a proxy's own credentials", "GET", {"COOKIE": 1, "authorization": "Basic abc"}, {}, "session"),
    ("cookie, own page", "POST", {"COOKIE": 1, "origin": ORIGIN}, {}, "session"),
    ("cookie, own page that says so", "POST", {"COOKIE": 1, "sec-fetch-site": "same-origin"}, {}, "session"),
    ("cookie, typed by the user", "POST", {"COOKIE": 1, "sec-fetch-site": "none"}, {}, "session"),
    (
        "cookie, a program with JSON",
        "POST",
        {"COOKIE": 1, "content-type": "application/json; charset=utf-8"},
        {},
        "session",
    ),
    (
        "cookie, a page at the default port",
        "POST",
        {"COOKIE": 1, "host": "localhost", "origin": "http://localhost:80"},
        {},
        "session",
    ),
    (
        "cookie, behind a proxy that speaks TLS",
        "POST",
        {"COOKIE": 1, "host": "localhost", "origin": "https://localhost"},
        {},
        "session",
    ),
    ("localhost in capitals", "GET", {"BEARER": 1, "host": "LOCALHOST:8000"}, {}, "token"),
    ("localhost with a dot", "GET", {"BEARER": 1, "host": "localhost.:8000"}, {}, "token"),
    ("IPv6", "GET", {"BEARER": 1, "host": "[::1]:8000"}, {"server": ("::1", 8000)}, "token"),
    (
        "the address that was connected to",
        "GET",
        {"BEARER": 1, "host": "192.168.1.5"},
        {"server": ("192.168.1.5", 80)},
        "token",
    ),
    ("another port through a tunnel", "GET", {"BEARER": 1, "host": "localhost:1234"}, {}, "token"),
    ("WebSocket, token without Origin", "WS", {"BEARER": 1}, {}, "token"),
    ("WebSocket, cookie, own page", "WS", {"COOKIE": 1, "origin": ORIGIN}, {}, "session"),
    (
        "unix socket",
        "GET",
        {"BEARER": 1, "host": "localhost"},
        {"server": ("/run/x.sock", None), "client": None},
        "token",
    ),
]


@pytest.mark.parametrize(
    ("method", "headers", "scope", "actor"), [row[1:] for row in WELCOME], ids=[r[0] for r in WELCOME]
)
async def test_welcome(house: Any, token: str, method: str, headers: Any, scope: Any, actor: str) -> None:
    """API-02: whoever has good credentials gets in, and the platform knows who it is."""
    answer = await house.ask(method, headers=credentials(headers, token, house), **scope)

    assert answer.reached == "platform"
    assert answer.scope["binp.actor"].partition(":")[0] == actor
    assert answer.scope["state"]["actor"] == answer.scope["binp.actor"]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "WS"])
async def test_user_zone_is_the_users(house: Any, method: str) -> None:
    """Decision 15: the user's own routes need no credentials and may be used by any page."""
    answer = await house.ask(method, "/mine", headers={"origin": EVIL})

    assert answer.reached == "user"
    assert "binp.actor" not in answer.scope


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
async def test_user_zone_has_the_host_check(house: Any, method: str) -> None:
    """Decision 15: the Host check covers the user's own routes."""
    answer = await house.ask(method, "/mine", headers={"host": "evil.example"})

    assert answer.reached is None
    assert (answer.close_code == 1008) if method == "WS" else (answer.status == 421)


async def test_refused_host_says_which_setting(house: Any) -> None:
    """Decision 15: who comes under an unknown name is told the name and the setting."""
    answer = await house.ask(headers={"host": "box.lan:8000"})

    assert answer.problem["detail"] == "this server is not known as 'box.lan:8000'"
    assert (
        answer.problem["fix"]
        == "if it is to be, add the name to the setting allowed_hosts, as in `allowed_hosts = ['box.lan']`"
    )


@pytest.mark.parametrize(
    ("allowed", "host", "is_let_in"),
    [
        ("box.lan", "box.lan:8000", True),
        ("BOX.lan:1", "box.LAN", True),
        ("box.lan", "a.box.lan", False),
        ("*.box.lan", "a.box.lan", True),
        ("*.box.lan", "box.lan", False),
        ("*.box.lan", "evilbox.lan", False),
        ("fe80::1", "[FE80::1]:80", True),
        ("box.lan", "box.lan:99999999999", False),
        ("[nonsense", "box.lan", False),
        ("", "box.lan", False),
    ],
)
async def test_configured_hosts(house: Any, bearer: Any, allowed: str, host: str, is_let_in: bool) -> None:
    """Decision 15: configured names count, as they stand or for their subdomains; the port does not."""
    house.access = replace(house.access, allowed_hosts=(allowed,))

    answer = await house.ask(headers={**bearer, "host": host})

    assert (answer.reached == "platform") is is_let_in


async def test_starlettes_test_client_is_known(house: Any) -> None:
    """Decision 15: a test client's made-up host is let in where there is no network connection."""
    inside = await house.ask("GET", "/mine", headers={"host": "testserver"}, client=("testclient", 50000))
    outside = await house.ask("GET", "/mine", headers={"host": "testserver"})

    assert (inside.reached, outside.reached) == ("user", None)


async def test_browser_gets_a_page(house: Any) -> None:
    """N-18: a browser without a session gets a page that says how to enter, with a policy that allows nothing."""
    answer = await house.ask(headers={"accept": "text/html,*/*"})

    assert answer.status == 401
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<code>binp link</code>" in answer.body
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert answer.headers["cache-control"] == "no-store"


async def test_program_gets_a_problem(house: Any) -> None:
    """N-04, N-18: a program gets the one JSON shape and the challenge."""
    answer = await house.ask("POST")

    assert answer.problem["title"] == "Unauthorized"
    assert answer.problem["type"] == "urn:binp:unauthorized"
    assert answer.headers["www-authenticate"] == 'Bearer realm="binp"'


async def test_what_gets_through_is_hardened(house: Any, bearer: Any) -> None:
    """N-18: answers of the platform carry safe defaults, the user's own are left alone."""
    platform = await house.ask(headers=bearer)
    user = await house.ask("GET", "/mine")

    assert platform.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in platform.headers["content-security-policy"]
    assert user.headers == {}


# -- links and sessions ----------------------------------------------------------------------------------------------


async def visit(house: Any, ticket: str, path: str = "/internal/", **options: Any) -> Any:
    return await house.ask("GET", path, query_string=b"a=1&ticket=" + ticket.encode() + b"&b=2", **options)


async def test_link_logs_in(house: Any, token: str) -> None:
    """N-18: a good link gives a cookie and leads to the clean address; the ticket is in no log and no referrer."""
    answer = await visit(house, make_ticket(token, now=house.clock()))

    assert answer.status == 303
    assert answer.headers["location"] == "/internal/?a=1&b=2"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.scope["query_string"] == b"a=1&b=2"
    parts = answer.headers["set-cookie"].split("; ")
    assert parts[1:] == ["Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax"]
    again = await house.ask(headers={"cookie": parts[0]})
    assert again.reached == "platform"


async def test_cookie_under_tls(house: Any, token: str) -> None:
    """N-18: under TLS the cookie is Secure and bound to the host."""
    answer = await visit(house, make_ticket(token, now=house.clock()), scheme="https")

    assert answer.headers["set-cookie"].startswith("__Host-binp-")
    assert answer.headers["set-cookie"].endswith("; Secure")


async def test_link_works_once(house: Any, token: str) -> None:
    """N-18: a link that was used gets a page that says how to get a new one; who is logged in is led on."""
    ticket = make_ticket(token, now=house.clock())
    first = await visit(house, ticket)
    second = await visit(house, ticket, headers={"accept": "text/html"})
    own = await visit(house, ticket, headers={"cookie": first.headers["set-cookie"].split(";")[0]})

    assert second.status == 401
    assert b"this link was used before, or is too old" in second.body
    assert b"binp link" in second.body
    assert "set-cookie" not in second.headers
    assert (own.status, "set-cookie" in own.headers) == (303, False)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ticket: ticket[:-1],
        lambda ticket: ticket[:-1] + ("A" if ticket[-1] != "A" else "B"),
        lambda ticket: ("A" if ticket[0] != "A" else "B") + ticket[1:],
        lambda ticket: ticket.replace(".", ".9", 1),
        lambda ticket: "",
        lambda ticket: "....",
        lambda ticket: "a" * 100_000,
    ],
)
async def test_forged_ticket(house: Any, token: str, spoil: Any) -> None:
    """N-18: a ticket that was changed in any place is none."""
    answer = await visit(house, spoil(make_ticket(token, now=house.clock())))

    assert (answer.status, answer.reached, house.used) == (401, None, set())


async def test_expired_ticket(house: Any, token: str) -> None:
    """N-18: a link can be opened for a while only."""
    ticket = make_ticket(token, life=60, now=house.clock())
    house.clock.now += 60

    assert (await visit(house, ticket)).status == 401


async def test_ticket_of_another_instance(house: Any, token: str) -> None:
    """N-18: a link of another instance is none, and neither is a session used as a ticket."""
    _, session = new_session(token, life=60, now=house.clock())

    assert (await visit(house, make_ticket("u" * 43, now=house.clock()))).status == 401
    assert (await visit(house, session)).status == 401


@pytest.mark.parametrize("method", ["HEAD", "POST", "WS"])
async def test_ticket_is_for_get(house: Any, token: str, method: str) -> None:
    """N-18: only opening a link uses it up; from everything else the ticket is removed all the same."""
    query = b"ticket=" + make_ticket(token, now=house.clock()).encode()

    answer = await house.ask(method, query_string=query)

    assert answer.reached is None
    assert house.used == set()
    assert answer.scope["query_string"] == b""


async def test_link_that_cannot_be_checked(house: Any, token: str) -> None:
    """N-18: nobody gets in while it cannot be told whether a link was used."""

    async def broken(key: str) -> bool:
        raise BinpError("no database")

    house.access = replace(house.access, once=broken)

    answer = await visit(house, make_ticket(token, now=house.clock()))

    assert (answer.status, "set-cookie" in answer.headers) == (503, False)


async def test_link_where_the_path_is_the_users(house: Any, token: str) -> None:
    """N-18, N-20: the link works where the user has a route, whose own parameter of that name is left alone."""
    good = await visit(house, make_ticket(token, now=house.clock()), "/")
    own = await visit(house, "concert-17", "/")

    assert (good.status, good.headers["location"], good.reached) == (303, "/?a=1&b=2", None)
    assert own.reached == "user"
    assert own.scope["query_string"] == b"a=1&ticket=concert-17&b=2"


async def test_link_leads_to_no_other_host(house: Any, token: str) -> None:
    """N-18: a path that would be read as a host does not lead there."""
    answer = await visit(house, make_ticket(token, now=house.clock()), "//evil.example/x\r\n")

    assert answer.headers["location"] == "/evil.example/x%0D%0A?a=1&b=2"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda name, text: f"{name}={text[:-2]}AA",
        lambda name, text: f"{name}={text.replace('.', '.9', 1)}",
        lambda name, text: f"x{name}={text}",
        lambda name, text: f"{name}=",
        lambda name, text: name,
        lambda name, text: f"__Host-{name}={text}",
    ],
)
async def test_forged_cookie(house: Any, token: str, spoil: Any) -> None:
    """N-18: a cookie that was changed in any place is none."""
    _, text = new_session(token, life=1000, now=house.clock())

    answer = await house.ask(headers={"cookie": spoil(cookie_name(token, secure=False), text)})

    assert answer.status == 401


async def test_expired_cookie(house: Any, token: str) -> None:
    """N-18: a session ends, and one that is used is renewed before."""
    headers = cookie(token, house)
    house.access = replace(house.access, session_life=1000)
    fresh = await house.ask(headers=headers)
    house.clock.now += 600
    older = await house.ask(headers=headers)
    house.clock.now += 500
    expired = await house.ask(headers=headers)
    renewed = await house.ask(headers={"cookie": older.headers["set-cookie"].split(";")[0]})

    assert "set-cookie" not in fresh.headers
    assert expired.status == 401
    assert renewed.reached == "platform"
    assert renewed.scope["binp.actor"] == older.scope["binp.actor"]


def test_cookies_of_two_instances_differ() -> None:
    """N-18: cookies are shared by all ports of a host, so each instance has its own name for its."""
    assert cookie_name("a" * 43, secure=False) != cookie_name("b" * 43, secure=False)


# -- no authentication, development, the rest ------------------------------------------------------------------------


@pytest.fixture
def open_house(house: Any) -> Any:
    """A house that asks for no token."""
    house.access = Access(token=None, once=house.once)
    return house


@pytest.mark.parametrize(
    ("method", "headers", "scope", "status"),
    [
        ("GET", {}, {}, 200),
        ("POST", {}, {}, 200),
        ("WS", {}, {}, 200),
        ("POST", {"origin": ORIGIN}, {}, 200),
        ("POST", {"origin": EVIL}, {}, 403),
        ("POST", {"sec-fetch-site": "cross-site"}, {}, 403),
        ("WS", {"origin": EVIL}, {}, 1008),
        ("GET", {"host": "evil.example"}, {}, 421),
        ("GET", {}, {"client": ("10.0.0.9", 5)}, 403),
        ("GET", {"host": "10.0.0.1"}, {"server": ("10.0.0.1", 80)}, 403),
        ("WS", {}, {"client": ("10.0.0.9", 5)}, 1008),
    ],
)
async def test_no_authentication(open_house: Any, method: str, headers: Any, scope: Any, status: int) -> None:
    """Decisions 14, 15: without authentication this machine alone gets in; Host and Origin are checked all the same."""
    answer = await open_house.ask(method, headers=headers, **scope)

    if status == 200:
        assert answer.reached == "platform"
        assert answer.scope["binp.actor"] == "local"
    else:
        assert answer.reached is None
        assert (answer.close_code if method == "WS" else answer.status) == status


@pytest.mark.parametrize(
    ("origin", "headers", "scope", "is_allowed"),
    [
        ("http://localhost:5000", {}, {}, True),
        ("http://localhost:8000", {}, {}, True),
        ("http://localhost", {}, {}, True),
        ("http://localhost:80", {}, {}, True),
        ("http://localhost:5001", {}, {}, False),
        ("https://localhost:5000", {}, {}, False),
        ("http://localhost:5000.evil.example", {}, {}, False),
        ("http://127.0.0.1:5000", {}, {}, False),
        ("http://localhost:5000", {}, {"client": ("10.0.0.9", 5)}, False),
        ("http://localhost:5000", {"host": "10.0.0.1"}, {"server": ("10.0.0.1", 80)}, False),
    ],
)
async def test_development_origins(
    house: Any, bearer: Any, origin: str, headers: Any, scope: Any, is_allowed: bool
) -> None:
    """ENV-02, decision 15: DEV adds exactly its origins to CORS and to the Origin check, on this machine alone."""
    house.access = replace(house.access, dev=True)
    headers = {"origin": origin, **headers}

    post = await house.ask("POST", headers={**bearer, **headers}, **scope)
    announced = await house.ask(
        "OPTIONS",
        headers={
            **headers,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        },
        **scope,
    )

    assert (post.reached == "platform") is is_allowed
    assert (post.headers.get("access-control-allow-origin") == origin) is is_allowed
    assert announced.status == (204 if is_allowed else 401)
    assert announced.headers.get("access-control-allow-headers") == ("authorization" if is_allowed else None)


async def test_nothing_of_cors_without_the_setting(house: Any, bearer: Any) -> None:
    """ENV-02: without DEV no page of another origin may read an answer."""
    answer = await house.ask(headers={**bearer, "origin": "http://localhost:5000"})

    assert answer.reached == "platform"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/mine", "/internal/actions/"])
async def test_nothing_to_go_by(house: Any, bearer: Any, path: str) -> None:
    """N-18: while settings, database or token cannot be read nobody is let in, and a stranger is not told why."""

    async def broken() -> Access:
        raise BinpError("the token file belongs to user 12345", where="/srv/data.db.token")

    door = Door(house.choose, access=broken, lifespan=house.app("lifespan"))

    answer = await house.ask("GET", path, headers=bearer, through=door)

    assert (answer.reached, answer.status) == (None, 503)
    assert b"12345" not in answer.body


async def test_lifespan_passes(house: Any) -> None:
    """Lifespan events go to the application."""
    await house.door({"type": "lifespan"}, None, None)

    assert house.reached == "lifespan"


async def test_unknown_connections_are_not_served(house: Any) -> None:
    """What is neither HTTP nor a WebSocket does not get past the door."""
    with pytest.raises(ValueError, match="'gopher' is not served"):
        await house.door({"type": "gopher"}, None, None)


async def test_door_needs_no_fastapi(run_python: Any) -> None:
    """The door works without FastAPI and Starlette."""
    assert run_python("import binp.auth, sys; print({'fastapi', 'starlette'} & set(sys.modules))") == "set()\n"
