"""How long a served file takes to its first answer, and how much memory, beside a bare FastAPI with uvicorn."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import Claim, in_turn, options, ratio, report, table, versions

BARE = """
from fastapi import FastAPI
app = FastAPI()

@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""

OURS = """
from binp import BINP
binp = BINP()

@binp.action
async def greet(name: str = "world") -> str:
    return f"hello {name}"

@binp.app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""

#: the command line as it is installed beside this Python
BINP_COMMAND = str(Path(sys.executable).with_name("binp"))


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident(pid: int) -> float:
    """Resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


def first_answer(command: list[str], cwd: Path, port: int) -> tuple[float, float]:
    """Seconds to the first 200 of ``/hello``, and MiB a moment later."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/hello")
                if connection.getresponse().status == 200:
                    break
            if process.poll() is not None or time.perf_counter() - began > 60:
                raise SystemExit(f"{' '.join(command)} did not come up")
            time.sleep(0.005)
        took = time.perf_counter() - began
        time.sleep(0.3)
        return took, resident(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def served(make: Callable[[int], list[str]], cwd: Path, memory: list[float]) -> Callable[[], float]:
    """A contestant that starts a server and notes its memory."""

    def run() -> float:
        port = free_port()
        took, mib = first_answer(make(port), cwd, port)
        memory.append(mib)
        return took

    return run


def command(*argv: str) -> Callable[[], float]:
    """A contestant that is a whole process."""

    def run() -> float:
        began = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        return time.perf_counter() - began

    return run


OURS_NAME, BARE_NAME = "binp run", "bare FastAPI + uvicorn"


def measure_serving(rounds: int) -> list[Claim]:
    """Time and memory to the first answer."""
    memory: dict[str, list[float]] = {BARE_NAME: [], OURS_NAME: []}
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        (cwd / "bare.py").write_text(BARE)
        (cwd / "ours.py").write_text(OURS)
        uvicorn = [sys.executable, "-m", "uvicorn", "bare:app", "--no-access-log", "--port"]
        ours = [BINP_COMMAND, "run", "ours.py", "--port"]
        starts = in_turn(
            {
                BARE_NAME: served(lambda port: [*uvicorn, str(port)], cwd, memory[BARE_NAME]),
                OURS_NAME: served(lambda port: [*ours, str(port)], cwd, memory[OURS_NAME]),
            },
            rounds,
        )
    rows = [
        (
            name,
            f"{statistics.median(took):.2f}",
            f"{min(took):.2f}",
            f"{max(took):.2f}",
            f"{statistics.median(memory[name]):.0f}",
        )
        for name, took in starts.items()
    ]
    measured = versions("binp", "fastapi", "uvicorn", "pydantic")
    table(
        f"To the first 200, {rounds} rounds in turn ({measured})",
        ("contestant", "median s", "min s", "max s", "RSS MiB"),
        rows,
    )
    return [
        Claim(
            claim="time to the first 200, times a bare FastAPI",
            measured=ratio(starts[OURS_NAME], starts[BARE_NAME]),
            goal=2,
        ),
        Claim(
            claim="resident memory, times a bare FastAPI",
            measured=ratio(memory[OURS_NAME], memory[BARE_NAME]),
            goal=1.7,
        ),
    ]


def measure_processes(rounds: int) -> None:
    """Whole processes that import, or only say what they can do."""
    codes = [
        "pass",
        "import asyncio",
        "import buvar",
        "import buvar, buvar.context, buvar.di",
        "import binp",
        "from binp import BINP",
    ]
    contestants = {code: command(sys.executable, "-c", code) for code in codes}
    contestants["binp --help"] = command(BINP_COMMAND, "--help")
    found = {name: statistics.median(took) * 1000 for name, took in in_turn(contestants, rounds).items()}
    rows = [(name, f"{took:.0f}", f"{took - found['pass']:.0f}") for name, took in found.items()]
    table(f"Whole processes, {rounds} rounds in turn", ("process", "median ms", "on top of Python ms"), rows)


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    rounds = 3 if given.quick else 9
    claims = measure_serving(rounds)
    measure_processes(rounds)
    report(claims, as_json=given.json)


if __name__ == "__main__":
    main()
