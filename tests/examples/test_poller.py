"""The poller runs as it is, against a stand-in for the two hosts that it talks to, and its test passes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

FAKE = """
from httpx import AsyncClient


class Answer:
    def __init__(self, **content):
        self.content = content

    def json(self):
        return self.content


class FakeThermostat(AsyncClient):
    def __init__(self, actual):
        self.actual = actual

    async def post(self, url, json):
        assert (url, json) == ("http://thermo.lan/bath", {"target": 20})
        return Answer(actual=self.actual)


"""


#: one loop for each test, said so that nothing warns about it
LOOP = ["-o", "asyncio_default_fixture_loop_scope=function", "-W", "error"]


class Hosts(ThreadingHTTPServer):
    """A proxy that answers for ``weather.lan`` and ``thermo.lan`` by itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    def _answer(self, content: Any) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        assert isinstance(self.server, Hosts)
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self._answer({"sky": "clear", "degrees": 7.5})

    def do_POST(self) -> None:
        self._answer({"actual": 21.5})

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    made = Hosts()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def served(
    checkout: Path, tmp_path: Path, clean_environ: dict[str, str], hosts: Hosts
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """The poller, served; runs commands of ``binp`` beside it."""
    proxy = f"http://127.0.0.1:{hosts.server_port}"
    environ = {name: value for name, value in clean_environ.items() if not name.startswith(("BINP_", "DB_URL", "DEV"))}
    environ |= {"http_proxy": proxy, "HTTP_PROXY": proxy, "no_proxy": "", "NO_PROXY": ""}
    binp = str(Path(sys.executable).with_name("binp"))

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([binp, *command], capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=200)

    with (tmp_path / "log").open("wb") as log:
        popen = subprocess.Popen(
            [binp, "run", str(checkout / "examples" / "poller.py"), "--port", "0"],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env=environ,
        )
    try:
        end = time.monotonic() + 200
        while not (tmp_path / "data.db.serving").exists():
            is_coming = popen.poll() is None and time.monotonic() < end
            assert is_coming, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield run
        popen.terminate()
        assert popen.wait(200) == 0
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.wait()


def test_the_poller(served: Callable[..., subprocess.CompletedProcess[str]], hosts: Hosts) -> None:
    """The service polls, the action asks, and the schedule is there with its arguments in words."""
    done = served("action", "invoke", "heat", "room=office", "target=19.5")
    assert (done.returncode, done.stdout) == (0, "21.5\n"), done.stderr
    # what it records, and after that what httpx logs
    assert done.stderr.startswith("asking the thermostat  room=office target=19.5\n")
    assert ("POST", "http://thermo.lan/office", {"target": 19.5}) in hosts.asked
    end = time.monotonic() + 200
    while ("GET", "http://weather.lan/now", None) not in hosts.asked:
        assert time.monotonic() < end, hosts.asked
        time.sleep(0.05)
    wrong = served("action", "invoke", "heat", "room=bath", "target=30")
    assert (wrong.returncode, "target: Input should be less than or equal to 25" in wrong.stderr) == (2, True)
    (schedule,) = json.loads(served("schedule", "list", "--json").stdout)
    assert (schedule["words"], schedule["arguments"]) == ("At 06:00 every day (UTC)", {"room": "bath", "target": 22})
    fired = served("schedule", "fire", "heat")
    shown = json.loads(served("journal", "show", "--json", fired.stdout.strip()).stdout)
    assert shown["labels"] == ["home"]


def test_its_test(checkout: Path, tmp_path: Path, clean_environ: dict[str, str]) -> None:
    """What stands at the end of the file passes as a test of its own, with a stand-in for the thermostat."""
    text = (checkout / "examples" / "poller.py").read_text()
    body, _, test = text.partition("# test_poller.py\n")
    (tmp_path / "poller.py").write_text(body)
    (tmp_path / "test_poller.py").write_text(FAKE + test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", *LOOP],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environ,
        timeout=120,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    (tmp_path / "test_poller.py").write_text(FAKE + test.replace("== 21.5", "== 3"))
    done = subprocess.run(done.args, capture_output=True, text=True, cwd=tmp_path, env=clean_environ, timeout=120)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
