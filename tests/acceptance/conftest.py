"""Real processes: start a server as a person does, talk to it, end it, and look at what it left."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

#: seconds that anything here may take
PATIENCE = 200.0

#: variables that decide what is tested
DECIDING = ("BINP_", "DB_URL", "DEV", "FORCE_COLOR", "NO_COLOR", "COLUMNS")


class Process:
    """A started program: its output so far, and its end."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.connections: list[http.client.HTTPConnection] = []
        number = len(list(folder.glob("*.stdout")))
        self._stdout, self._stderr = folder / f"{number}.stdout", folder / f"{number}.stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                env=dict(environ),
                # a group of its own, so that its children can be found when it is gone
                process_group=0,
            )

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log lines that are JSON."""
        # the last one may be written at this very moment
        lines = self.stderr.split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def phases(self) -> list[str]:
        """What the log says of the shutdown, in order."""
        said = [str(line["event"]) for line in self.log if line["logger"] == "binp.shutdown"]
        return [text.removeprefix("shutdown: ").partition(" {")[0] for text in said]

    def until(self, condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        """Wait until *condition* gives something true, and give that."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if found := condition():
                return found
            if self.popen.poll() is not None and not (found := condition()):
                raise AssertionError(f"ended with {self.popen.returncode} before {what}:\n{self.stdout}{self.stderr}")
            time.sleep(0.02)
        raise AssertionError(f"no {what} within {timeout} s:\n{self.stdout}{self.stderr}")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.popen.send_signal(number)

    def is_pending(self, number: signal.Signals) -> bool:
        """Whether a signal was sent that the process has not taken yet."""
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines())
        return bool(int(status["ShdPnd"], 16) >> (number - 1) & 1)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its status."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still alive after {timeout} s:\n{self.stdout}{self.stderr}") from None

    def stop(self) -> int:
        """Ask it to end, and give its status."""
        self.signal()
        return self.wait()

    def kill(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for connection in self.connections:
            connection.close()

    def sweep(self) -> None:
        """Kill it and those of its children that it left behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.kill()


class Server(Process):
    """A program that serves ``data.db`` in its folder."""

    @property
    def link(self) -> str:
        """The printed link; waits for it."""
        found = self.until(lambda: re.search(r"^open +(\S+)\ndatabase  ", self.stdout, re.MULTILINE), "link")
        return str(found[1])

    @property
    def url(self) -> str:
        parts = urlsplit(self.link)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def token(self) -> str:
        return (self.folder / "data.db.token").read_text()

    def connects(self, connection: http.client.HTTPConnection) -> bool:
        """Connect, if somebody listens."""
        try:
            connection.connect()
        except ConnectionRefusedError:
            return False
        return True

    def open(
        self, method: str, path: str, body: Any = None, *, token: bool = True, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send a request; the answer, not read yet."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        self.connections.append(connection)
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {self.token}"
        # a server that is not ours tells the application of its start a moment before it listens
        self.until(lambda: self.connects(connection), "listener")
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Send a request; the JSON of the answer."""
        answer = self.open(method, path, body)
        text = answer.read()
        assert answer.status == status, text
        return json.loads(text) if text else None

    def runs(self, **conditions: str) -> list[dict[str, Any]]:
        """The newest runs."""
        query = "&".join(f"{name}={value}" for name, value in {"limit": "200", **conditions}.items())
        return list(self.ask("GET", f"/internal/runs?{query}")["runs"])

    def start(self, action: str, **arguments: Any) -> int:
        """Start an action; its run."""
        return int(self.ask("POST", f"/internal/actions/{action}/runs", arguments, status=202)["run"])

    def ended(self, run: int) -> dict[str, Any]:
        """A run, when it has ended."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask("GET", f"/internal/runs/{run}")
            return found if found["ended_at"] else None

        found: dict[str, Any] = self.until(look, f"end of run {run}")
        return found


@pytest.fixture
def environ() -> dict[str, str]:
    """The environment for a program under test; who measures coverage measures it too."""
    return {name: value for name, value in os.environ.items() if not name.startswith(DECIDING)}


@pytest.fixture
def program(environ: dict[str, str]) -> Callable[[str], list[str]]:
    """The command that starts an installed program."""
    return lambda name: [str(Path(sys.executable).with_name(name))]


@pytest.fixture
def start(
    tmp_path: Path, environ: dict[str, str], program: Callable[[str], list[str]]
) -> Iterator[Callable[..., Server]]:
    """Start a program in an empty folder: ``start("binp", "run", "ops.py")``. What is left at the end is killed."""
    started: list[Server] = []

    def launch(name: str, *arguments: str, **variables: str) -> Server:
        made = Server([*program(name), *arguments], tmp_path, {**environ, **variables})
        started.append(made)
        return made

    yield launch
    for each in started:
        each.sweep()


@pytest.fixture
def serve(start: Callable[..., Server]) -> Callable[..., Server]:
    """Serve ``ops.py`` by ``binp run`` on a free port, and wait until it is ready."""

    def launch(*arguments: str, **variables: str) -> Server:
        made = start("binp", "run", "ops.py", "--port", "0", *arguments, **variables)
        assert made.link
        return made

    return launch


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path, serve: Callable[..., Server]) -> Server:
    """What the module of the test has as ``OPS``, served."""
    (tmp_path / "ops.py").write_text(request.module.OPS)
    return serve()


@pytest.fixture
def binp(
    tmp_path: Path, environ: dict[str, str], program: Callable[[str], list[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line to its end."""

    def run(*arguments: str, timeout: float = PATIENCE, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program("binp"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environ, **variables},
            timeout=timeout,
        )

    return run
