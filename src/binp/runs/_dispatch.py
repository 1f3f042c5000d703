"""Execute runs that were left queued by processes that are gone."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import Sequence
from typing import Protocol

from binp.errors import BinpError
from binp.operations import BoundCall, Operation, Operations
from binp.store.contract import EndRun, Run, State, Store, StoreError, TakeRun

from ._active import ActiveRun, now
from ._files import RunFiles
from ._masks import MASKED

__all__ = ["Dispatch"]

_logger = logging.getLogger("binp.runs")

#: seconds between two attempts to read the queued runs: the first delay, and the maximum
_SOON, _RARELY = 0.1, 60.0


class Executor(Protocol):
    """Holds the runs of this process, and accepts further ones."""

    store: Store
    files: RunFiles

    @property
    def active(self) -> Sequence[ActiveRun]:
        """The runs in flight."""

    def context(self) -> contextvars.Context:
        """A context for a task that belongs to no run."""

    def resume(self, row: Run, operation: Operation, call: BoundCall) -> None:
        """Adopt *row*, which is queued and has no process, and execute it when it is its turn."""


class Dispatch:
    """Looks for queued runs without a process; active in the process that leads.

    A run that cannot be executed here is ended as interrupted, with the reason.

    Args:
        runs: Executes them.
        operations: The operations of this process.
    """

    def __init__(self, runs: Executor, operations: Operations) -> None:
        self._runs = runs
        self._operations = operations
        self._leads = False
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def wake(self) -> None:
        """This process leads: look now, and whenever another process is gone."""
        self._leads = True
        self._again = True
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._look(), name="binp dispatch", context=self._runs.context())

    def obey(self) -> None:
        """Another process is gone and left queued runs: look, if this process leads."""
        if self._leads:
            self.wake()

    def close(self) -> None:
        """Stop adopting runs."""
        self._leads = False
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        pause, told = _SOON, ""
        try:
            while self._again:
                self._again = False
                try:
                    for run in await self._runs.store.get_orphans():
                        await self._adopt(run)
                except StoreError as error:
                    # try again: otherwise the queued runs would wait until another process is gone
                    self._again = True
                    if str(error) != told:
                        told = str(error)
                        _logger.error("what is queued could not be read: %s", error)  # noqa: TRY400 - the message has the reason
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _RARELY)
        finally:
            self._task = None

    async def _adopt(self, run: int) -> None:
        store = self._runs.store
        row = await store.get_run(run)
        if row is None or row.state is not State.QUEUED or any(run == active.id for active in self._runs.active):
            return
        try:
            operation, call = self._call_of(row)
        except Exception as error:  # noqa: BLE001 - a problem with one run must not hold up the others
            if await store.write(TakeRun(id=run, node=store.node, orphaned=True, at=now())):
                why = error.what if isinstance(error, BinpError) else f"{type(error).__name__}: {error}"
                what = f"interrupted: it waited when its process ended, and cannot be executed here: {why}"
                end = EndRun(
                    id=run,
                    epoch=row.epoch + 1,
                    state=State.INTERRUPTED,
                    at=now(),
                    duration=0,
                    error=what,
                    journal=row.journal is not None,
                )
                await store.write(end)
            return
        self._runs.resume(row, operation, call)

    def _call_of(self, row: Run) -> tuple[Operation, BoundCall]:
        operation = self._operations.started(row.operation)
        if operation.form.secret_names or MASKED in (row.arguments or ""):
            raise BinpError("a secret among its arguments was not kept")
        return operation, operation.form.bind(
            json.loads(row.arguments or "{}"), self._runs.files.shelf.found_in(row.id)
        )
