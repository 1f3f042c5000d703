"""One run (turn) of a program that is run repeatedly, and its communication with the parent."""

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

#: Maximum number of kept sockets.
_MOST: Final = 64
#: One request to end, sent by the parent.
WISH: Final = b"."


class Kept:
    """Sockets that stay open from one turn to the next.

    Args:
        note: A note from the turn that kept them.
        sockets: The sockets.
    """

    def __init__(self, note: str, sockets: Sequence[socket.socket]) -> None:
        self.note = note
        self.sockets = tuple(sockets)


class Turn:
    """One run of a program that `rerun` runs repeatedly, in the process that runs it."""

    def __init__(self, line: socket.socket, kept: Kept | None, *, was_ready: bool) -> None:
        #: the sockets kept by an earlier turn
        self.kept = kept
        #: whether any earlier turn was ready
        self.was_ready = was_ready
        self._line = line
        self._wishes = 0

    def ready(self) -> None:
        """Report that everything is up."""
        self._tell(ready=True)

    def watch(self, paths: Iterable[Path], *, besides: bool = False) -> None:
        """Run the program again when one of *paths* changes.

        Args:
            paths: Files, and folders for the Python files in them; they need not exist.
            besides: Whether to watch them in addition to the present paths, instead of replacing these.
        """
        self._tell(watch=sorted({os.path.abspath(path) for path in paths}), besides=besides)  # noqa: PTH100 - links stay

    def keep(self, sockets: Iterable[socket.socket], note: str = "") -> None:
        """Keep sockets open for the next turns. Those that were kept before are closed.

        Args:
            sockets: They may be closed here afterwards.
            note: A note for the next turn.
        """
        for old in self.kept.sockets if self.kept is not None else ():
            old.close()
        handles = [each.fileno() for each in sockets]
        self._tell(handles, keep=note, count=len(handles))

    def give_up(self) -> None:
        """Report that no file change will help: after this turn, the program ends with its status."""
        self._tell(hopeless=True)

    def signals(self, grace: float) -> type[Signals]:
        """A replacement for `Signals` in a stage: the parent says when to end, and signals are ignored.

        A terminal, and some service managers, send a signal to parent and child at once; only the parent's copy counts.

        Args:
            grace: Maximum seconds from the first request to the end of the turn.
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
        """Leave INT to the parent from now on."""
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
        with contextlib.suppress(OSError):  # the parent is gone: nobody to notify
            sent = socket.send_fds(self._line, [data], handles) if handles else 0
            self._line.sendall(data[sent:])


class Line:
    """The parent's end of the connection to one turn."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)
        #: no more messages will come
        self.is_over = False
        self._data = b""
        self._handles: list[int] = []

    def wish(self, count: int = 1) -> None:
        """Ask it to end."""
        with contextlib.suppress(OSError):  # it has ended
            self.here.send(WISH * count)

    def read(self, sockets: Callable[[str, list[socket.socket]], None]) -> Iterator[dict[str, Any]]:
        """The messages since the last call; *sockets* is called with kept sockets."""
        while True:
            try:
                data, handles, _, _ = socket.recv_fds(self.here, 1 << 16, _MOST)
            except OSError:  # nothing more for now, or it has ended
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
    """Do nothing. Unlike SIG_IGN, a handler is not inherited by programs that are started here."""
