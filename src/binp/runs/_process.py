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

from ._active import Acknowledged, ActiveRun, Kept
from ._errors import CallFailed, ProcessDied
from ._wire import HEAD, frame

__all__ = ["Processes"]

#: seconds that a process has to end when it was asked to
_STOP = 10.0
#: seconds that it has to end when it has told what became of its call
_LEAVE = 5.0

#: what a process executes: it looks for modules where this one does
_PROGRAM = "import sys; sys.path[:] = {path!r}; from binp.app._call import main; main({handle}, {parent})"


class Processes:
    """Starts a fresh interpreter for each call, and keeps what its run says.

    Args:
        store: Lets the processes in, for what they look up and keep themselves.
        describe: Tells what a process needs to know of the program that it is to load.
        shelf: Where the processes leave the files that functions return.
    """

    def __init__(self, store: Store, describe: Callable[[], dict[str, Any]], shelf: Shelf) -> None:
        self._store = store
        self._describe = describe
        self._shelf = shelf

    async def call(
        self, run: ActiveRun, operation: Operation, given: Mapping[str, Any], files: Sequence[File] = ()
    ) -> Any:
        """Execute *operation* as *run*, with the arguments that were *given* for its form, and the *files* among them.

        When it is cancelled the process is asked to end, and killed after ten seconds. It never outlives this call, nor
        this process; neither do those of its children that stay in its process group.

        Returns:
            What JSON makes of what the function returned, with the files in it; they are there as long as the run.

        Raises:
            CallFailed: the function raised, or its process ended before it returned.
            InvalidArguments: JSON cannot carry the arguments.
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
        # what it returns is put away with what it was given
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
                # Ctrl-C is for the one who serves; and what it starts ends with it
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
            # not only closed, which would wait for what is left to be read: nobody reads it any more
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
        """What the function returned."""
        listening, leaving = asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({listening, leaving}, return_when=asyncio.FIRST_COMPLETED)
            # the one comes shortly after the other; where a child of the process holds the line, nothing comes
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
        """Keep what is said; what became of the call, None if its process ended without saying so."""
        try:
            while True:
                (size,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
                message = orjson.loads(await self._reader.readexactly(size))
                if "end" in message:
                    return dict(message["end"])
                if "say" in message:
                    self._keep(*message["say"][1:])
                else:
                    # what was said before it is kept before
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
        """Ask it to end, hear what it says until then, and kill it if it does not. Asked again, kill it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP):
                await self._process.wait()
            # what it said before is still on its way
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
    """End it, and what it left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
