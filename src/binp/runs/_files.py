"""The files of runs: kept while they are needed, and no longer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import replace
from pathlib import Path

from binp.errors import BinpError
from binp.files import PLAIN, File, Limits, Shelf, files_in
from binp.operations import BoundCall
from binp.store.contract import FINISHED, State, Store, StoreError

from ._active import ActiveRun
from ._life import Outcome, outcome_of

__all__ = ["RunFiles", "shelf_of"]

_logger = logging.getLogger("binp.runs")

#: seconds between two sweeps for files of runs that have ended or were erased
_SWEEP = 600.0


def shelf_of(store: Store, limits: tuple[int, int]) -> Shelf:
    """The files beside the database of *store*; *limits* are the maximum bytes of one file and of all."""
    return Shelf(Path(store.url.removeprefix("sqlite:///") + ".files"), Limits(*limits))


class RunFiles:
    """Stores and removes files when a run starts, ends, and is erased.

    Args:
        shelf: Stores the files.
        store: Knows the runs.
    """

    def __init__(self, shelf: Shelf, store: Store) -> None:
        self.shelf = shelf
        self._store = store
        self._sweeping: asyncio.Task[None] | None = None
        #: runs in flight here that have files: their rows may not be committed yet
        self._held: set[int] = set()

    async def keep(self, call: BoundCall) -> BoundCall:
        """*call* with all its files on the shelf, so that they exist until its run has ended.

        Raises:
            FileTooLarge: a file is larger than the settings allow.
            FilesFull: there is no room for them.
            BinpError: a file cannot be read or stored.
        """
        kept: list[File] = []
        try:
            for file in call.files:
                if file.token is None:
                    made = await self.shelf.keep(file)
                    kept.append(made)
                    file.become(made)
        except BaseException as error:
            for made in kept:
                self.shelf.forget(made.token or "")
            if isinstance(error, OSError):
                raise BinpError(f"{file.name} cannot be kept: {error.strerror or error}") from error
            raise
        return call if call.describe is None else replace(call, recorded=call.describe())

    def claim(self, call: BoundCall, run: ActiveRun) -> None:
        """Assign the files of *call*, which has some, to *run*."""
        run.has_files = True
        self._held.add(run.id)
        for file in call.files:
            self.shelf.claim(file, run.id)

    def release(self, run: ActiveRun, outcome: Outcome) -> None:
        """*run* has ended or was never created; the files of a run that stays queued are kept for the next process."""
        # checking the disk costs a system call, and most runs have no files
        if run.has_files:
            if outcome.state is not State.QUEUED:
                self.shelf.release(run.id)
            self._held.discard(run.id)

    async def keep_result(self, run: ActiveRun, outcome: Outcome) -> Outcome:
        """*outcome* with the returned files (also nested ones) on the shelf, where they stay as long as the run."""
        if type(outcome.value) in PLAIN:
            return outcome
        try:
            if isinstance(outcome.value, File):
                return replace(outcome, value=await self.shelf.keep_result(outcome.value, run.id))
            for file in files_in(outcome.value):
                file.note(await self.shelf.keep_result(file, run.id, is_part=True))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - becomes the outcome, where it is reported
            self.shelf.release(run.id, result=True)
            return outcome_of(run, error)
        return outcome

    def lead(self, context: contextvars.Context) -> None:
        """Start a task that sweeps leftover files regularly, in *context*."""
        if self._sweeping is None:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.create_task(self._sweep(), name="binp files", context=context)

    def close(self) -> None:
        """Stop sweeping."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def sweep(self) -> None:
        """Remove the files of runs that have ended, and the returned files of runs that were erased."""
        given, returned = await asyncio.to_thread(self.shelf.owners)
        for run in (given | returned) - self._held:
            row = await self._store.get_run(run)
            if row is None or row.state in FINISHED:
                await asyncio.to_thread(self.shelf.release, run, result=row is None)
        await asyncio.to_thread(self.shelf.sweep_new)

    async def _sweep(self) -> None:
        while True:
            try:
                await self.sweep()
            except (StoreError, OSError) as error:
                _logger.error("files of runs that have ended could not be taken away: %s", error)  # noqa: TRY400 - the message has the reason
            await asyncio.sleep(_SWEEP)
