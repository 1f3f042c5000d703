"""`make run`: the server gets each signal once, ends gracefully, and nothing is left running."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[[Path, str], None]
WriteProgram = Callable[[Path, str], None]

#: Stands in for the server: tells its process, counts signals, takes a moment to end (LASTS seconds), ends with STATUS.
#: One that is STUBBORN says so at the first signal, and only the second ends it.
SERVER = """#!/usr/bin/env python3
import os, signal, sys, time
got = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: got.append(signal.Signals(number).name))
print("up", os.getpid(), *sys.argv[1:], flush=True)
while not got:
    time.sleep(0.02)
if "STUBBORN" in os.environ:
    print("so what", flush=True)
    while len(got) < 2:
        time.sleep(0.02)
end = time.monotonic() + float(os.environ.get("LASTS", "0.4"))
while (left := end - time.monotonic()) > 0:
    time.sleep(left)
print("ended by", *got, flush=True)
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def served(tree: Path, install: Install, write_program: WriteProgram) -> Path:
    """A tree in which `make run` has something to serve."""
    install(tree, "run")
    write_program(tree / ".venv/bin/binp", SERVER)
    return tree


@pytest.fixture
def make_run(served: Path, clean_environ: dict[str, str]) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Start `make run` in a group of its own; answers it and the server's process id."""
    started: list[subprocess.Popen[str]] = []

    def start(**environ: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=served,
            env=clean_environ | environ,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout
        up, server, *arguments = process.stdout.readline().split()
        assert (up, arguments) == ("up", ["run", "examples/quickstart.py"])
        return process, int(server)

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(pid: int) -> bool:
    """Whether a process is gone within half a minute."""
    for _ in range(1500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["make", "group"])
def test_a_termination_ends_it_gracefully(make_run: Callable[..., tuple[subprocess.Popen[str], int]], send) -> None:
    """SIGTERM to make, or to the whole group, reaches the server once; make says nothing and dies of its own signal."""
    make, server = make_run()
    send(make.pid, signal.SIGTERM)
    output, _ = make.communicate(timeout=120)

    assert output == "ended by SIGTERM\n"
    assert ended(server)
    assert make.returncode == -signal.SIGTERM


def test_a_make_that_hands_on_late_is_no_second_wish(
    make_run: Callable[..., tuple[subprocess.Popen[str], int]],
) -> None:
    """What make hands on of a group's signal is known as such, however long make takes to get to it."""
    make, _ = make_run(LASTS="3")
    os.kill(make.pid, signal.SIGSTOP)
    os.killpg(make.pid, signal.SIGTERM)
    time.sleep(1)
    os.kill(make.pid, signal.SIGCONT)
    output, _ = make.communicate(timeout=120)

    assert output == "ended by SIGTERM\n"


def test_a_second_wish_is_handed_on(make_run: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    """A group that is signalled twice means it: the server gets both."""
    make, _ = make_run(STUBBORN="1")
    os.killpg(make.pid, signal.SIGTERM)
    assert make.stdout
    assert make.stdout.readline() == "so what\n"
    time.sleep(1)
    os.killpg(make.pid, signal.SIGTERM)
    output, _ = make.communicate(timeout=120)

    assert output == "ended by SIGTERM SIGTERM\n"


def test_an_interrupted_group_ends_gracefully(make_run: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    """SIGINT to the whole group reaches the server once."""
    make, server = make_run()
    os.killpg(make.pid, signal.SIGINT)
    output, _ = make.communicate(timeout=120)

    assert output == "ended by SIGINT\n"
    assert ended(server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_ends_well_ends_make_well(
    make_run: Callable[..., tuple[subprocess.Popen[str], int]], number: signal.Signals
) -> None:
    """A signal to the server itself ends `make run` with status 0."""
    make, server = make_run()
    os.kill(server, number)
    output, _ = make.communicate(timeout=120)

    assert output == f"ended by {number.name}\n"
    assert make.returncode == 0


def test_a_server_that_fails_fails_make(make_run: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    """A server's failure is make's failure."""
    make, server = make_run(STATUS="3")
    os.kill(server, signal.SIGTERM)
    output, _ = make.communicate(timeout=120)

    assert make.returncode == 2
    assert "Error 3" in output


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["make", "group"])
def test_nothing_outlives_a_killed_make(make_run: Callable[..., tuple[subprocess.Popen[str], int]], send) -> None:
    """When make is killed without a chance to say so, the server ends gracefully all the same."""
    make, server = make_run()
    send(make.pid, signal.SIGKILL)
    output, _ = make.communicate(timeout=120)

    assert output == "ended by SIGTERM\n"
    assert ended(server)


def test_ctrl_c_in_a_terminal_ends_with_status_0(served: Path, clean_environ: dict[str, str]) -> None:
    """Ctrl-C is the server's alone: it ends, make ends with status 0, and nothing complains."""
    terminal, inside = pty.openpty()
    own_the_terminal = (
        "import fcntl, os, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp('make', ['make', 'run'])"
    )
    make = subprocess.Popen(
        [sys.executable, "-c", own_the_terminal],
        cwd=served,
        env=clean_environ,
        start_new_session=True,
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    shown = b""
    while b"quickstart.py" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 1000):
            shown += chunk
    except OSError:
        pass  # how a terminal whose last process is gone says so
    finally:
        os.close(terminal)

    assert make.wait(timeout=120) == 0
    up, *rest = shown.replace(b"^C", b"").split()
    assert (up, b" ".join(rest[3:])) == (b"up", b"ended by SIGINT")
