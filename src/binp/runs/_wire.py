"""What a run and the process that its function is executed in say to each other."""

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

#: length of what follows
HEAD = struct.Struct(">I")


def frame(message: dict[str, Any]) -> bytes:
    """*message* as it goes over the line."""
    try:
        content = orjson.dumps(message)
    except TypeError:
        # half of a surrogate pair cannot be encoded: a file name that is not text, in what an error says
        content = orjson.dumps(_clean(message))
    return HEAD.pack(len(content)) + content


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Answer:
    """The acknowledgement of what was said: asked for when somebody wants to know."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], Future[bool]]) -> None:
        self._ask = ask

    def __await__(self) -> Generator[Any, None, bool]:
        import asyncio

        return (yield from asyncio.wrap_future(self._ask()).__await__())

    def wait(self, timeout: float | None = None) -> bool:
        """The same for a thread; *timeout* in seconds, then TimeoutError."""
        return self._ask().result(timeout)


class Far:
    """The side of the process that executes: takes the place of a store for what its run says.

    Args:
        connection: To the process that keeps the run.
        gone: Called in a thread when that process has gone.
    """

    def __init__(self, connection: socket.socket, gone: Callable[[], None]) -> None:
        self._connection = connection
        self._gone = gone
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[bool]] = {}
        self._main = threading.get_ident()
        #: the main thread is in the middle of a message, and is to be interrupted behind it
        self._is_busy = self._is_interrupted = False
        connection.set_inheritable(False)

    def order(self) -> dict[str, Any]:
        """What is to be done; from here on it is listened to what else is said."""
        order = self._receive()
        if order is None:
            self._gone()
            raise EOFError
        threading.Thread(target=self._listen, name="binp-far", daemon=True).start()
        return order

    def write(self, write: Write) -> _Answer:
        """Say what a run says."""
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
        """Say something else."""
        with self._sending:
            self._transmit(message)

    def _ask(self, number: int) -> Future[bool]:
        answer: Future[bool] = Future()
        with self._sending:
            self._asked[number] = answer
            self._transmit({"wait": number})
        return answer

    def interrupt(self) -> None:
        """Called by a handler of signals: raise KeyboardInterrupt, behind the message that is being sent.

        Raises:
            KeyboardInterrupt: at once, or where the message is sent.
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
    """Let the system end this process as soon as the process *parent* has ended, where it can."""
    try:
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        # elsewhere the end of the connection tells
        return
    if os.getppid() != parent:
        os._exit(1)
