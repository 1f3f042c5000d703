"""The fixtures, as another project uses them: in a pytest run of its own."""

import os
import subprocess
import sys

SUITE = """
import aiohttp.web
import pytest
from buvar import context, plugin

state = {}

async def prepare(load: plugin.Loader):
    await load("buvar_aiohttp")
    app = context.get(aiohttp.web.Application)

    async def echo(request):
        if request.method == "GET" and request.query:
            return aiohttp.web.json_response(dict(request.query))
        return aiohttp.web.Response(text=f"{request.method} {await request.text()}")

    async def socket(request):
        ws = aiohttp.web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data.upper())
        return ws

    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/ws", socket)

@pytest.mark.buvar_plugins("test_it")
async def test_methods(buvar_aiohttp_client, buvar_aiohttp_app):
    assert context.get(aiohttp.web.Application) is buvar_aiohttp_app
    client = buvar_aiohttp_client
    assert client.app is buvar_aiohttp_app
    for method in ("get", "post", "put", "patch", "delete", "options"):
        async with getattr(client, method)("/echo", data=b"x") as response:
            assert await response.text() == f"{method.upper()} x"
    response = await client.head("/echo")
    assert response.status == 200
    response = await client.get("/echo", params={"a": "b"})
    assert await response.json() == {"a": "b"}
    async with client.ws_connect("/ws") as ws:
        await ws.send_str("hello")
        assert await ws.receive_str() == "HELLO"
    state["client"] = await client.start()

def test_it_was_closed():
    assert state["client"].session.closed

@pytest.mark.buvar_plugins("test_it")
async def test_unused(buvar_aiohttp_client):
    assert buvar_aiohttp_client.app.router.resources()

async def test_loaded_by_hand(buvar_load, buvar_aiohttp_client):
    await buvar_load(prepare)
    assert (await buvar_aiohttp_client.get("/echo")).status == 200
"""


def test_fixtures(tmp_path, clean_environ):
    """AIO-06: application and client work with plugins that a marker or the test loads; without pytest-aiohttp."""
    (tmp_path / "test_it.py").write_text(SUITE)
    settings = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    (tmp_path / "pytest.ini").write_text(settings)
    measured = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path, env={**clean_environ, **measured}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_loading_it_imports_nothing_heavy(run_python):
    """AIO-06: what pytest loads in every project imports nothing but pytest."""
    heavy = ("aiohttp", "buvar.config", "buvar.plugin", "buvar_aiohttp._config")
    code = f"import sys, buvar_aiohttp.testing; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code) == "[]\n"
