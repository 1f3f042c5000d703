"""A served action in a process of its own: over HTTP, cancelled, at shutdown, and when the server is killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OPS = """
import os, time
from binp import BINP

binp = BINP()

@binp.action(process=True)
def where(word: str) -> dict:
    binp.journal.record("heard", word=word)
    return {"word": word, "pid": os.getpid(), "parent": os.getppid()}

@binp.action(process=True)
def compute() -> None:
    binp.journal.record("begun", pid=os.getpid())
    try:
        while True:
            pass
    finally:
        binp.journal.record("put away")
"""


@pytest.fixture(params=["binp", "uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path: Path, start: Callable[..., Any], free_port: int) -> Any:
    """The file, served by our own server and by another one."""
    (tmp_path / "ops.py").write_text(OPS)
    if request.param == "binp":
        made = start("binp", "run", "ops.py", "--port", str(free_port))
    else:
        made = start("uvicorn", "ops:binp.app", "--port", str(free_port), PYTHONPATH=str(tmp_path))
    assert made.link
    return made


def begun(server: Any) -> tuple[int, int]:
    """Start what computes; its run and its process."""
    run = server.start("compute")
    (record,) = server.until(lambda: server.ask("GET", f"/internal/runs/{run}/records"), "first record")
    return run, record["fields"]["pid"]


def test_it_is_called_and_cancelled(server: Any, is_alive: Any) -> None:
    """ACT-01, EVT-02: the call is made in a child of the server, and one that computes can be stopped."""
    result = server.ended(server.start("where", word="hello"))["result"]
    assert (result["word"], result["parent"]) == ("hello", server.popen.pid)
    run, pid = begun(server)

    server.ask("POST", f"/internal/runs/{run}/cancel", status=202)

    assert server.ended(run)["state"] == "cancelled"
    assert not is_alive(pid)
    # uvicorn ends by the signal that it was sent
    assert server.stop() in {0, -signal.SIGTERM, 128 + signal.SIGTERM}


def test_nothing_is_left_of_a_server_that_was_killed(server: Any, is_alive: Any) -> None:
    """N-13: the process of an action ends with the server, however that ends."""
    _, pid = begun(server)
    assert is_alive(pid)

    server.kill()

    end = time.monotonic() + 200
    while is_alive(pid):
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.02)


def test_nothing_is_left_after_a_shutdown(server: Any, is_alive: Any) -> None:
    """N-11: the process of an action ends with the server, which records that."""
    _, pid = begun(server)

    server.signal()
    server.signal()
    server.wait()

    assert not is_alive(pid)
