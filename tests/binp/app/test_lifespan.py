"""The application under a server that is not ours: its lifespan, and the signals that the server handles."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from binp import BINP


class Foreign:
    """A server that handles signals by a bound method, as uvicorn does."""

    def __init__(self, **config: Any) -> None:
        self.config = SimpleNamespace(
            **{"host": "127.0.0.1", "port": 1234, "uds": None, "fd": None, "is_ssl": False, **config}
        )
        self.received: list[int] = []

    def handle(self, number: int, frame: object) -> None:
        self.received.append(number)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        former = signal.signal(signal.SIGTERM, self.handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, former)


@contextlib.asynccontextmanager
async def lived(binp: BINP) -> Any:
    """Speak the lifespan protocol with the application."""
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(binp.app(scope, inbox.get, outbox.put))
    inbox.put_nowait({"type": "lifespan.startup"})
    message = await outbox.get()
    if message["type"] != "lifespan.startup.complete":
        with contextlib.suppress(Exception):
            await task
        raise AssertionError(message)
    try:
        yield scope
    finally:
        inbox.put_nowait({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await task


async def test_the_order_of_a_life(db: str, capsys: Any, add_keeper: Any) -> None:
    """Plugins are loaded, then the user's lifespan is entered, then services run; and back in reverse."""
    seen: list[str] = []

    async def prepare(teardown: Any) -> None:
        seen.append("plugin")

    from buvar.plugin import Teardown

    prepare.__annotations__["teardown"] = Teardown
    binp = BINP(db=db, plugins=[prepare])
    add_keeper(binp, seen)

    @contextlib.asynccontextmanager
    async def own(app: Any) -> Any:
        seen.append("lifespan")
        yield {"given": 7}
        seen.append("lifespan ended")

    binp.app.router.lifespan_context = own
    async with lived(binp) as scope:
        while "service" not in seen:
            await asyncio.sleep(0.01)
        open_inside = binp.home.is_serving

    assert scope["state"] == {"given": 7}
    assert open_inside
    assert seen == ["plugin", "lifespan", "service", "service stopped", "lifespan ended"]
    assert not binp.home.is_open
    assert "open      http://127.0.0.1:8000/?ticket=" in capsys.readouterr().out


async def test_it_lives_again(db: str) -> None:
    """A lifespan that ended can begin again."""
    binp = BINP(db=db)
    for _ in range(2):
        async with lived(binp):
            await binp.kv.set(x=1)


async def test_signals_are_heard_before_the_server(db: str, capsys: Any) -> None:
    """The first signal begins the shutdown before the server acts on it, and is passed on; handlers are restored."""
    server = Foreign()
    binp = BINP(db=db)
    with server.installed():
        async with lived(binp):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
            after_first = binp.home.is_serving
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
            hurried = binp.home.is_hurried
        restored = signal.getsignal(signal.SIGTERM) == server.handle

    assert (after_first, hurried, restored) == (False, True, True)
    assert server.received == [signal.SIGTERM] * 2
    assert "open      http://127.0.0.1:1234/?ticket=" in capsys.readouterr().out


async def test_somebody_elses_handler_stays(db: str) -> None:
    """A handler that was installed meanwhile is not replaced at the end."""
    server, other = Foreign(), Foreign()
    with server.installed():
        async with lived(BINP(db=db)):
            signal.signal(signal.SIGTERM, other.handle)
        assert signal.getsignal(signal.SIGTERM) == other.handle


@pytest.mark.parametrize("config", [{"uds": "/tmp/x"}, {"fd": 3}, {"port": 0}])
async def test_an_address_that_cannot_be_known(db: str, capsys: Any, config: dict[str, Any]) -> None:
    """A server on a socket that it was given, or on any free port, is not told to be somewhere."""
    with Foreign(**config).installed():
        async with lived(BINP(db=db)):
            pass

    assert "open      " not in capsys.readouterr().out


async def test_who_can_be_reached_must_ask(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decision 15: a server that other machines can reach is refused without authentication."""
    monkeypatch.setenv("BINP_AUTH", "none")
    with Foreign(host="0.0.0.0").installed(), pytest.raises(AssertionError) as caught:
        async with lived(BINP(db=db)):
            pass

    message = caught.value.args[0]["message"]
    assert "InvalidSetting: auth is 'none', but '0.0.0.0' can be reached from other machines" in message


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_one_that_is_mounted_lives_in_the_lifespan_of_the_other(
    db: str, capsys: Any, is_wrapped: bool, add_keeper: Any
) -> None:
    """Its service runs, its own lifespan is entered, and programs and people are told the path at which it is."""
    binp = BINP(db=db)
    seen: list[str] = []
    add_keeper(binp, seen)

    @contextlib.asynccontextmanager
    async def own(app: Any) -> Any:
        seen.append("own")
        yield {"of": "binp"}

    binp.app.router.lifespan_context = own
    outer = FastAPI(lifespan=binp.lifespan)
    outer.mount("/other", FastAPI())
    outer.router.routes.append(
        Mount("/ops", app=binp.app, middleware=[Middleware(GZipMiddleware)] if is_wrapped else [])
    )

    with Foreign(port=1234).installed():
        async with outer.router.lifespan_context(outer) as state:
            while "service" not in seen:
                await asyncio.sleep(0.01)
            place = Path(binp.home.store.url.removeprefix("sqlite:///") + ".serving")
            assert json.loads(place.read_text())["url"] == "http://127.0.0.1:1234/ops"

    assert state == {"of": "binp"}
    assert seen == ["own", "service", "service stopped"]
    assert not place.exists()
    assert "open      http://127.0.0.1:1234/ops/?ticket=" in capsys.readouterr().out


async def test_a_file_that_is_included_is_served_by_the_lifespan_of_either(db: str) -> None:
    """It is a second name for what has included it."""
    binp, other = BINP(db=db), BINP()
    binp.include(other)
    async with other.lifespan():
        assert binp.home.is_serving
    assert not binp.home.is_open


async def test_requests_without_a_lifespan_are_told_of(db: str, caplog: Any) -> None:
    """Mounted and forgotten, services would never run, and nobody would know why; it is said once."""
    binp = BINP(db=db)
    transport = httpx.ASGITransport(app=binp.app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.get("/nothing")
        assert caplog.messages == []

    binp = BINP(db=db.replace("data.db", "another.db"))
    binp.schedule("30 2 * * *", name="nightly")(lambda: None)
    transport = httpx.ASGITransport(app=binp.app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.get("/nothing")
        await client.get("/nothing")
    (message,) = caplog.messages
    assert message.startswith("services and schedules do not run: ")
    assert "lifespan=binp.lifespan" in message


async def test_the_first_request_may_come_while_the_server_ends(db: str, caplog: Any) -> None:
    """Services ran until then: nobody is told that they never did."""
    binp = BINP(db=db)
    binp.schedule("30 2 * * *", name="nightly")(lambda: None)
    transport = httpx.ASGITransport(app=binp.app, client=("127.0.0.1", 1))
    async with binp.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        binp.home.begin_shutdown()
        await client.get("/nothing")
    assert "do not run" not in caplog.text
