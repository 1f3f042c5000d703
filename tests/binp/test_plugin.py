"""A BINP is served by a stage: what is asked of uvicorn, and what the sockets are."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import inspect
import json
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from binp import BINP
from binp import plugin as serving
from binp.plugin import AddressNotUsable, Listener
from buvar.components import Components
from buvar.plugin import Stage


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener.bind("127.0.0.1", 0)
    yield made
    made.close()


def make_stage(binp: BINP, listener: Listener, **options: Any) -> Stage:
    components = Components()
    components.add(binp)
    components.add(listener)
    return Stage(components, fail_fast=True, **options)


async def get(url: str, **headers: str) -> Any:
    request = urllib.request.Request(url, headers=headers)

    def ask() -> Any:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    return await asyncio.to_thread(ask)


async def test_uvicorn_still_has_what_we_hook_into() -> None:
    """The hooks of the embedded server exist and mean what they meant; a new uvicorn without one of them fails here."""
    server = serving._make_server(FastAPI(), {})
    config = server.config

    assert list(inspect.signature(uvicorn.Server.capture_signals).parameters) == ["self"]
    assert list(inspect.signature(uvicorn.Server.serve).parameters) == ["self", "sockets"]
    assert (server.started, server.should_exit, server.force_exit) == (False, False, False)
    assert (server.server_state.tasks, server.server_state.connections) == (set(), set())
    config.load()
    assert HttpToolsProtocol(config, server.server_state, {}, asyncio.get_running_loop()).cycle is None
    assert (config.lifespan, config.log_config, config.access_log) == ("off", None, False)
    assert (config.server_header, config.proxy_headers) == (False, False)
    assert (config.ws, config.ws_per_message_deflate) == ("websockets-sansio", False)
    assert config.timeout_graceful_shutdown is not None
    assert list(inspect.signature(uvicorn.Server.main_loop).parameters) == ["self"]
    assert await server.on_tick(0) is False
    assert [name for name, _ in server.server_state.default_headers] == [b"date"]
    before = signal.getsignal(signal.SIGTERM)
    with server.capture_signals():
        assert signal.getsignal(signal.SIGTERM) is before


async def test_a_binp_is_served_inside_a_stage(db: str, listener: Listener, add_keeper: Any) -> None:
    """The plugin opens the home, leads when it listens, hands on what the lifespans gave, and closes at the end."""
    binp = BINP(db=db)
    seen: list[str] = []
    add_keeper(binp, seen)

    @binp.app.get("/where")
    async def where(request: Request) -> dict[str, Any]:
        return {"state": request.state.given, "serving": binp.home.is_serving}

    async def lifespan(app: FastAPI) -> Any:
        seen.append("lifespan")
        yield {"given": 7}
        seen.append("lifespan ended")

    import contextlib

    binp.app.router.lifespan_context = contextlib.asynccontextmanager(lifespan)
    async with make_stage(binp, listener, cancel_timeout=60).running("binp.plugin") as stage:
        answer = await get(f"{listener.url}/where")
        while "service" not in seen:
            await asyncio.sleep(0.01)
        assert not stage.failed

    assert answer == {"state": 7, "serving": True}
    assert seen == ["lifespan", "service", "service stopped", "lifespan ended"]
    assert not binp.home.is_open
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port), 1)


async def test_the_database_says_where_it_is_served(db: str, listener: Listener, tmp_path: Path, capsys: Any) -> None:
    """While it serves, the address stands beside the database, and a link was printed once."""
    binp = BINP(db=db)
    place = tmp_path / "data.db.serving"
    async with make_stage(binp, listener, cancel_timeout=60).running("binp.plugin"):
        while not place.exists():
            await asyncio.sleep(0.01)
        told = json.loads(place.read_text())
    printed = capsys.readouterr().out.splitlines()

    assert told["url"] == listener.url
    assert not place.exists()
    assert printed[0].startswith(f"open      {listener.url}/?ticket=")
    assert printed[1:] == [f"database  {tmp_path / 'data.db'}"]


async def test_a_failing_plugin_closes_what_was_opened(db: str, listener: Listener) -> None:
    """What a plugin raises while it is loaded goes through, and the home is closed."""

    async def broken() -> None:
        raise LookupError("nothing there")

    binp = BINP(db=db, plugins=[broken])
    with pytest.raises(LookupError, match="nothing there"):
        async with make_stage(binp, listener).running("binp.plugin"):
            pass

    assert not binp.home.is_open


def test_sockets_listen_at_once() -> None:
    """Port 0 takes a free port, which is the one that is told; connections are taken before anybody serves."""
    listener = Listener.bind("127.0.0.1", 0)
    try:
        assert listener.url == f"http://127.0.0.1:{listener.port}"
        with socket.create_connection(("127.0.0.1", listener.port), 1):
            pass
        assert all(not each.getblocking() for each in listener.sockets)
    finally:
        listener.close()


def test_a_name_is_listened_on_at_every_address() -> None:
    """A name with several addresses has one port on all of them."""
    listener = Listener.bind("localhost", 0)
    try:
        assert {each.getsockname()[1] for each in listener.sockets} == {listener.port}
        assert listener.url == f"http://localhost:{listener.port}"
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errno.EADDRINUSE, "port 80 of ::1 is in use"),
        (errno.EACCES, "this user may not listen on port 80 of ::1"),
        (errno.EINVAL, "'::1' is not an address of this machine: Invalid argument"),
    ],
)
def test_an_address_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, error: int, text: str) -> None:
    """Each reason has its own words, and the error keeps what was asked for; nothing stays open."""

    def refuse(family: int, address: object) -> socket.socket:
        import os

        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(serving, "_listen", refuse)
    with pytest.raises(AddressNotUsable) as caught:
        Listener.bind("::1", 80)

    assert caught.value.what == text
    assert caught.value.where == "[binp] host = '::1', port = 80"
    assert (caught.value.host, caught.value.port) == ("::1", 80)
    assert caught.value.fix


def test_a_taken_second_address_gives_the_first_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """When one of several addresses is in use, none is kept."""
    real: Callable[..., socket.socket] = serving._listen
    made: list[socket.socket] = []

    def once(family: int, address: Any) -> socket.socket:
        if made:
            raise OSError(errno.EADDRINUSE, "in use")
        made.append(real(family, ("127.0.0.1", 0)))
        return made[0]

    addresses = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.2", 0))]
    monkeypatch.setattr(serving, "_listen", once)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: addresses)
    with pytest.raises(AddressNotUsable, match="in use"):
        Listener.bind("twice", 0)

    assert made[0].fileno() == -1


async def test_who_was_connected_just_now_is_heard(
    db: str, listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A connection that was made before the listener was closed is answered, also if its request comes after that.

    Whoever is told when it serves is told so; a link that people have is not printed again.
    """
    made: list[uvicorn.Server] = []
    real = serving._make_server
    monkeypatch.setattr(serving, "_make_server", lambda *given: made.append(real(*given)) or made[0])
    served = asyncio.Event()
    binp = BINP(db=db)
    binp.home.overrides["grace"] = 2000.0
    binp.app.get("/late")(lambda: "answered")
    listener = dataclasses.replace(listener, is_told=True, served=served.set)
    async with make_stage(binp, listener, cancel_timeout=60).running("binp.plugin") as stage:
        await served.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        while not made[0].server_state.connections:
            await asyncio.sleep(0.01)
        stage.cancel.set()
        while any(each.is_serving() for each in made[0].servers):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        writer.write(b"GET /late HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200")
    assert "ticket" not in capsys.readouterr().out


async def test_a_server_with_nothing_to_do_is_hardly_woken(db: str, listener: Listener) -> None:
    """What is served and not used leaves the processor alone: its loop goes round for the date in its answers."""
    served = asyncio.Event()
    listener = dataclasses.replace(listener, is_told=True, served=served.set)
    async with make_stage(BINP(db=db), listener, cancel_timeout=60).running("binp.plugin"):
        await served.wait()
        loop: Any = asyncio.get_running_loop()
        go_round, rounds = loop._run_once, 0

        def count() -> None:
            nonlocal rounds
            rounds += 1
            go_round()

        loop._run_once = count
        try:
            for _ in range(20):
                rounds = 0
                await asyncio.sleep(3)
                # twice for each second, and for this sleep; more where something else happens just then
                if rounds <= 10:
                    break
        finally:
            del loop._run_once

    assert rounds <= 10
