"""What systemd passes, and what it is told."""

import os
import socket
import types

import pytest

from buvar.fork._seat import Manager, Report
from buvar.fork._systemd import Notifier, listen_fds


@pytest.fixture
def manager(tmp_path):
    """A service manager that listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def test_descriptors_are_taken_once():
    """Numbers count from 3, names may be missing, and the variables are gone afterwards."""
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "web:admin", "HOME": "/"}

    assert listen_fds(environ) == {3: "web", 4: "admin", 5: ""}
    assert environ == {"HOME": "/"}
    assert listen_fds(environ) == {}


def test_descriptors_for_somebody_else():
    """Variables for another process are left alone."""
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}

    assert listen_fds(environ) == {}
    assert environ == {"LISTEN_PID": "1", "LISTEN_FDS": "1"}


def test_the_manager_is_told(manager):
    """Each message is one datagram."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready("2 workers")
    notifier.reloading()
    notifier.stopping()
    notifier.alive()

    assert manager.recv(99) == b"READY=1\nSTATUS=2 workers"
    assert manager.recv(99).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert manager.recv(99) == b"STOPPING=1"
    with pytest.raises(BlockingIOError):
        manager.recv(99)


def test_the_manager_is_told_of_life_alone(manager):
    """A program that does not fork tells that it is ready and that it lives; other reports are not for the manager."""
    tell = Manager(Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2"}))
    assert all([tell(Report.DONE), tell(Report.RETIRE), tell(Report.READY), tell(Report.BEAT)])

    assert manager.recv(99) == b"READY=1\nSTATUS=serving"
    assert manager.recv(99) == b"WATCHDOG=1"
    with pytest.raises(BlockingIOError):
        manager.recv(99)


def test_an_abstract_address():
    """An address that begins with @ is in the abstract namespace."""
    # which all processes of the machine share
    name = f"buvar-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert sock.recv(99) == b"STOPPING=1"


def test_signs_of_life_come_when_they_are_due(manager, monkeypatch):
    """A sign of life is sent twice in the time that is allowed without one, and not more often."""
    now = 1000.0
    monkeypatch.setattr("buvar.fork._systemd.time", types.SimpleNamespace(monotonic=lambda: now))
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000"})
    notifier.alive()
    notifier.alive()

    assert notifier.interval == 0.05
    assert manager.recv(99) == b"WATCHDOG=1"
    with pytest.raises(BlockingIOError):
        manager.recv(99)
    assert notifier.due == now + 0.05
    now += 0.05
    notifier.alive()
    assert manager.recv(99) == b"WATCHDOG=1"


@pytest.mark.parametrize("extra", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"NOTIFY_SOCKET": ""}])
def test_nobody_asks_for_signs_of_life(manager, extra):
    """No sign of life is sent for another process, on nonsense, or to nobody."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000", **extra})

    assert notifier.interval is None
    assert notifier.due is None


def test_silence_without_a_manager(tmp_path):
    """Without a manager, or with one that is gone, nothing happens."""
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("x")


def test_workers_forget():
    """A worker drops the variables."""
    environ = {"NOTIFY_SOCKET": "x", "WATCHDOG_PID": "1", "WATCHDOG_USEC": "1", "HOME": "/"}
    Notifier.forget(environ)

    assert environ == {"HOME": "/"}
