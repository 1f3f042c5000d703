"""Real programs on real sockets: start one, ask it, look at its processes, end it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

#: seconds that anything here may take
PATIENCE = 200.0

#: Programs buffer what they print, whatever the tests were started with: a fork must not print it twice.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

PRELUDE = '''
"""What the programs of these tests have in common."""
import asyncio, json, logging, os, signal, sys, time
logging.basicConfig(level="INFO", format="%(name)s %(levelname)s %(message)s")
from buvar import config, context, di, fork, plugin

URI = sys.argv[1]

async def handle(reader, writer):
    try:
        line = await reader.readline()
        while (await reader.readline()).strip():
            pass
        path = line.split()[1].decode()
        if path == "/exit":
            os._exit(7)
        if path == "/abort":
            os.abort()
        if path == "/hang":
            time.sleep(60)
        if path == "/retire":
            context.get(fork.Fork).retire()
        if path == "/slow":
            open("slow", "w").close()
            await asyncio.sleep(0.5)
        here = context.get(fork.Fork)
        told = {"pid": os.getpid(), "slot": here.slot, "leader": fork.is_leader(), "number": here.number}
        told["stdin"] = os.stat(0).st_rdev == os.stat(os.devnull).st_rdev
        told["notify"] = os.environ.get("NOTIFY_SOCKET")
        body = json.dumps(told).encode()
        head = b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body)
        writer.write(head + body)
        await writer.drain()
    except (ConnectionError, IndexError):
        pass
    finally:
        writer.close()

answering = set()

def take(reader, writer):
    task = asyncio.ensure_future(handle(reader, writer))
    answering.add(task)
    task.add_done_callback(answering.discard)

async def serve(cancel: plugin.Cancel, teardown: plugin.Teardown):
    sock = next(iter(context.find(fork.Socket).values()))
    async def run():
        server = await asyncio.start_server(take, sock=sock)
        await cancel.wait()
        await fork.stop_accepting(server.sockets)
        server.close()
        # whoever was taken may take their time to ask
        while answering:
            await asyncio.wait(answering)
    teardown.add(lambda: os.write(1, b"torn down\\n") and None)
    yield run()
'''


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """The direct children of a process that run."""
    with contextlib.suppress(OSError):
        return [
            child for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) if alive(child)
        ]
    return []


def until(condition, timeout: float = PATIENCE):
    """Wait until something is true, and answer it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come true")


class Program:
    """A running program and the address that it serves."""

    def __init__(self, folder: Path, text: str, address, environ: dict[str, str]) -> None:
        self.address = address
        self.out, self.err = folder / "out", folder / "err"
        (folder / "served.py").write_text(PRELUDE)
        (folder / "program.py").write_text("from served import *\n" + textwrap.dedent(text))
        uri = f"tcp://127.0.0.1:{address}" if isinstance(address, int) else f"unix://{address}"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(folder / "program.py"), uri],
                stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=folder, env={**BUFFERED, **environ},
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self.err.read_text()

    @property
    def printed(self) -> str:
        return self.out.read_text()

    @property
    def workers(self) -> list[int]:
        return children(self.process.pid)

    def connect(self, timeout: float = PATIENCE) -> socket.socket:
        if isinstance(self.address, int):
            return socket.create_connection(("127.0.0.1", self.address), timeout)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        return sock

    def ask(self, path: str = "/", timeout: float = PATIENCE) -> dict:
        with self.connect(timeout) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return answer(sock)

    def logged(self, text: str, count: int = 1, timeout: float = PATIENCE) -> None:
        until(lambda: self.log.count(text) >= count, timeout)

    def ready(self, number: int = 2) -> "Program":
        """Wait until that many workers have come up."""
        self.logged("is ready", number)
        return self

    def by_slot(self) -> dict[int, int]:
        """Number of each worker to its process, from the log."""
        words = [line.split() for line in self.log.splitlines() if "is ready" in line]
        return {int(line[3]): int(line[-1]) for line in words}

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        """Send a signal and answer the exit status."""
        self.send(number)
        return self.wait(timeout)

    def wait(self, timeout: float = PATIENCE) -> int:
        return self.process.wait(timeout)


def answer(sock: socket.socket) -> dict:
    data = b""
    while part := sock.recv(4096):
        data += part
    return json.loads(data.partition(b"\r\n\r\n")[2])


@pytest.fixture
def port(free_port: int) -> int:
    """A free port."""
    return free_port


@pytest.fixture
def start(tmp_path, port):
    """Start a program: text that follows ``from served import *``; whatever it leaves running is killed."""
    programs, seen = [], set()

    def run(text: str, address=None, **environ: str) -> Program:
        folder = tmp_path / f"program{len(programs)}"
        folder.mkdir()
        program = Program(folder, text, port if address is None else address, environ)
        programs.append(program)
        return program

    yield run
    for program in programs:
        seen.update(program.workers)
        program.process.kill()
        program.process.wait()
        program.process.stdin.close()
    for pid in seen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def tools():
    """`alive`, `children`, `until` and `answer`."""
    import types

    return types.SimpleNamespace(alive=alive, children=children, until=until, answer=answer)
