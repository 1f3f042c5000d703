"""Which processes write here, and which of them are still alive."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from binp.store.contract import Write

__all__ = ["BEAT", "Join", "Leave", "Node", "this_process"]

#: seconds after which a process gives another sign of life
BEAT = 5.0

#: what says nothing of that which is looked at: there are no descriptors, or there is no memory
_LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

#: the kernel's life, as the process of that number found it: it does not change, and is to be known without looking
_boots: dict[int, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A process, as long as it has the database open. It is known by more than its pid, which others get later."""

    #: in rows: host, pid, and something that no other opening has
    name: str
    host: str
    #: the kernel's current life, and whose processes are numbered together in it; empty where that is not known
    boot: str
    pid: int
    #: clock ticks from boot to the start of the process, 0 where that is not known
    started: int

    def is_alive(self) -> bool:
        """Whether the process runs. One on another computer cannot be here: a file of SQLite has one computer."""
        # a computer may get another name at any time, so that tells only where nothing better does
        if self.boot != _boot() or (not self.boot and self.host != socket.gethostname()):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            # it is somebody else's, so it runs
            pass
        try:
            return self.started == _started(self.pid)
        except OSError:
            # nobody is to be taken for dead because this process has no descriptors left to look
            return True

    def is_busy(self) -> bool:
        """Whether one of its threads computes, or waits for a disk: then it will answer. False where nobody knows."""
        try:
            states = [_stat(place / "stat")[0] for place in Path(f"/proc/{self.pid}/task").iterdir()]
        except (OSError, IndexError):
            return False
        return "R" in states or "D" in states


@dataclass(frozen=True, kw_only=True, slots=True)
class Join(Write):
    """A process begins, or goes on, to write through the owner. Acknowledged with what it must know."""

    kind: ClassVar[str] = "join"
    node: Node
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave(Write):
    """A process has gone, or may have: what gone ones left running is interrupted."""

    kind: ClassVar[str] = "leave"
    #: None to look which have died
    name: str | None = None
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence(Write):
    """A process is there, and has not answered for so long that what it was running is given up."""

    kind: ClassVar[str] = "silence"
    name: str
    #: when it was heard last
    at: int


def this_process() -> Node:
    """This process, under a name of its own for each time that it opens a database.

    Raises:
        OSError: there are no descriptors left to find out what it is.
    """
    host, pid = socket.gethostname(), os.getpid()
    return Node(name=f"{host}-{pid}-{secrets.token_hex(3)}", host=host, boot=_boot(), pid=pid, started=_started(pid))


def _boot() -> str:
    pid = os.getpid()
    if pid not in _boots:
        # of a child that was forked it may be another one
        _boots.clear()
        _boots[pid] = _read_boot()
    return _boots[pid]


def _read_boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # in a container the same number is another process
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError as error:
        if error.errno in _LACKING:
            raise
        return ""


def _started(pid: int) -> int:
    """Clock ticks from boot to the start of *pid*; -1 if it has ended and waits for its parent, 0 if nobody knows.

    Raises:
        OSError: this process lacks what it takes to look.
    """
    try:
        fields = _stat(Path(f"/proc/{pid}/stat"))
    except OSError as error:
        if error.errno in _LACKING:
            raise
        return 0
    return -1 if fields[0] in {"Z", "X", "x"} else int(fields[19])


def _stat(place: Path) -> list[str]:
    """What the kernel says of a process or a thread, from its state on."""
    # the name of the program stands in brackets and may hold anything, brackets as well
    return place.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
