"""Which processes write here, and which of them are still alive."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from binp.store.contract import Write

__all__ = ["Join", "Leave", "Node", "this_process", "wall_clock"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A process, as long as it has the database open. It is known by more than its pid, which others get later."""

    #: in rows: host, pid, and something that no other opening has
    name: str
    host: str
    #: of the kernel's current life, empty where that is not known
    boot: str
    pid: int
    #: clock ticks from boot to the start of the process, 0 where that is not known
    started: int

    def is_alive(self) -> bool:
        """Whether the process runs. One on another computer cannot be here: a file of SQLite has one computer."""
        if self.host != socket.gethostname() or self.boot != _boot():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            # it is somebody else's, so it runs
            pass
        return self.started == _started(self.pid)


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


def this_process() -> Node:
    """This process, under a name of its own for each time that it opens a database."""
    host, pid = socket.gethostname(), os.getpid()
    return Node(name=f"{host}-{pid}-{secrets.token_hex(3)}", host=host, boot=_boot(), pid=pid, started=_started(pid))


def wall_clock() -> int:
    """Microseconds since the epoch, by the clock of this computer."""
    return time.time_ns() // 1000


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> int:
    """Clock ticks from boot to the start of *pid*; -1 if it has ended and waits for its parent, 0 if nobody knows."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # the name of the program stands in brackets and may hold anything, brackets as well
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] in {"Z", "X", "x"} else int(fields[19])
