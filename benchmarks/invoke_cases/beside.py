"""Prefect, DBOS and Celery running the same no-op: a process group each, on this machine alone."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common import HERE, environ, python_of, table

#: what is installed for each; nothing for ours, which is there
PEERS = {
    "binp": (),
    "dbos": ("dbos",),
    # it does not start with later ones
    "prefect": ("prefect", "fastapi<0.120"),
    "celery": ("celery[sqlalchemy]",),
}
#: calls for so many callers; the slowest peer makes a dozen in a second
CALLS = {1: 40, 64: 320}
#: how many times as many we make, so that there is something to measure
OURS = 40
#: seconds within which each has to come up, and to make its calls
PATIENCE = 180


class LeftOut(Exception):
    """Why a peer is left out."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that makes calls when it is asked to."""

    name: str
    process: subprocess.Popen[str]

    def ask(self, line: str = "") -> float:
        """Seconds that it took; with nothing asked, whatever it says when it is ready."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if line:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise LeftOut(f"no answer within {PATIENCE} s")
        answer = self.process.stdout.readline()
        if not answer:
            raise LeftOut("its process ended")
        found = json.loads(answer)
        return found if isinstance(found, float) else 0.0

    def cpu(self) -> float:
        """Seconds of CPU that its process and those below have used."""
        used = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:
                    # those that have ended count with the one that waited for them
                    used += sum(map(int, fields[11:15]))
        return used / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Peer]:
    """The peer *name*, which keeps everything in *folder*."""
    try:
        python = python_of(name, *PEERS[name]) if PEERS[name] else Path(sys.executable)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LeftOut(f"it cannot be installed: {error}") from error
    folder.mkdir()
    command = [python, HERE / "invoke_cases" / f"with_{name}.py", folder]
    # a session of its own, so that all of it can be found and ended
    process = subprocess.Popen(
        command,
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        cwd=folder,
    )
    with process:
        try:
            yield Peer(name, process)
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Let it end by itself, and see to it that nothing of it is left."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def print_peers(folder: Path, quick: bool) -> None:
    """Print what a call costs each of them, and who is left out, and why."""
    rows, left_out = [], []
    for name in PEERS:
        try:
            with running(name, folder / name) as peer:
                peer.ask()
                for callers, calls in CALLS.items():
                    count = (calls // 4 if quick else calls) * (OURS if name == "binp" else 1)
                    began, used = time.perf_counter(), peer.cpu()
                    took = peer.ask(f"{callers} {count}")
                    assert took <= time.perf_counter() - began
                    cpu = (peer.cpu() - used) / count * 1e6
                    rows.append((f"{name}, {callers}", f"{count // callers * callers / took:.0f}", f"{cpu:.0f}"))
        except LeftOut as error:
            left_out.append(f"{name} is left out: {error}")
    table("The same no-op elsewhere, begin and end kept", ("who, callers", "per second", "CPU us"), rows)
    print("\n".join(left_out))
