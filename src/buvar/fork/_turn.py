"""What one run of a program that is run again and again may tell its parent, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from buvar.plugin import Signals

from ._seat import orphaned

#: Sockets that may be kept at a time.
_MOST: Final = 64
#: One wish to end, on its way from the parent.
WISH: Final = b"."


class Kept:
    """Sockets that stay open from one turn to the next.

    Args:
        note: What the turn that left them said of them.
        sockets: The sockets.
    """

    def __init__(self, note: str, sockets: Sequence[socket.socket]) -> None:
        self.note = note
        self.sockets = tuple(sockets)


class Turn:
    """One run of a program that `rerun` runs again and again, in the process that runs it."""

    def __init__(self, line: socket.socket, kept: Kept | None, *, was_ready: bool) -> None:
        #: what an earlier turn left
        self.kept = kept
        #: whether an earlier turn was ready ever
        self.was_ready = was_ready
        self._line = line
        self._wishes = 0

    def ready(self) -> None:
        """Tell that everything is up."""
        self._tell(ready=True)

    def watch(self, paths: Iterable[Path], *, besides: bool = False) -> None:
        """Run the program again when one of *paths* changes.

        Args:
            paths: Files, and folders for the Python files in them; they need not exist.
            besides: Whether to watch them besides those that are watched already, and not in their place.
        """
        self._tell(watch=sorted({os.path.abspath(path) for path in paths}), besides=besides)  # noqa: PTH100 - links stay

    def keep(self, sockets: Iterable[socket.socket], note: str = "") -> None:
        """Leave sockets to the turns that come: they stay open in between. Those that were left before are closed.

        Args:
            sockets: They may be closed here afterwards.
            note: What to tell the next turn of them.
        """
        for old in self.kept.sockets if self.kept is not None else ():
            old.close()
        handles = [each.fileno() for each in sockets]
        self._tell(handles, keep=note, count=len(handles))

    def give_up(self) -> None:
        """Tell that no change of a file will help: when this turn has ended, the program ends with its status."""
        self._tell(hopeless=True)

    def signals(self, grace: float) -> type[Signals]:
        """What a stage needs in place of its `Signals`: the parent says when it is to end, and signals do nothing.

        A terminal, and many a service manager, sends a signal to parent and child at once; only the parent counts it.

        Args:
            grace: Seconds from the first wish after which nobody waits for the end any more.
        """
        turn = self

        class TurnSignals(Signals):
            @contextlib.contextmanager
            def installed(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
                former = signal.signal(signal.SIGTERM, _ignore)
                loop.add_reader(turn._line.fileno(), turn._listen, self.stage)
                turn._tell(begun=grace)
                try:
                    with super().installed(loop):
                        yield
                finally:
                    if not loop.is_closed():
                        loop.remove_reader(turn._line.fileno())
                    signal.signal(signal.SIGTERM, former)

            @classmethod
            def handled(cls) -> dict[signal.Signals, str]:
                return {}

        return TurnSignals

    def begin(self) -> None:
        """Leave INT to the parent from here on."""
        signal.signal(signal.SIGINT, _ignore)

    def _listen(self, stage: Any) -> None:
        try:
            wishes = len(self._line.recv(64, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return
        except OSError:
            wishes = 0
        if not wishes:
            orphaned()
            asyncio.get_running_loop().remove_reader(self._line.fileno())
        self._wishes += wishes
        stage.interrupt()
        if self._wishes > 1:
            stage.cancel_now()

    def _tell(self, handles: Sequence[int] = (), /, **message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(OSError):  # the parent is gone, and nobody wants to know
            sent = socket.send_fds(self._line, [data], handles) if handles else 0
            self._line.sendall(data[sent:])


class Line:
    """The parent's end of the line to one turn."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)
        #: nothing more will be told
        self.is_over = False
        self._data = b""
        self._handles: list[int] = []

    def wish(self, count: int = 1) -> None:
        """Tell it to end."""
        with contextlib.suppress(OSError):  # it has ended
            self.here.send(WISH * count)

    def read(self, sockets: Callable[[str, list[socket.socket]], None]) -> Iterator[dict[str, Any]]:
        """What it told since the last time; *sockets* is called with those that it leaves."""
        while True:
            try:
                data, handles, _, _ = socket.recv_fds(self.here, 1 << 16, _MOST)
            except OSError:  # nothing more for now, or it is gone
                break
            for handle in handles:
                os.set_inheritable(handle, False)
            self._data += data
            self._handles += handles
            if not data:
                self.is_over = True
                break
        *lines, self._data = self._data.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "keep" in message:
                count = message["count"]
                taken, self._handles = self._handles[:count], self._handles[count:]
                sockets(message["keep"], [socket.socket(fileno=handle) for handle in taken])
            else:
                yield message

    def close(self) -> None:
        """Stop listening."""
        self.here.close()
        self.there.close()
        for handle in self._handles:
            os.close(handle)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing; unlike a signal that the system ignores, it is not ignored by the programs that are started here."""
