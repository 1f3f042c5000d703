"""Programs as people write them: they serve on shared sockets, and say what is wrong."""

import concurrent.futures
import json
import os
import signal
import socket
import sys
import time

import pytest

from buvar_aiohttp import AioHttpConfig, AioHttpMissingError

B6 = """\
import aiohttp.web
from buvar import fork, plugin, di, context
from buvar_aiohttp import AioHttpConfig


async def hello(request):
    return aiohttp.web.Response(body=b"Hello, world")


async def prepare_aiohttp(load: plugin.Loader):
    await load("buvar_aiohttp")

    app = await di.nject(aiohttp.web.Application)
    app.router.add_route("GET", "/", hello)


context.add(AioHttpConfig(host="0.0.0.0", port=5678))

fork.stage(prepare_aiohttp, forks=0, sockets=["tcp://:5678"])
"""

HEAD = """
import logging, os, signal, sys
logging.basicConfig(level="INFO")
import aiohttp.web
from buvar import config, context, di, fork, plugin
from buvar_aiohttp import AioHttpConfig
PORT = {port}
async def hello(request):
    return aiohttp.web.json_response({{"pid": os.getpid(), "slot": di and context.get(fork.Fork).slot}})
async def routes(load: plugin.Loader):
    await load("buvar_aiohttp")
    context.get(aiohttp.web.Application).router.add_get("/", hello)
"""


def test_the_documented_program_serves(start, documented_port):
    """FRK-05, B-15d: snippet B6 as printed serves on the shared socket and ends in order, in fresh processes."""
    for _ in range(int(os.environ.get("BUVAR_SNIPPETS", "3"))):
        program = start(B6)
        program.port = documented_port
        assert program.get() == b"Hello, world"
        assert program.end() == 0
        assert program.log == ""


@pytest.mark.parametrize("forks", [1, 2])
@pytest.mark.parametrize(
    ("settings", "sockets"),
    [
        ("AioHttpConfig(port=PORT)", "[f'tcp://:{PORT}']"),
        ("AioHttpConfig(host='127.0.0.1', port=PORT)", "[f'tcp://127.0.0.1:{PORT}', 'tcp://127.0.0.1:0']"),
        ("AioHttpConfig()", "[f'tcp://127.0.0.1:{PORT}']"),
        ("AioHttpConfig()", "[f'tcp://127.0.0.1:{PORT}', f'tcp://[::1]:{PORT}', f'unix://{os.getcwd()}/sock']"),
    ],
    ids=["any", "host", "nothing", "several"],
)
def test_shared_sockets_are_found(start, port, forks, settings, sockets):
    """AIO-03, decision 9: a server finds its shared sockets; with no address it serves all of them."""
    program = start(
        HEAD.format(port=port) + f"context.add({settings})\nfork.stage(routes, forks={forks}, sockets={sockets})\n"
    )
    told = json.loads(program.get())

    assert (told["pid"] in program.workers) == (forks == 2)
    assert program.end() == 0
    assert "Traceback" not in program.log


def test_the_section_of_the_file_counts(start, port):
    """AIO-02, AIO-04: the section `aiohttp` configures the server, in a file and by the environment."""
    program = start(
        HEAD.format(port=port) + "settings = {'aiohttp': {'host': '127.0.0.1', 'access_log': False}}\n"
        "context.add(config.ConfigSource(settings, env_prefix='APP'))\n"
        "print(fork.stage(routes, forks=1))\n",
        APP_AIOHTTP_PORT=str(port),
    )
    assert json.loads(program.get())["slot"] is None
    assert program.end() == 0
    assert "aiohttp.access" not in program.log


def test_a_reload_under_load_loses_nothing(start, port):
    """HUP while requests come: none fails, on the loop of asyncio too."""
    program = start(
        HEAD.format(port=port)
        + "from asyncio import SelectorEventLoop\n"
        # where this machine is busy, whoever was let in may take longer to ask than they are given
        + "from buvar_aiohttp import _runner\n_runner._LINGER = 60.0\n"
        + "context.add(AioHttpConfig(port=PORT))\n"
        + "fork.stage(routes, forks=2, sockets=[f'tcp://:{PORT}'], loop=SelectorEventLoop())\n"
    )
    program.get()
    before = set(program.workers)
    end, failed = time.monotonic() + 2.5, []

    def ask(_):
        count = 0
        while time.monotonic() < end:
            try:
                program.get(patience=0)
            except OSError as error:
                failed.append(error)
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = pool.map(ask, range(6))
        while time.monotonic() < end:
            program.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        assert sum(asked) > 0
    assert failed == []
    # the last one may be under way
    end = time.monotonic() + 200
    while before & set(program.workers):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert program.end() == 0


@pytest.mark.parametrize("loop", ["None", "__import__('asyncio').SelectorEventLoop()"], ids=["default", "asyncio"])
def test_a_worker_that_ends_leaves_the_shared_path(start, port, tmp_path, loop):
    """AIO-03: a unix socket that workers share outlives each of them, and goes with the program."""
    path = tmp_path / "sock"
    program = start(
        HEAD.format(port=port)
        + f"fork.stage(routes, forks=2, sockets=[f'tcp://:{{PORT}}', 'unix://{path}'], loop={loop})\n"
    )
    program.get()
    program.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 200
    while "The workers are replaced" not in program.log:
        assert time.monotonic() < end
        time.sleep(0.02)

    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(200)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
    assert program.end() == 0
    assert not path.exists()


def test_without_an_address_the_start_fails(start, port):
    """A server without an address is a failed start: status 3, and the log says what to set."""
    program = start(HEAD.format(port=port) + "fork.stage(routes, forks=2)\n")

    assert program.process.wait(200) == 3
    assert "the aiohttp server has no address" in program.log
    assert "giving up" in program.log


def test_without_an_address_a_single_process_fails(start, port):
    """The same in a single process is an error with status 1."""
    program = start(HEAD.format(port=port) + "fork.stage(routes, forks=1)\n")

    assert program.process.wait(200) == 1
    assert "AioHttpConfigError: the aiohttp server has no address" in program.log


def test_workers_that_take_each_others_port_are_told(start, port):
    """Workers that bind one address each for itself cannot start; the log names the sockets that are shared."""
    program = start(
        HEAD.format(port=port)
        + "context.add(AioHttpConfig(port=PORT))\nfork.stage(routes, forks=2, sockets=['tcp://127.0.0.1:0'])\n"
    )

    assert program.process.wait(200) == 3
    assert "each worker tried to bind" in program.log
    assert "shared sockets are: tcp://127.0.0.1:0" in program.log


def test_what_is_missing_is_named(monkeypatch):
    """Without aiohttp the error names the extra; what else is missing is named as it is."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(AioHttpMissingError, match=r"pip install binp\[aiohttp\]"):
        AioHttpConfig().runner(None)

    class Broken:
        def find_spec(self, name, path, target=None):
            if name == "aiohttp":
                raise ModuleNotFoundError("No module named 'yarl'", name="yarl")

    monkeypatch.delitem(sys.modules, "aiohttp")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="yarl"):
        AioHttpConfig().runner(None)


def test_a_missing_aiohttp_is_explained(run_python):
    """Without aiohttp, everything that needs it says how to get it; importing the package does not."""
    code = """
import sys
sys.modules["aiohttp"] = None
import importlib.abc
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "aiohttp":
            raise ModuleNotFoundError(f"No module named {name!r}", name="aiohttp")
del sys.modules["aiohttp"]
sys.meta_path.insert(0, Hide())
from buvar import plugin
from buvar_aiohttp import AioHttpConfig, AioHttpMissingError
import buvar_aiohttp.testing, buvar_aiohttp.json
for call in (
    lambda: plugin.stage("buvar_aiohttp"),
    lambda: AioHttpConfig().runner(None),
    lambda: AioHttpConfig().site(None),
    lambda: buvar_aiohttp.json.response({}),
):
    try:
        call()
    except AioHttpMissingError as error:
        print(str(error).replace(chr(10), ""), error.name, isinstance(error, ImportError))
"""
    said = "buvar_aiohttp needs aiohttp, which is not installed  fix:   pip install binp[aiohttp] aiohttp True\n"
    assert run_python(code) == said * 4
