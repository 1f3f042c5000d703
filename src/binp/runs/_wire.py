"""The protocol between a run and the process that executes its function."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import orjson

from binp.store.contract import AddLabels, AddRecord, SetProgress, Write

__all__ = ["HEAD", "Far", "frame", "leave_with"]

#: length of the following message
HEAD = struct.Struct(">I")


def frame(message: dict[str, Any]) -> bytes:
    """*message* encoded for the connection."""
    try:
        content = orjson.dumps(message)
    except TypeError:
        # lone surrogates cannot be encoded: for example, a file name that is not valid text in an error message
        content = orjson.dumps(_clean(message))
    return HEAD.pack(len(content)) + content


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Answer:
    """The acknowledgement of a report; requested only when somebody waits for it."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], Future[bool]]) -> None:
        self._ask = ask

    def __await__(self) -> Generator[Any, None, bool]:
        import asyncio

        return (yield from asyncio.wrap_future(self._ask()).__await__())

    def wait(self, timeout: float | None = None) -> bool:
        """Like awaiting it, from a thread; raises TimeoutError after *timeout* seconds."""
        return self._ask().result(timeout)


class Far:
    """The executing side: stands in for the store of its run.

    Args:
        connection: The connection to the process that holds the run.
        gone: Called in a thread when that process is gone.
    """

    def __init__(self, connection: socket.socket, gone: Callable[[], None]) -> None:
        self._connection = connection
        self._gone = gone
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[bool]] = {}
        self._main = threading.get_ident()
        #: the main thread is sending a message, and has to be interrupted after it
        self._is_busy = self._is_interrupted = False
        connection.set_inheritable(False)

    def order(self) -> dict[str, Any]:
        """Receive the call to execute; afterwards a thread listens for further messages."""
        order = self._receive()
        if order is None:
            self._gone()
            raise EOFError
        threading.Thread(target=self._listen, name="binp-far", daemon=True).start()
        return order

    def write(self, write: Write) -> _Answer:
        """Send a write of the run."""
        said: list[Any]
        match write:
            case AddRecord():
                said = ["record", write.message, write.fields, write.level, write.source]
            case AddLabels():
                said = ["labels", list(write.labels)]
            case SetProgress():
                said = ["progress", write.value, write.total, write.message]
            case _:
                raise TypeError(f"a run in a process of its own cannot say {write.kind}")
        with self._sending:
            number = next(self._numbers)
            self._transmit({"say": [number, *said]})
        return _Answer(lambda: self._ask(number))

    def send(self, message: dict[str, Any]) -> None:
        """Send another message."""
        with self._sending:
            self._transmit(message)

    def _ask(self, number: int) -> Future[bool]:
        answer: Future[bool] = Future()
        with self._sending:
            self._asked[number] = answer
            self._transmit({"wait": number})
        return answer

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt; called by a signal handler. A message that is being sent is completed first.

        Raises:
            KeyboardInterrupt: immediately, or at the end of the message in the code that sends it.
        """
        if not self._is_busy:
            raise KeyboardInterrupt
        self._is_interrupted = True

    def _transmit(self, message: dict[str, Any]) -> None:
        content = frame(message)
        is_main = threading.get_ident() == self._main
        if is_main:
            self._is_busy = True
        try:
            self._connection.sendall(content)
        except OSError:
            self._gone()
        if is_main:
            self._is_busy = False
            if self._is_interrupted:
                self._is_interrupted = False
                raise KeyboardInterrupt

    def _listen(self) -> None:
        while (message := self._receive()) is not None:
            with self._sending:
                answer = self._asked.pop(message["known"], None)
            if answer is not None:
                answer.set_result(message["kept"])
        self._gone()

    def _receive(self) -> dict[str, Any] | None:
        head = self._exactly(HEAD.size)
        content = None if head is None else self._exactly(HEAD.unpack(head)[0])
        return None if content is None else orjson.loads(content)

    def _exactly(self, size: int) -> bytes | None:
        content = bytearray()
        while len(content) < size:
            try:
                part = self._connection.recv(min(size - len(content), 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            content += part
        return bytes(content)


def leave_with(parent: int) -> None:
    """Have the system end this process as soon as the process *parent* has ended, where that is supported."""
    try:
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        # on other systems, the end of the connection is noticed instead
        return
    if os.getppid() != parent:
        os._exit(1)
