"""Execute a function in a process of its own, which can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from binp.files import File, Shelf, hand_over, take_back
from binp.operations import Operation, encode_given
from binp.store.contract import Store

from ._active import ActiveRun
from ._errors import CallFailed, ProcessDied
from ._kept import Acknowledged, Kept
from ._wire import HEAD, frame

__all__ = ["Processes"]

#: seconds for a process to end after it was asked to
_STOP = 10.0
#: seconds for a process to end after it has reported the outcome
_LEAVE = 5.0

#: the program of a process; it uses the module search path of this one
_PROGRAM = "import sys; sys.path[:] = {path!r}; from binp.app._call import main; main({handle}, {parent})"


class Processes:
    """Starts a fresh interpreter for each call, and stores what its run reports.

    Args:
        store: Admits the processes, which read and write the database themselves.
        describe: Returns what a process needs to know to load the program.
        shelf: Where the processes leave returned files.
    """

    def __init__(self, store: Store, describe: Callable[[], dict[str, Any]], shelf: Shelf) -> None:
        self._store = store
        self._describe = describe
        self._shelf = shelf

    async def call(
        self, run: ActiveRun, operation: Operation, given: Mapping[str, Any], files: Sequence[File] = ()
    ) -> Any:
        """Execute *operation* as *run*, with the *given* arguments of its form, and the *files* among them.

        If the caller is cancelled, the process is asked to end, and killed after ten seconds. The process, and children
        that stay in its process group, never outlive this call or this process.

        Returns:
            The result after a round trip through JSON, with its files, which exist as long as the run.

        Raises:
            CallFailed: the function raised, or its process ended before it returned.
            InvalidArguments: the arguments cannot be expressed as JSON.
        """
        self._store.admit()
        order = frame(
            {
                **self._describe(),
                "db": self._store.url,
                "kind": operation.kind,
                "name": operation.name,
                "given": encode_given(operation, given, files),
                "run": {
                    "id": run.id,
                    "operation": run.operation,
                    "trigger": run.trigger,
                    "journal": run.journal,
                    "epoch": run.epoch,
                    "actor": run.actor,
                },
                "attempt": run.attempt,
                "origin": run.origin,
                "files": hand_over(files),
                "place": self._shelf.lend(run.id),
                "limit": self._shelf.limits.size,
            }
        )
        # returned files are released together with the arguments' files
        run.has_files = True
        ours, theirs = socket.socketpair()
        try:
            program = _PROGRAM.format(path=sys.path, handle=theirs.fileno(), parent=os.getpid())
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                program,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # a session of its own: Ctrl-C only reaches the server, and children can be killed as a group
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            _kill(process)
            ours.close()
            raise
        try:
            writer.write(order)
            return await _Apart(run, process, reader, writer).end()
        finally:
            _kill(process)
            # abort instead of close, which would wait until the unread data is flushed
            writer.transport.abort()


class _Apart:
    """One process that executes a call."""

    def __init__(
        self,
        run: ActiveRun,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._run = run
        self._process = process
        self._reader = reader
        self._writer = writer
        self._last: Kept | Acknowledged = Acknowledged(True)

    async def end(self) -> Any:
        """The result of the function."""
        listening, leaving = asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({listening, leaving}, return_when=asyncio.FIRST_COMPLETED)
            # one event follows shortly after the other, unless a child of the process keeps the connection open
            await asyncio.wait({listening, leaving}, timeout=_LEAVE)
            end = listening.result() if listening.done() else None
            await self._gone(_LEAVE)
        except asyncio.CancelledError:
            await self._stop(listening)
            raise
        finally:
            listening.cancel()
            leaving.cancel()
        if end is None:
            raise ProcessDied(self._process.returncode)
        if "error" in end:
            raise CallFailed(*end["error"])
        return take_back(orjson.loads(end["value"]), end["files"])

    async def _listen(self) -> dict[str, Any] | None:
        """Store what the process reports; returns the outcome, or None if the process ended without one."""
        try:
            while True:
                (size,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
                message = orjson.loads(await self._reader.readexactly(size))
                if "end" in message:
                    return dict(message["end"])
                if "say" in message:
                    self._keep(*message["say"][1:])
                else:
                    # everything reported before is stored first
                    self._writer.write(frame({"known": message["wait"], "kept": bool(await self._last)}))
        except (asyncio.IncompleteReadError, OSError):
            return None

    def _keep(self, kind: str, *said: Any) -> None:
        run = self._run
        if kind == "record":
            message, fields, level, source = said
            known = {} if fields is None else orjson.loads(fields)
            self._last = run.record(message, known, level=level, source=source)
        elif kind == "labels":
            self._last = run.label(tuple(said[0]))
        else:
            self._last = run.progress(*said)

    async def _stop(self, listening: asyncio.Future[Any]) -> None:
        """Ask it to end, store its reports until then, and kill it if it does not, or if cancelled again."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP):
                await self._process.wait()
            # its last reports are still in the pipe
            await asyncio.wait({listening}, timeout=_LEAVE)
        except TimeoutError:
            _kill(self._process)
            await self._process.wait()
        finally:
            _kill(self._process)

    async def _gone(self, patience: float) -> None:
        """Wait for its end; kill it after *patience* seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._process.wait()
        except TimeoutError:
            _kill(self._process)
            await self._process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the process, and those that it left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
