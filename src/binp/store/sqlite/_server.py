"""The owner's socket server: receives the writes of other processes, and sends them results and changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from binp.store.contract import Change, Health, StoreClosed, StoreError

from ._clock import wall_clock
from ._guard import leak
from ._nodes import Join, Leave, Silence
from ._outbox import Outbox
from ._receipt import Awaited, Failure, Receipt
from ._session import RemoteReceipt, Session
from ._wire import HEAD, decode_write, encode_change, encode_health, frame, node_of, size_of

__all__ = ["Server", "listen_at"]

_logger = logging.getLogger("binp.store")

#: maximum length of a socket path that all systems support, in bytes
_LONGEST_PATH = 100

#: maximum number of unread bytes for a client, above which it is disconnected
_PATIENCE = 64 * 1024 * 1024

#: seconds between two checks for dead processes
_LOOK = 5.0

#: lease: maximum seconds without a message; and the delay of a check above which it proves nothing
_LEASE, _LATE = 20.0, 2.0


class _Joining(Receipt):
    """The acknowledgement of a process that joins."""

    __slots__ = ("_server", "_session")

    def __init__(self, write: Join, server: Server, session: Session) -> None:
        super().__init__(write)
        self._server = server
        self._session = session

    def settle(self, outcome: Any) -> Sequence[Awaited]:
        """Welcome it; it gets all changes after this one."""
        self._outcome = outcome
        if not isinstance(outcome, Failure):
            self._session.start(outcome[2])
        self._server.call(self._server.welcome, self._session, outcome)
        return ()


def _new_loop() -> asyncio.AbstractEventLoop:
    selector = selectors.DefaultSelector()
    try:
        return asyncio.SelectorEventLoop(selector)
    except BaseException:
        # without free descriptors, asyncio leaks this one at each attempt
        selector.close()
        raise


class Server:
    """A thread with an event loop of its own, so that a busy loop of the user does not block other processes.

    Args:
        path: The database file.
        outbox: Receives the writes.
        feed: Identity of the change feed.
    """

    def __init__(self, path: Path, outbox: Outbox, feed: str) -> None:
        self._path = path
        self._outbox = outbox
        self._feed = feed
        self._health = Health()
        self._sessions: tuple[Session, ...] = ()
        self._loop = _new_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="binp-store-serve", daemon=True)
        self._socket: socket.socket | None = None
        self._directory: Path | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_guests(self) -> bool:
        """Whether other processes write through this one."""
        return bool(self._sessions)

    def start(self) -> str:
        """Start listening; returns the path of the socket.

        Raises:
            StoreError: the socket cannot be created.
        """
        try:
            place, self._directory = _place(self._path)
            self._socket = listen_at(place)
            self._place = place
            self._thread.start()
        except BaseException as error:
            if self._socket is not None:
                self._socket.close()
            self._let_go()
            if isinstance(error, OSError):
                raise _refused(error, self._path) from None
            raise
        return str(place)

    def stop(self) -> None:
        """Send everything that is left, and end. Blocks."""
        self.call(self._stopping.set)
        self._thread.join()
        # if this fails, the next owner replaces it
        with contextlib.suppress(OSError):
            self._place.unlink(missing_ok=True)
        self._let_go()

    def _let_go(self) -> None:
        self._loop.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def abandon(self) -> None:
        """In a forked child: close its copies of the parent's sockets."""
        # destroying the loop would remove the parent's sockets from the shared epoll object
        leak(self._loop)
        if self._socket is not None:
            self._socket.close()
        for session in self._sessions:
            with contextlib.suppress(OSError, AttributeError):
                os.close(session.out.get_extra_info("socket").fileno())

    def call(self, function: Any, *arguments: Any) -> None:
        """Call *function* in the thread of the server."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def publish(self, changes: Sequence[Change]) -> None:
        """Send *changes* to all clients, and each its results. Called by the committing thread after each commit."""
        results = []
        for session in self._sessions:
            if session.results:
                results.append((session, session.results))
                session.results = []
        if results or (changes and self._sessions):
            self.call(self._send, changes, results)

    def tell_health(self, health: Health) -> None:
        """Report to all clients whether the database accepts writes. Called by the committing thread."""
        self._health = health
        self.call(self._send_health, health)

    def welcome(self, session: Session, outcome: Any) -> None:
        """Admit *session*."""
        if isinstance(outcome, Failure):
            self._write(session, {"error": outcome.error.what, "fix": outcome.error.fix})
            session.out.close()
            return
        slot, numbered, refused, seq, newest = outcome
        welcome = {
            "feed": self._feed,
            "slot": slot,
            "numbered": numbered,
            "refused": refused,
            "seq": seq,
            "newest": newest,
            "health": encode_health(self._health),
        }
        self._write(session, {"welcome": welcome})
        session.is_joined = True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            _logger.exception("the store does not take in other processes any more")

    async def _serve(self) -> None:
        # start_unix_server would remove the path when it is closed, since Python 3.13
        server = await asyncio.start_server(self._accept, sock=self._socket)
        looking = asyncio.create_task(self._look())
        await self._stopping.wait()
        # a connection that was just accepted becomes known three iterations later: the transport is created, the
        # protocol is told, and _accept starts; before that, nobody would read from it or close it
        self._loop.remove_reader(server.sockets[0])
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        for task in (looking, *self._tasks):
            task.cancel()
        await asyncio.gather(looking, *self._tasks, return_exceptions=True)
        for session in self._sessions:
            session.out.close()
            # a client that does not read must not block the end of this process
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(session.out.wait_closed(), 1.0)

    async def _look(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LOOK)
            self._look_now()
            if time.monotonic() - began > _LOOK + _LATE:
                # this process itself was suspended or too busy, and may have missed messages
                for session in self._sessions:
                    session.hear()
            for session in self._sessions:
                self._listen_for(session)

    def _listen_for(self, session: Session) -> None:
        """Give up the runs of a process that was silent for too long: it is suspended, or hangs as a whole."""
        silence = time.monotonic() - session.heard_at
        node = session.process
        if node is None or session.is_silent or silence < _LEASE or node.is_busy():
            return
        session.is_silent = True
        _logger.warning("process %s has not answered for %.0f s: what it was running is given up", node.pid, silence)
        with contextlib.suppress(StoreClosed):
            self._outbox.put(Receipt(Silence(name=node.name, at=wall_clock() - int(silence * 1e6))))

    def _look_now(self) -> None:
        with contextlib.suppress(StoreClosed):
            self._outbox.put(Receipt(Leave(at=wall_clock())))

    async def _accept(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of a server runs in a task
        self._tasks.add(task)
        session = Session(out)
        self._sessions = (*self._sessions, session)
        try:
            await self._listen(reader, session)
        except (asyncio.IncompleteReadError, OSError):
            # it is gone; if it died, its runs are ended
            self._look_now()
            for seconds in (0.2, 1.0):
                self._loop.call_later(seconds, self._look_now)
        except StoreClosed:
            # the results of its earlier writes are still sent
            return
        except asyncio.CancelledError:
            # shutdown; since Python 3.11 a handler that stays cancelled is reported as an error
            return
        except Exception:
            # the client is disconnected, reconnects, and repeats what was not committed
            _logger.exception("a process that writes through this one said something that makes no sense")
        finally:
            self._tasks.discard(task)
        self._sessions = tuple(other for other in self._sessions if other is not session)
        out.close()

    async def _listen(self, reader: asyncio.StreamReader, session: Session) -> None:
        hello = await _read(reader)
        node = node_of(hello["hello"])
        for other in self._sessions:
            # everything read from its old connection is committed before it is welcomed; the rest is sent again
            if other.node == node.name:
                other.end()
        session.node, session.process = node.name, node
        self._outbox.put(_Joining(Join(node=node, at=wall_clock()), self, session))
        while True:
            message = await _read(reader)
            if session.is_over:
                return
            session.hear()
            if message.get("bye"):
                self._outbox.put(Receipt(Leave(name=node.name, at=wall_clock())))
                return
            session.heard = message["heard"]
            for number, kind, content in message["writes"]:
                self._outbox.put(RemoteReceipt(decode_write(kind, content), number, session), is_bounded=False)
            if message["writes"]:
                # they were queued there as long as they may be, or somebody waits for them
                self._outbox.hasten()
            while self._outbox.is_full:
                await asyncio.sleep(0.01)
                session.hear()

    def _send(self, changes: Sequence[Change], results: list[tuple[Session, list[Any]]]) -> None:
        told = orjson.dumps([encode_change(change) for change in changes])
        own = dict(results)
        for session in self._sessions:
            if session.is_joined:
                content = b'{"results":' + orjson.dumps(own.get(session, [])) + b',"changes":' + told + b"}"
                self._write_raw(session, content)

    def _send_health(self, health: Health) -> None:
        for session in self._sessions:
            if session.is_joined:
                self._write(session, {"health": encode_health(health)})

    def _write(self, session: Session, message: dict[str, Any]) -> None:
        self._write_raw(session, orjson.dumps(message))

    def _write_raw(self, session: Session, content: bytes) -> None:
        transport = session.out.transport
        if transport.get_write_buffer_size() > _PATIENCE:
            # the client reconnects, and asks for what it has missed
            transport.abort()
        elif not transport.is_closing():
            session.out.write(frame(content))


def listen_at(place: Path) -> socket.socket:
    """A listening socket at *place* that only this user can connect to."""
    place.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(place))
        # set before listening: until then nobody can connect
        place.chmod(0o600)
        made.listen(128)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _refused(error: OSError, path: Path) -> StoreError:
    return StoreError(
        f"other processes cannot be let in: {error.strerror}",
        where=str(path),
        fix=f"make {path.parent} writable, and take away what lies in the place of {path.name}.sock",
    )


def _place(path: Path) -> tuple[Path, Path | None]:
    """The path of the socket of the database *path*, and the directory created for it, if any."""
    beside = path.with_name(path.name + ".sock")
    if len(os.fsencode(beside)) <= _LONGEST_PATH:
        return beside, None
    directory = Path(tempfile.mkdtemp(prefix="binp-"))
    return directory / "sock", directory


async def _read(reader: asyncio.StreamReader) -> Any:
    return orjson.loads(await reader.readexactly(size_of(await reader.readexactly(HEAD.size))))
