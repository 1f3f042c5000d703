"""Run one call that another process has sent, in a fresh interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from binp.app import BINP
from binp.errors import BinpError
from binp.files import File, finder, give_back
from binp.operations import BoundCall, Operation, as_json, journal_of
from binp.runs import (
    ActiveRun,
    Far,
    LogCapture,
    Outcome,
    OutputCapture,
    Threads,
    Tracing,
    awaited,
    entered,
    execute,
    interruptible,
    leave_with,
    text_of,
    traceback_of,
)
from binp.store.contract import State
from buvar import context, plugin
from buvar.config import ConfigSource

__all__ = ["main"]

#: name under which the file of a program is imported if it was started by its path, as in multiprocessing
_MAIN = "__mp_main__"


def main(handle: int, parent: int) -> None:
    """Execute the call that arrives over the socket *handle*, send back its outcome, and end this process.

    Args:
        handle: File descriptor of a connected socket.
        parent: Id of the process at the other end; this process does not outlive it.
    """
    leave_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        # when memory runs out, the kernel should kill this process and not the server
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    far = Far(socket.socket(fileno=handle), lambda: os._exit(1))
    order = far.order()
    from buvar.log import LogConfig, flush

    with LogConfig(level="INFO", levels={"asyncio": "WARNING"}, add_pid=True).setup():
        try:
            end = _carry_out(order, far)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is reported
            end = _told(error, None)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        flush()
    far.send({"end": end})
    # do not wait for threads that the function left behind
    os._exit(0)


def _carry_out(order: dict[str, Any], far: Far) -> dict[str, Any]:
    binp, operation = _find(_load(order), order)
    home = binp.home
    home.has_app = True
    home.config = order["config"] or home.config
    home.overrides.update(order["overrides"], db=order["db"])
    home.db, home.is_guest = None, True
    store: Any = far
    run = ActiveRun(store=store, tracing=Tracing(home.settings.trace), **order["run"])
    run.attempt, run.origin = order["attempt"], order["origin"]
    loop = asyncio.new_event_loop()
    call = _Call(binp, operation, run, far, finder(order["files"]))
    outcome = loop.run_until_complete(call.run(json.loads(order["given"])))
    if outcome.error is not None:
        return _told(outcome.error, run)
    if outcome.state is not State.SUCCEEDED:
        return {"error": ["CancelledError", outcome.message or "cancelled", ""]}
    # a generator may have been created on this loop
    files = loop.run_until_complete(give_back(outcome.value, order["place"], order["limit"]))
    return {"value": as_json(outcome.value), "files": files}


def _told(error: BaseException, run: ActiveRun | None) -> dict[str, Any]:
    return {"error": [type(error).__qualname__, text_of(error), traceback_of(error, run)]}


def _load(order: dict[str, Any]) -> ModuleType:
    name, file = order["module"], order["file"]
    # the program may read them at import
    sys.argv[:] = order["argv"]
    if name != "__main__":
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(_MAIN, file) if file else None
    if spec is None or spec.loader is None:
        raise BinpError(
            "the program cannot be imported by another process: it was typed, and is in no file",
            fix="write it in a file, or leave process=True out",
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MAIN] = sys.modules["__main__"] = module
    spec.loader.exec_module(module)
    return module


def _find(module: ModuleType, order: dict[str, Any]) -> tuple[BINP, Operation]:
    kind, name = order["kind"], order["name"]
    for binp in [value for value in vars(module).values() if isinstance(value, BINP)]:
        for operation in binp.home.operations.all(kind):
            if operation.name == name:
                return binp, operation
    raise BinpError(
        f"there is no {kind} {name!r} in the module {module.__name__!r} when another process imports it",
        where=getattr(module, "__file__", None),
        fix="define it at the top of the module, whatever the program does besides",
    )


class _Inline(Threads):
    """Calls sync functions in the main thread, where a signal can interrupt them."""

    is_busy = False
    #: it was asked to end, but the event loop does not know that yet
    is_told = False

    async def run(self, call: Callable[[], Any]) -> Any:
        """Call it at once; the event loop is blocked meanwhile."""
        # in this order: a later request interrupts the call, and an earlier one is found here
        self.is_busy = True
        try:
            if self.is_told:
                raise KeyboardInterrupt
            with interruptible():
                return call()
        finally:
            self.is_busy = False


class _Call:
    """The call and everything it needs."""

    def __init__(
        self, binp: BINP, operation: Operation, run: ActiveRun, far: Far, find: Callable[[Any], File | None]
    ) -> None:
        self._binp = binp
        self._operation = operation
        self._run = run
        self._far = far
        self._find = find
        self._threads = _Inline()

    async def run(self, given: dict[str, Any]) -> Outcome:
        """Execute it. SIGTERM cancels an async function, and raises KeyboardInterrupt in a sync one."""
        run = self._run
        run.task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, self._cancel)
        captures = (OutputCapture(), LogCapture())
        for capture in captures:
            capture.install()
        try:
            call = self._operation.form.bind(given, self._find)
            run.conceal(self._operation.form.secrets(call.args, call.kwargs))
            async with self._prepared():
                with entered(run):
                    return await self._execute(call)
        finally:
            run.close()
            for capture in captures:
                capture.remove()
            if self._binp.home.is_used:
                await self._binp.home.close()

    async def _execute(self, call: BoundCall) -> Outcome:
        operation = self._operation
        if journal_of(operation.function) is not None:
            self._run.adoptable = operation.base
        outcome = await execute(
            self._run,
            operation.function,
            call.args,
            call.kwargs,
            injected=operation.form.injected,
            threads=self._threads,
        )
        return awaited(outcome)

    @contextlib.asynccontextmanager
    async def _prepared(self) -> AsyncIterator[None]:
        """What the function needs besides its arguments: plugins for injection, a home for a journal."""
        home, operation = self._binp.home, self._operation
        if not operation.form.injected and journal_of(operation.function) is None:
            yield
            return
        stage = plugin.Stage()
        stage.context.add(self._binp)
        stage.context.add(home.source(), ConfigSource)
        await home.open(stage.context)
        home.runs.threads = self._threads
        try:
            if operation.form.injected:
                # loaded but not run: services and schedules run where the app is served
                await stage.aload(*self._binp.all_plugins())
            token = context.buvar_context.set(home.components or stage.context)
            try:
                yield
            finally:
                context.buvar_context.reset(token)
        finally:
            with contextlib.suppress(plugin.TeardownError):  # each failure is logged
                await stage.arun_teardown()

    def _cancel(self, number: int, _frame: FrameType | None) -> None:
        if self._threads.is_busy:
            self._run.cancel_requested = True
            self._far.interrupt()
        else:
            # the event loop handles it in its next iteration; a sync call may start before that, and block it
            self._threads.is_told = True
            self._loop.call_soon_threadsafe(self._run.cancel)
