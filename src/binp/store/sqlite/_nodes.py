"""The processes that write to a database, and which of them are alive."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from binp.store.contract import Write

__all__ = ["BEAT", "Join", "Leave", "Node", "is_running", "this_process"]

#: seconds between two heartbeats
BEAT = 5.0

#: errors that say nothing about the file: no descriptors or no memory are left
_LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

#: cached boot id, by the process that read it: a forked child must read it again
_boots: dict[int, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A process that has the database open. Its pid alone does not identify it, because pids are reused."""

    #: in rows: host, pid, and a random part for each opening
    name: str
    host: str
    #: boot id and pid namespace; empty if unknown
    boot: str
    pid: int
    #: clock ticks from boot to the start of the process; 0 if unknown
    started: int

    def is_alive(self) -> bool:
        """Whether the process is running. One on another computer is not: an SQLite file is used by one computer."""
        # the host name can change, so it is only used if there is no boot id
        if self.boot != _boot() or (not self.boot and self.host != socket.gethostname()):
            return False
        return is_running(self.pid, self.started)

    def is_busy(self) -> bool:
        """Whether a thread of it is computing, or waiting for a disk, so that it will answer. False if unknown."""
        try:
            states = [_stat(place / "stat")[0] for place in Path(f"/proc/{self.pid}/task").iterdir()]
        except (OSError, IndexError):
            return False
        return "R" in states or "D" in states


@dataclass(frozen=True, kw_only=True, slots=True)
class Join(Write):
    """A process starts, or continues, to write through the owner. Acknowledged with what it has to know."""

    kind: ClassVar[str] = "join"
    node: Node
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave(Write):
    """A process is gone, or may be: runs of dead processes become interrupted."""

    kind: ClassVar[str] = "leave"
    #: None to find out which are dead
    name: str | None = None
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence(Write):
    """A process exists, but has not answered for so long that its runs are given up."""

    kind: ClassVar[str] = "silence"
    name: str
    #: when it was last heard
    at: int


def this_process() -> Node:
    """This process, with a new name for each opening of a database.

    Raises:
        OSError: no descriptors are left to identify it.
    """
    host, pid = socket.gethostname(), os.getpid()
    return Node(name=f"{host}-{pid}-{secrets.token_hex(3)}", host=host, boot=_boot(), pid=pid, started=_started(pid))


def is_running(pid: int, started: int | None) -> bool:
    """Whether a process of this computer and pid namespace is running.

    Args:
        pid: Its pid.
        started: Clock ticks from boot to its start; None if that was not noted.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # it exists, but belongs to another user
        pass
    try:
        found = _started(pid)
    except OSError:
        # this process has no descriptors left to check: do not declare others dead
        return True
    # -1 for a zombie, which holds nothing any more
    return found != -1 if started is None else found == started


def _boot() -> str:
    pid = os.getpid()
    if pid not in _boots:
        # a forked child may be in another pid namespace
        _boots.clear()
        _boots[pid] = _read_boot()
    return _boots[pid]


def _read_boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # pids are only unique within a namespace
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError as error:
        if error.errno in _LACKING:
            raise
        return ""


def _started(pid: int) -> int:
    """Clock ticks from boot to the start of *pid*; -1 if it is a zombie, 0 if unknown.

    Raises:
        OSError: this process lacks the resources to check.
    """
    try:
        fields = _stat(Path(f"/proc/{pid}/stat"))
    except OSError as error:
        if error.errno in _LACKING:
            raise
        return 0
    return -1 if fields[0] in {"Z", "X", "x"} else int(fields[19])


def _stat(place: Path) -> list[str]:
    """The fields of a process's or thread's stat file, starting with its state."""
    # the name of the program is in parentheses and may contain anything, even parentheses
    return place.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
