"""Servers of aiohttp in this process, and programs that fork some."""

import contextlib
import os
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")


class Served:
    """A running program."""

    def __init__(self, folder: Path, text: str, port: int, environ: dict[str, str]) -> None:
        self.port = port
        (folder / "program.py").write_text(text)
        self.err = folder / "err"
        with self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "program.py"], stderr=err, cwd=folder, env={**os.environ, **environ}
            )

    def get(self, path: str = "/", patience: float = 200.0) -> bytes:
        end = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=200) as response:
                    return response.read()
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    @property
    def log(self) -> str:
        return self.err.read_text()

    @property
    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self, timeout: float = 200.0) -> int:
        self.process.terminate()
        return self.process.wait(timeout)


@pytest.fixture
def port(free_port: int) -> int:
    """A free port."""
    return free_port


@pytest.fixture
def start(tmp_path, port):
    """Start a program that serves `port`."""
    programs = []

    def run(text: str, **environ: str) -> Served:
        folder = tmp_path / f"program{len(programs)}"
        folder.mkdir()
        programs.append(Served(folder, textwrap.dedent(text), port, environ))
        return programs[-1]

    yield run
    for program in programs:
        left = program.workers if program.process.poll() is None else []
        program.process.kill()
        program.process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
