"""Maintain the file: erase old runs in small steps, and release free space."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from binp.store.contract import Retention, StoreClosed, StoreError, Write

from ._clock import wall_clock
from ._connect import connect_reader, explain
from ._erase import KEPT_RECORDS
from ._guard import leak
from ._old import Finder, Population, moment
from ._outbox import Outbox
from ._receipt import Receipt
from ._tend import Erase, Forget, Shrink, Tended, Tidy, Trim, Truncate

__all__ = ["Care"]

_logger = logging.getLogger("binp.store")

#: seconds between two rounds, and between two complete scans
_ROUND, _WHOLE = 60.0, 3600.0
#: target duration of one step, in seconds, during which others cannot write
_SHARE = 0.005
#: rows or pages per step: initial, minimum, maximum
_FIRST, _LEAST, _MOST = 200, 20, 4000
#: fraction of the file that may be free before space is released, and that is left free then; pages that do not matter
_LOOSE, _TIGHT, _FEW_PAGES = 0.1, 0.02, 256
#: number of newest runs that are kept even if the file is too large
_FEWEST = 1000
#: size in bytes from which truncating the log is worthwhile: overwriting a smaller one is faster than growing it again
_LOG = 16_000_000
#: days for which idempotency keys and processes are remembered
_MEMORY = 90


class _Stopped(Exception):
    """The thread has to end."""


class Care:
    """A thread that reads, decides and waits; the writer changes the file in small steps on its behalf.

    Args:
        path: The database file.
        outbox: The writer's queue.
        retention: The retention rules.
        carry: Runs a checkpoint of the write-ahead log, while others write.
    """

    def __init__(
        self, path: Path, outbox: Outbox, retention: Retention, carry: Callable[[], None] = lambda: None
    ) -> None:
        #: why the limits cannot be kept; None if they can
        self.problem: str | None = None
        #: number of rounds so far, and the longest step, in seconds
        self.rounds = 0
        self.longest = 0.0
        self._path = path
        self._outbox = outbox
        self._retention = retention
        self._carry = carry
        self._connection: sqlite3.Connection | None = None
        self._populations: list[Population] = []
        self._whole = 0.0
        self._rows = self._pages = self._moves = _FIRST
        #: whether erased runs may have left something in the index
        self._is_untidy = True
        #: whether the file or the log can be made shorter
        self._is_long = False
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="binp-store-care", daemon=True)

    def start(self) -> None:
        """Start, with a round immediately."""
        self._thread.start()

    def set(self, retention: Retention) -> None:
        """Apply *retention* from now on."""
        self._retention = retention
        self._whole = 0.0
        self._wake.set()

    def stop(self) -> None:
        """End after the current step, and wait for that. The store must still be open."""
        self._stopped = True
        self._wake.set()
        with contextlib.suppress(AttributeError, sqlite3.ProgrammingError):
            # interrupts a long read; the connection may not exist yet, or any more
            self._connection.interrupt()  # type: ignore[union-attr]  # caught
        self._thread.join()

    def abandon(self) -> None:
        """In a forked child: leave the connection alone, which belongs to the parent."""
        if self._connection is not None:
            leak(self._connection)

    # -- rounds --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._connection = connect_reader(self._path)
            try:
                with contextlib.closing(Finder(self._connection, self._go_on)) as finder:
                    while True:
                        self._wake.clear()
                        # stop() sets the flag before it wakes this thread
                        self._go_on()
                        self._try_round(finder)
                        self._wake.wait(_ROUND)
            finally:
                self._connection.close()
        except (_Stopped, StoreClosed):
            return
        except StoreError as error:
            self.problem = error.what
            _logger.error("nobody takes care of the database any more, until the next start: %s", error)  # noqa: TRY400 - the message has the reason
        except Exception:
            _logger.exception("nobody takes care of the database any more, until the next start")

    def _try_round(self, finder: Finder) -> None:
        try:
            self._round(finder)
            self.rounds += 1
        except StoreClosed:
            raise
        except (StoreError, sqlite3.Error) as error:
            if self._stopped:
                raise _Stopped from None
            told = error if isinstance(error, StoreError) else explain(error, self._path)
            if self.problem != told.what:
                _logger.warning("what is old could not be erased: %s", told)
            self.problem = told.what
            # it is unknown how much of the step was done
            self._whole = 0.0

    def _round(self, finder: Finder) -> None:
        if time.monotonic() > self._whole:
            self._whole = time.monotonic() + _WHOLE
            self._populations = finder.plan(self._retention)
            self._forget()
        erased = 0
        for population in self._populations:
            erased += self._erase(population, finder.victims(population, finder.surplus(population)))
        self._trim_long_runs(finder)
        erased += self._fit(finder)
        if erased:
            _logger.info("%d old runs were erased", erased)
        if self._is_untidy:
            self._tidy()
        self._is_long |= self._give_back(finder) or self._log_size() > _LOG
        # the file only shrinks after a checkpoint of the log
        if self._is_long and not self._outbox:
            # afterwards, the writer's part of the checkpoint takes no time
            self._carry()
            if self._do(Truncate()).count:
                self._is_long = False

    # -- erase ---------------------------------------------------------------------------------------------------

    def _erase(self, population: Population, victims: Iterable[tuple[int, int]]) -> int:
        erased = weight = 0
        group: list[int] = []
        for run, records in victims:
            # too many records to erase them together with their run in one step
            while records > KEPT_RECORDS and self._do_part(Trim(run=run, most=self._rows)):
                pass
            group.append(run)
            weight += 1 + min(records, KEPT_RECORDS)
            if weight >= self._rows:
                erased += self._erase_group(population, group)
                weight = 0
        return erased + self._erase_group(population, group)

    def _erase_group(self, population: Population, group: list[int]) -> int:
        if not group:
            return 0
        count = self._do_part(Erase(runs=tuple(group), at=wall_clock()))
        population.number -= count
        self._is_untidy |= count > 0
        group.clear()
        return count

    def _fit(self, finder: Finder) -> int:
        """Erase the oldest runs without a specific rule until the file is small enough."""
        most = self._retention.size
        general = self._populations[-1]
        erased = 0
        problem = None
        while most is not None:
            if self._is_untidy:
                # first, because leftovers count as used space: too many runs would be erased
                self._tidy()
            used, _, _ = finder.size()
            number = finder.number(general)
            if used <= most:
                break
            share = (used - most) * number // used + 1
            count = self._erase(general, finder.victims(general, min(share, number - _FEWEST, _MOST)))
            erased += count
            if not count:
                problem = (
                    f"the database takes up {used:,} bytes and may take up {most:,}: "
                    "what is left is kept by a rule of its own, is in flight, or is no run"
                )
                if self.problem != problem:
                    _logger.warning("%s", problem)
                break
        self.problem = problem
        return erased

    def _trim_long_runs(self, finder: Finder) -> None:
        """Erase old records of services that have been running for a long time."""
        days = self._retention.general.days
        if days is None:
            return
        for (run,) in finder.ask("long_runs", {"records": KEPT_RECORDS}).fetchall():
            while self._do_part(Trim(run=run, most=self._rows, before=moment(days))):
                pass

    def _forget(self) -> None:
        while self._do(Forget(before=moment(_MEMORY), most=_FIRST)).count:
            pass

    def _tidy(self) -> None:
        """Remove what erased runs have left in the index: once for all of them, most of it with the last."""
        while (done := self._do(Tidy(most=self._moves))).count:
            self._moves = _adapted(self._moves, done.seconds)
            self._pause(done.seconds)
        self._is_untidy = False

    # -- give space back -----------------------------------------------------------------------------------------

    def _give_back(self, finder: Finder) -> bool:
        """Release free space if there is much of it; returns whether there was."""
        used, free, size = finder.size()
        pages = used // size + free
        if free <= max(_FEW_PAGES, pages * _LOOSE):
            return False
        left = max(_FEW_PAGES, int(pages * _TIGHT))
        while free > left:
            done = self._do(Shrink(pages=min(self._pages, free - left)))
            if not done.count:
                break
            self._pages = _adapted(self._pages, done.seconds)
            free -= done.count
            self._pause(done.seconds)
        return True

    def _log_size(self) -> int:
        try:
            return self._path.with_name(self._path.name + "-wal").stat().st_size
        except OSError:
            return 0

    # -- what the writer does ------------------------------------------------------------------------------------

    def _do_part(self, write: Write) -> int:
        done = self._do(write)
        self._rows = _adapted(self._rows, done.seconds)
        self._pause(done.seconds)
        return done.count

    def _do(self, write: Write) -> Tended:
        self._go_on()
        receipt = Receipt(write)
        failure = self._outbox.put(receipt)
        if failure is not None:
            raise failure.exception()
        done: Tended = receipt.wait()
        self.longest = max(self.longest, done.seconds)
        return done

    def _go_on(self) -> None:
        if self._stopped:
            raise _Stopped

    def _pause(self, seconds: float) -> None:
        """Let others write for twice as long as they were kept from it."""
        time.sleep(min(2 * seconds, 0.1))


def _adapted(number: int, seconds: float) -> int:
    """The size of the next step, after a step of size *number* took so many seconds."""
    factor = min(1.5, max(0.5, _SHARE / max(seconds, 1e-6)))
    return max(_LEAST, min(_MOST, int(number * factor)))
