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

#: seconds between two looks for files whose runs are over or gone
_SWEEP = 600.0


def shelf_of(store: Store, limits: tuple[int, int]) -> Shelf:
    """The files beside the database of *store*; *limits* are the bytes of one, and of all."""
    return Shelf(Path(store.url.removeprefix("sqlite:///") + ".files"), Limits(*limits))


class RunFiles:
    """What is done about files when a run begins, ends, and is erased.

    Args:
        shelf: Where they are kept.
        store: Knows the runs.
    """

    def __init__(self, shelf: Shelf, store: Store) -> None:
        self.shelf = shelf
        self._store = store
        self._sweeping: asyncio.Task[None] | None = None
        #: runs in flight here that have files: their rows may not be there yet
        self._held: set[int] = set()

    async def keep(self, call: BoundCall) -> BoundCall:
        """*call* with all of its files on the shelf, so that they are there until its run has ended.

        Raises:
            FileTooLarge: one has more bytes than the settings say.
            FilesFull: there is no room for them.
            BinpError: one cannot be read or kept.
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
        """The files of *call*, which has some, are those of *run*."""
        run.has_files = True
        self._held.add(run.id)
        for file in call.files:
            self.shelf.claim(file, run.id)

    def release(self, run: ActiveRun, outcome: Outcome) -> None:
        """*run* has ended, or never came into being; the files of one that stays queued are the next process's."""
        # to look costs a system call, and most runs have none
        if run.has_files:
            if outcome.state is not State.QUEUED:
                self.shelf.release(run.id)
            self._held.discard(run.id)

    async def keep_result(self, run: ActiveRun, outcome: Outcome) -> Outcome:
        """*outcome* with the files that were returned, alone or in something, where they stay as long as the run."""
        if type(outcome.value) in PLAIN:
            return outcome
        try:
            if isinstance(outcome.value, File):
                return replace(outcome, value=await self.shelf.keep_result(outcome.value, run.id))
            for file in files_in(outcome.value):
                file.note(await self.shelf.keep_result(file, run.id, is_part=True))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - becomes the outcome, which is where it is reported
            self.shelf.release(run.id, result=True)
            return outcome_of(run, error)
        return outcome

    def lead(self, context: contextvars.Context) -> None:
        """Look after what is left behind, from here on, in a task that runs in *context*."""
        if self._sweeping is None:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.create_task(self._sweep(), name="binp files", context=context)

    def close(self) -> None:
        """Look no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def sweep(self) -> None:
        """Take away the files of runs that have ended, and those that erased runs returned."""
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
                _logger.error("files of runs that have ended could not be taken away: %s", error)  # noqa: TRY400 - the reason is the message
            await asyncio.sleep(_SWEEP)
