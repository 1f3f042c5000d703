"""A server that is told to end does so in the order of the list, within its grace, and loses nothing."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

OPS = '''
import asyncio, pathlib, time
from binp import BINP

binp = BINP()

def begun(name: str) -> None:
    pathlib.Path(name).touch()

@binp.app.get("/slow")
async def slow() -> str:
    begun("slow")
    while not pathlib.Path("answer").exists():
        await asyncio.sleep(0.02)
    return "answered"

@binp.app.get("/never")
async def never() -> None:
    begun("never")
    await asyncio.sleep(600)

@binp.action
async def long() -> None:
    """Talk without waiting for anybody to listen, then sleep."""
    for number in range(100):
        binp.journal.record("line", number=number)
    try:
        await asyncio.sleep(600)
    finally:
        binp.journal.record("cleaned up")

@binp.action
async def short() -> str:
    await asyncio.sleep(0.7)
    return "done"

@binp.action
async def block() -> None:
    time.sleep(600)

@binp.action
def thread() -> None:
    begun("thread")
    time.sleep(600)

@binp.action
async def offload() -> None:
    await asyncio.to_thread(thread)

@binp.app.get("/thread")
def in_thread() -> None:
    thread()

@binp.action
async def stubborn() -> None:
    begun("stubborn")
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

@binp.service
async def keeper() -> None:
    try:
        await asyncio.sleep(600)
    finally:
        binp.journal.record("put away")
'''

PHASES = [
    "listener closed",
    "not ready",
    "streams ended",
    "claiming stopped",
    "drained",
    "cancelled what was left",
    "services stopped",
    "records committed, leases given back, store closed",
]

Serve = Callable[..., Any]


@pytest.fixture(autouse=True)
def ops(tmp_path: Path) -> None:
    (tmp_path / "ops.py").write_text(OPS)


#: seconds that a busy machine may add to a grace; nothing here would end by itself before 600
LATE = 200


def begun(server: Any, name: str) -> None:
    server.until((server.folder / name).exists, name)


class Busy:
    """A server with one of everything in flight."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.began = 0.0
        self.pool = ThreadPoolExecutor()
        self.ready = threading.Semaphore(0)
        server.until(lambda: server.runs(operation="keeper"), "service")
        self.long = server.start("long")
        self.short = server.start("short")
        jobs = [self.pool.submit(job) for job in (self._stream, self._socket, self._request)]
        for _ in jobs:
            assert self.ready.acquire(timeout=200)
        begun(server, "slow")
        self.stream, self.socket, self.request = jobs

    def end(self) -> int:
        """Send the signal, let the request be answered when the streams have ended, and give the status."""
        self.began = time.monotonic()
        self.server.signal()
        self.stream.result(200)
        self.socket.result(200)
        assert not self.request.done()
        (self.server.folder / "answer").touch()
        return int(self.server.wait())

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def _stream(self) -> None:
        answer = self.server.open("GET", "/internal/events")
        assert answer.status == 200
        answer.readline()
        self.ready.release()
        while answer.read1():
            pass

    def _socket(self) -> int:
        url = self.server.url.replace("http", "ws") + "/internal/services/updates"
        headers = {"Authorization": f"Bearer {self.server.token}"}
        with connect(url, additional_headers=headers, proxy=None) as socket:
            self.ready.release()
            try:
                while True:
                    socket.recv(timeout=200)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 0

    def _request(self) -> tuple[int, bytes]:
        self.ready.release()
        answer = self.server.open("GET", "/slow")
        return answer.status, answer.read()


def check(busy: Busy, again: Any) -> None:
    """What must be true however it was served: streams first, the request answered, every end row there."""
    assert busy.socket.result(200) in (1001, 1012)
    assert busy.request.result(200) == (200, b'"answered"')
    short, long = again.ask("GET", f"/internal/runs/{busy.short}"), again.ask("GET", f"/internal/runs/{busy.long}")
    assert (short["state"], short["result"]) == ("succeeded", "done")
    assert (long["state"], long["error"]) == ("cancelled", "cancelled: the process was shut down")
    assert [each["message"] for each in long["records"]] == ["line"] * 100 + ["cleaned up"]
    keepers = again.until(lambda: len(found := again.runs(operation="keeper")) == 2 and found, "the next service")
    first, second = keepers
    assert (first["state"], second["state"]) == ("running", "cancelled")
    kept = again.ask("GET", f"/internal/runs/{second['id']}")
    assert [each["message"] for each in kept["records"]] == ["put away"]
    assert {each["state"] for each in again.runs() if each["id"] != first["id"]} == {"succeeded", "cancelled"}


def test_everything_in_flight_ends_in_order(serve: Serve) -> None:
    """N-11, N-12d: streams end, requests and runs drain, what is left is cancelled, services stop, nothing is lost."""
    busy = Busy(serve(BINP_GRACE="12"))
    status = busy.end()
    took = busy.now

    assert status == 0
    assert took < 12 + LATE
    phases = busy.server.phases
    # side by side with the runs, so its place among their phases depends on what there is to wait for
    assert phases.index("listener closed") < phases.index("requests answered") < phases.index("services stopped")
    phases.remove("requests answered")
    assert phases == PHASES
    # on a busy machine a loop is late now and then, which is logged
    said = [line for line in busy.server.log if line["logger"] != "binp.loop"]
    assert [line for line in said if line["level"] not in ("info", "debug")] == []
    check(busy, serve())


def test_a_foreign_server_ends_streams_first(start: Serve, serve: Serve, free_port: int) -> None:
    """N-11, N-12d: under uvicorn's own command the streams end at once, though it waits for them without limit."""
    busy = Busy(start("uvicorn", "ops:binp.app", "--port", str(free_port), BINP_GRACE="12"))
    status = busy.end()
    took = busy.now

    assert status == -signal.SIGTERM
    assert took < 12 + LATE
    check(busy, serve())


@pytest.mark.parametrize("served", ["binp", "uvicorn"])
def test_a_second_signal_cancels_at_once(start: Serve, serve: Serve, free_port: int, served: str) -> None:
    """Decision 4: the second signal cuts the grace short; what is in flight is cancelled, and recorded as that."""
    if served == "binp":
        server = start("binp", "run", "ops.py", "--port", "0", BINP_GRACE="600")
    else:
        server = start("uvicorn", "ops:binp.app", "--port", str(free_port), BINP_GRACE="600")
    run = server.start("long")
    request = ThreadPoolExecutor().submit(lambda: server.open("POST", "/internal/action/long").status)
    server.until(lambda: len(server.runs(operation="long")) == 2, "second run")
    server.signal()
    # uvicorn waits for its requests before it tells the application anything
    begun = "claiming stopped" if served == "binp" else "Waiting for connections to close"
    server.until(lambda: begun in server.stderr, "the first signal's work")
    server.signal()

    assert server.wait() == (0 if served == "binp" else -signal.SIGTERM)
    request.exception(200)
    row = serve().ask("GET", f"/internal/runs/{run}")
    assert row["state"] == "cancelled"


def test_a_request_that_never_ends_is_cut(serve: Serve) -> None:
    """A request of the user's own that goes on and on is cancelled in time for the rest of the list."""
    server = serve(BINP_GRACE="6")
    request = ThreadPoolExecutor().submit(lambda: server.open("GET", "/never"))
    begun(server, "never")
    began = time.monotonic()
    status = server.stop()

    assert status == 0
    assert 4 < time.monotonic() - began < 6 + LATE
    assert request.result(200).status == 500
    assert server.phases[-1] == PHASES[-1]


def test_ctrl_c_ends_it_too(serve: Serve) -> None:
    """SIGINT ends it like SIGTERM, with status 0."""
    server = serve()
    server.signal(signal.SIGINT)

    assert server.wait() == 0
    assert [phase for phase in server.phases if phase in PHASES] == PHASES
    assert "Traceback" not in server.stderr
    assert "KeyboardInterrupt" not in server.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_while_plugins_are_loaded(tmp_path: Path, start: Serve, number: signal.Signals) -> None:
    """A signal that comes while a plugin is loaded ends it at once, in order, with status 0."""
    with (tmp_path / "ops.py").open("a") as file:
        file.write("\nasync def prepare():\n    print('loading', flush=True)\n    await asyncio.sleep(300)\n")
    server = start("binp", "run", "ops.py", "--port", "0")
    server.until(lambda: "loading" in server.stdout, "loading")
    server.signal(number)

    assert server.wait() == 0
    assert "open  " not in server.stdout
    assert server.phases[-1] == PHASES[-1]
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_foreign_server_ends_while_plugins_are_loaded(
    tmp_path: Path, start: Serve, free_port: int, number: signal.Signals, loop: str
) -> None:
    """Under uvicorn's own command, too, a signal ends what is being loaded at once and in order."""
    with (tmp_path / "ops.py").open("a") as file:
        file.write("\nfrom buvar.plugin import Teardown\n")
        file.write("\nasync def prepare(teardown: Teardown):\n    teardown.add(lambda: print('torn down'))\n")
        file.write("    print('loading', flush=True)\n    await asyncio.sleep(300)\n")
    server = start("uvicorn", "ops:binp.app", "--port", str(free_port), "--loop", loop)
    server.until(lambda: "loading" in server.stdout, "loading")
    server.signal(number)

    # when uvicorn is through, it ends by the signal itself, but for a Ctrl-C
    assert server.wait() == (0 if number == signal.SIGINT else -number)
    assert "torn down" in server.stdout
    assert "open  " not in server.stdout
    assert "Traceback" not in server.stderr


def test_a_third_signal_leaves(serve: Serve) -> None:
    """Decision 4: a third signal leaves with 128 + signal, even when the loop hangs."""
    server = serve()
    server.start("block")
    sent = 0
    while server.popen.poll() is None:
        server.signal()
        sent += 1
        # of two that wait at a time the system hands over one, and so does Python: on a busy machine it takes more
        server.until(lambda: server.popen.poll() is not None or not server.is_pending(signal.SIGTERM), "taken signal")
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.popen.wait(0.3)

    assert (server.wait(), sent >= 3) == (128 + signal.SIGTERM, True)


def test_what_ignores_its_cancellation_does_not_hold_it_up(serve: Serve) -> None:
    """A run that swallows its cancellation has an end in the history, and the process ends a moment after its grace."""
    server = serve(BINP_GRACE="3")
    run = server.start("stubborn")
    begun(server, "stubborn")
    began = time.monotonic()
    server.stop()
    took = time.monotonic() - began
    row = serve().ask("GET", f"/internal/runs/{run}")

    assert took < 3 + LATE
    assert "Task was destroyed" not in server.stderr
    assert row["state"] == "cancelled"


@pytest.mark.parametrize("kind", ["thread", "offload", "route"])
def test_what_runs_in_a_thread_does_not_hold_it_up(serve: Serve, kind: str) -> None:
    """A function in a thread cannot be stopped; the process ends within its grace all the same, and says so."""
    server = serve(BINP_GRACE="3")
    if kind == "route":
        request = ThreadPoolExecutor().submit(lambda: server.open("GET", "/thread"))
    else:
        run = server.start(kind)
    begun(server, "thread")
    began = time.monotonic()
    status = server.stop()

    assert status == 0
    assert time.monotonic() - began < 3 + LATE
    assert "end with the process" in server.stderr or "ends with the process" in server.stderr
    if kind == "route":
        request.exception(200)
    else:
        assert serve().ask("GET", f"/internal/runs/{run}")["state"] == "cancelled"


def test_nothing_new_is_started_while_it_ends(serve: Serve) -> None:
    """A request that comes over a connection from before, while it drains, is refused and not run."""
    server = serve(BINP_GRACE="5")
    server.start("long")
    server.signal()
    server.until(lambda: "listener closed" in server.phases, "closed listener")
    with pytest.raises(OSError, match="refused|reset"):
        __import__("socket").create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 1)

    assert server.wait() == 0
