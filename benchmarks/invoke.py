"""What an invocation costs: over HTTP beside a bare FastAPI route on the same server, and in process beside the store.

The action is journaled and durable: its begin and its end are on the disk before the answer. CPU is that of the process
that serves, the load comes from this one. The contestants work in turn, a round each; what counts are the ratios. The
rounds in one process are long: what a busy store puts off, the index and the way from the log into the file, falls due
within them.

With ``--peers`` Prefect, DBOS and Celery run the same no-op, each in a virtual environment of its own (made in
`.venv-bench` at the first run).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common import HERE, Claim, environ, in_turn, options, ratio, report, table, versions
from invoke_cases.beside import print_peers

CONNECTIONS = 64
BODY = json.dumps({"number": 1, "name": "x"}).encode()

INVOKE, BARE = "an invocation", "a bare FastAPI POST"
ROUTES = {INVOKE: "/internal/action/noop", BARE: "/side/bare"}


@dataclass(slots=True)
class Found:
    """What the rounds of one contestant took."""

    rates: list[float] = field(default_factory=list)
    #: microseconds of CPU for one
    cpu: list[float] = field(default_factory=list)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(port: int, path: str, connections: int, calls: int) -> None:
    """Send *calls* requests over so many connections that stay open."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(calls // connections):
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(answer.decode())
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[int, int]]:
    """The process that serves both, and its port."""
    command = [str(Path(sys.executable).with_name("binp")), "run", str(HERE / "invoke_cases" / "served.py")]
    with subprocess.Popen(
        [*command, "--port", "0", "--auth", "none"],
        cwd=folder,
        env=environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        place = folder / "data.db.serving"
        end = time.monotonic() + 60
        while not place.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the server did not come up")
            time.sleep(0.05)
        try:
            yield process.pid, int(json.loads(place.read_text())["url"].rpartition(":")[2])
        finally:
            process.terminate()
            process.wait(60)


def requests(server: tuple[int, int], name: str, connections: int, calls: int, found: Found) -> Callable[[], float]:
    """A contestant over HTTP; gives the CPU for one, in microseconds."""
    pid, port = server

    def run() -> float:
        began, used = time.perf_counter(), cpu_of(pid)
        asyncio.run(load(port, ROUTES[name], connections, calls))
        cpu = (cpu_of(pid) - used) / calls * 1e6
        found.rates.append(calls / (time.perf_counter() - began))
        found.cpu.append(cpu)
        return cpu

    return run


def over_http(folder: Path, rounds: int, calls: int) -> list[Claim]:
    """An invocation beside a bare POST on the same server."""
    rows, claims = [], []
    with served(folder) as server:
        for connections in (CONNECTIONS, 1):
            found = {name: Found() for name in ROUTES}
            count = calls if connections > 1 else calls // 4
            contestants = {name: requests(server, name, connections, count, found[name]) for name in ROUTES}
            in_turn(contestants, 1)
            for one in found.values():
                one.rates.clear()
                one.cpu.clear()
            in_turn(contestants, rounds)
            rows += [
                (f"{name}, {connections}", f"{statistics.median(one.rates):.0f}", f"{statistics.median(one.cpu):.0f}")
                for name, one in found.items()
            ]
            measured = ratio(found[INVOKE].cpu, found[BARE].cpu)
            if connections > 1:
                text = f"CPU of an invocation over HTTP with {connections} connections, times a bare POST"
                claims.append(Claim(claim=text, measured=measured, goal=2))
    table("Over HTTP, connections that stay open", ("contestant, connections", "per second", "CPU us"), rows)
    return claims


def in_process(folder: Path, rounds: int, calls: int) -> list[Claim]:
    """An invocation beside the two writes that it makes."""
    command = [sys.executable, str(HERE / "invoke_cases" / "inside.py"), str(folder / "inside.db")]
    with subprocess.Popen(command, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        found = {(name, count): Found() for count in (CONNECTIONS, 1) for name in ("store", "invoke")}

        def contestant(name: str, count: int) -> Callable[[], float]:
            def run() -> float:
                number = calls if count > 1 else calls // 32
                stdin.write(f"{name} {count} {number}\n")
                stdin.flush()
                took, used = json.loads(stdout.readline())
                found[name, count].rates.append(number / took)
                found[name, count].cpu.append(used / number * 1e6)
                return float(took)

            return run

        in_turn({f"{name} {count}": contestant(name, count) for name, count in found}, rounds + 1)
        stdin.close()
    for one in found.values():
        # the first round warms up
        del one.rates[0], one.cpu[0]
    rows = [
        (f"{name}, {count}", f"{statistics.median(one.rates):.0f}", f"{statistics.median(one.cpu):.0f}")
        for (name, count), one in found.items()
    ]
    table("In process", ("contestant, callers", "per second", "CPU us"), rows)
    invoke, store = found["invoke", CONNECTIONS], found["store", CONNECTIONS]
    added = statistics.median(a - b for a, b in zip(invoke.cpu, store.cpu, strict=True))
    return [
        Claim(claim="CPU that an invocation adds to the store's begin and end, us", measured=added, goal=60),
        Claim(
            claim=f"rate of {CONNECTIONS} callers, times that of the store",
            measured=ratio(invoke.rates, store.rates),
            goal=0.6,
            at_most=False,
        ),
    ]


def main() -> None:
    """Measure and print."""
    given = options(__doc__, peers="run Prefect, DBOS and Celery as well")
    rounds, calls = (3, 3200) if given.quick else (7, 12800)
    long_rounds, more_calls = (2, 12800) if given.quick else (5, 64000)
    with tempfile.TemporaryDirectory() as folder:
        print(versions("binp", "fastapi", "uvicorn", "pydantic"))
        claims = [*over_http(Path(folder), rounds, calls), *in_process(Path(folder), long_rounds, more_calls)]
        if given.peers:
            print_peers(Path(folder), given.quick)
    report(claims, as_json=given.json)


if __name__ == "__main__":
    main()
