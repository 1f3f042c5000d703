"""A file is served by our own command and by uvicorn, and what it did is still there after a restart."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

OPS = '''
import asyncio
from binp import BINP, Inject
from buvar import context, plugin
from fastapi import APIRouter

binp = BINP()
router = APIRouter()

class Pool:
    def __init__(self, size):
        self.size = size

async def prepare(teardown: plugin.Teardown):
    context.add(Pool(7))
    teardown.add(lambda: print("torn down", flush=True))

@router.on_event("startup")
async def started():
    print("router started", flush=True)

@binp.app.on_event("shutdown")
async def stopped():
    print("app stopped", flush=True)

binp.app.include_router(router)

@binp.action
async def add(a: int, b: int = 2, *, pool: Inject[Pool]) -> int:
    """Add two numbers."""
    binp.journal.record("adding", a=a, pool=pool.size)
    print("printed")
    return a + b

@binp.action
async def slow(seconds: float = 60) -> str:
    await asyncio.sleep(seconds)
    return "slept"

@binp.app.get("/hello/{name}")
@binp.journal
async def hello(name: str) -> dict[str, int]:
    return {"run": binp.journal.current}

@binp.service(autostart=False)
async def asked_for() -> None:
    await binp.kv.set(seen=binp.journal.current)
    await asyncio.sleep(60)

@binp.app.post("/start")
@binp.journal
async def start_it() -> dict[str, int]:
    binp.service.start("asked_for")
    return {"run": binp.journal.current}

@binp.app.get("/seen")
async def seen() -> dict[str, int | None]:
    return {"run": await binp.kv.get("seen")}
'''

Serve = Callable[..., Any]


@pytest.fixture(autouse=True)
def ops(tmp_path: Path) -> Path:
    path = tmp_path / "ops.py"
    path.write_text(
        OPS.replace("from binp import", "import warnings; warnings.simplefilter('ignore')\nfrom binp import")
    )
    return path


@pytest.fixture(params=["binp", "uvicorn"])
def server(request: pytest.FixtureRequest, start: Serve, free_port: int) -> Any:
    """Serve the file by our own command, and by uvicorn's."""
    if request.param == "binp":
        made = start("binp", "run", "ops.py", "--port", str(free_port))
    else:
        made = start("uvicorn", "ops:binp.app", "--port", str(free_port))
    assert made.link
    return made


def test_an_action_is_run_and_kept(server: Any, start: Serve, free_port: int) -> None:
    """A run started over HTTP is in the history with its arguments, records and result, also after a restart."""
    run = server.start("add", a=40)
    before = server.ended(run)
    answer = server.ask("GET", "/hello/you")
    status = server.stop()

    assert status == (0 if "binp" in server.popen.args[0].rpartition("/")[2] else -signal.SIGTERM)
    assert "router started" in server.stdout
    assert server.stdout.rstrip().endswith("app stopped\ntorn down")
    assert (before["state"], before["result"], before["arguments"]) == ("succeeded", 42, {"a": 40, "b": 2})
    again = start("binp", "run", "ops.py", "--port", str(free_port))
    after = again.ask("GET", f"/internal/runs/{run}")
    assert after == before
    assert [(each["message"], each["fields"]) for each in after["records"]] == [
        ("adding", {"a": 40, "pool": 7}),
        ("printed", {}),
    ]
    assert again.ask("GET", f"/internal/runs/{answer['run']}")["operation"] == "hello"


def test_the_link_logs_one_browser_in(server: Any) -> None:
    """N-18: the printed link sets a cookie once, and without one nobody is let through to the platform."""
    path = server.link.removeprefix(server.url)
    refused = server.open("GET", "/internal/actions/", token=False)
    first = server.open("GET", path, token=False)
    second = server.open("GET", path, token=False)
    cookie = first.headers["set-cookie"].partition(";")[0]
    inside = server.open("GET", "/internal/actions/", token=False, headers={"Cookie": cookie})

    assert [refused.status, first.status, second.status, inside.status] == [401, 303, 401, 200]


def test_a_service_does_not_belong_to_the_request_that_started_it(server: Any) -> None:
    """A service that a journaled request started lives in a run of its own, without a parent."""
    request = server.ask("POST", "/start")["run"]
    run = server.until(lambda: server.ask("GET", "/seen")["run"], "service")
    row = server.ask("GET", f"/internal/runs/{run}")

    assert run != request
    assert (row["trigger"], row["parent"], row["state"]) == ("service", None, "running")


def test_a_killed_server_leaves_interrupted_runs(serve: Serve) -> None:
    """N-13: what was in flight when the process was killed is marked as interrupted at the next start, with an end."""
    server = serve()
    run = server.start("slow")
    server.kill()
    again = serve()
    row = again.ask("GET", f"/internal/runs/{run}")

    assert row["state"] == "interrupted"
    assert row["error"].startswith("interrupted")
    assert row["ended_at"]


def test_the_port_is_free_again_at_once(start: Serve, free_port: int) -> None:
    """A server that was just stopped, with connections of its own still waiting, does not keep the next one away."""
    for _ in range(2):
        server = start("binp", "run", "ops.py", "--port", str(free_port))
        server.ask("GET", "/hello/you")
        assert server.stop() == 0


def test_six_bytes_of_address_are_fine(serve: Serve) -> None:
    """It listens on an address of IPv6, and prints it as a browser wants it."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    server = serve("--host", "::1")

    assert server.url.startswith("http://[::1]:")
    assert server.ask("GET", "/hello/you")["run"]
    assert json.loads((server.folder / "data.db.serving").read_text())["url"] == server.url


def test_nobody_is_refused_while_plugins_are_loaded(tmp_path: Path, start: Serve, free_port: int) -> None:
    """A connection that is made before the plugins are loaded waits, and is answered."""
    with (tmp_path / "ops.py").open("a") as file:
        file.write(
            "\nimport pathlib\nfast = prepare\nasync def prepare(teardown: plugin.Teardown):\n"
            "    while not pathlib.Path('go').exists():\n        await asyncio.sleep(0.02)\n    await fast(teardown)\n"
        )
    server = start("binp", "run", "ops.py", "--port", str(free_port))
    connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=200)
    server.connections.append(connection)
    server.until(lambda: server.connects(connection), "listener")
    early = server.stdout
    connection.request("GET", "/hello/early")
    (tmp_path / "go").touch()
    answer = connection.getresponse()

    assert (early, answer.status) == ("", 200)


def test_the_database_and_the_settings_come_from_where_they_are_said_to(tmp_path: Path, start: Serve) -> None:
    """The command line wins over the file, the environment and the configuration: db, port and auth."""
    (tmp_path / "ops.toml").write_text('[binp]\ndb = "from_file.db"\nauth = "none"\nport = 1\n')
    server = start("binp", "run", "ops:binp", "--config", "ops.toml", "--db", "mine.db", "--port", "0", BINP_PORT="2")
    link = server.link

    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / "from_file.db").exists()
    assert "ticket" not in link
    assert urlsplit(link).port not in (1, 2)
    assert server.open("GET", "/internal/actions/", token=False).status == 200
