"""The parent of the workers: starts, watches, replaces and ends them, and does nothing else."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final

from ._errors import WorkersFailed
from ._fork import Fork
from ._policy import BOOT_FAILED, LEADER, SIGNALLED
from ._reload import Reload
from ._seat import Report, Seat
from ._systemd import Notifier
from ._wake import Wake
from ._watch import check, moments
from ._workers import Origin, Worker, spawn

_FORWARDED: Final = frozenset({"HUP", "QUIT", "ABRT", "USR1", "USR2", "WINCH"})
_ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM})
_SIGNALS: Final = {signal.SIGCHLD, *_ENDING, *(getattr(signal, f"SIG{name}") for name in _FORWARDED)}
#: Seconds between a second request to end and the kill.
_HURRY: Final = 0.5
#: Seconds until the next attempt to replace a worker whose lifetime is over, after its successor could not be started.
_RETRY: Final = 60.0
#: Polling interval of the workers' memory, in seconds.
_LOOK: Final = 2.0

_REPLACED: Final = "Worker %d, which was replaced, ended with status %d"

_log = logging.getLogger("buvar.fork")


@dataclasses.dataclass(slots=True, eq=False)
class Slot:
    """One place for a worker."""

    number: int
    worker: Worker | None = None
    #: the worker that will replace it once it is ready
    candidate: Worker | None = None
    #: number of consecutive failures
    failures: int = 0
    #: when the next worker is started
    due: float | None = None
    #: whether any worker was ready so far
    was_ready: bool = False
    #: whether its tasks have ended by themselves
    finished: bool = False
    #: exit status of the last worker
    status: int = 0


class Supervisor:
    """Keeps workers running until they have finished or the program is asked to end.

    Args:
        fork: The number of workers; gets their process ids.
        enter: The function that each worker runs; returns the exit status.
        grace: Seconds until a worker that was asked to end is killed, if the rules do not say.
        handled: Signals that the workers handle themselves.
        reload: What to do before workers are replaced.
    """

    def __init__(
        self,
        fork: Fork,
        enter: Callable[[Seat], int],
        grace: float,
        *,
        handled: Collection[int] = (),
        reload: Reload | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self.fork = fork
        self.policy = fork.supervision
        self.slots = [Slot(number) for number in range(fork.number)]
        #: workers that were replaced, or are about to be once they have ended
        self.leaving: list[Worker] = []
        #: numbers of the workers that are still to be replaced
        self.rolling: list[int] = []
        self.status = 0
        self._enter = enter
        self._handled = handled
        self._reload = reload or Reload()
        self._grace = grace if self.policy.grace is None else self.policy.grace
        self._on_stop = on_stop
        self._stops = 0
        self._announced = False
        self._reloading = False
        self._look_at = time.monotonic() + _LOOK
        self._notifier = Notifier()
        self._on_terminal = os.isatty(0)
        self._wake = Wake()

    def run(self) -> list[int]:
        """Supervise until all workers have ended.

        Returns:
            The exit status of each: 0, or that of a worker that ended as requested.

        Raises:
            WorkersFailed: some failed for good.
        """
        gc.collect()
        gc.freeze()  # the workers' garbage collectors will not touch existing objects, so their memory stays shared
        try:
            with self._wake.installed(_SIGNALS):
                for slot in self.slots:
                    if not self._stops:
                        slot.worker = self._spawn(slot)
                while self._workers() or any(slot.due is not None for slot in self.slots):
                    self._wait()
                    # read the pipe first: a worker that ends from now on wakes this process again
                    numbers = self._wake.received()
                    # then reap: a worker that died before a request to end did not disobey it
                    self._reap()
                    for number in numbers:
                        self._on_signal(number)
                    self._listen()
                    self._keep_time()
                    self._roll()
        finally:
            gc.unfreeze()
        statuses = [slot.status for slot in self.slots]
        if self.status:
            raise WorkersFailed(self.status, statuses)
        return statuses

    # -- signals -------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number in _ENDING:
            self._stop(number)
        elif number in self._handled:
            for worker in self._workers():
                worker.send(number)
        elif number == signal.SIGHUP:
            if self._on_terminal and not os.isatty(0):
                self._stop(signal.SIGTERM)  # the terminal is gone, so nobody could end it with Ctrl-C
            else:
                self._begin_reload()
        elif number != signal.SIGWINCH:
            # this signal would have ended a single process, so it ends all workers
            self.status = self.status or SIGNALLED + number
            self._stop(number)

    def _stop(self, number: int) -> None:
        self._stops += 1
        if self._stops == 1:
            _log.info("The workers end, on %s", signal.Signals(number).name)
            self._notifier.stopping()
            if self._on_stop is not None:
                self._on_stop()
            self.rolling.clear()
            for slot in self.slots:
                slot.due = None
        for worker in self._workers():
            if self._stops > 2:
                worker.kill()
            elif self._stops > 1 or not worker.asked:
                # a worker that is being replaced was asked already, and a second signal would hurry it
                worker.ask(number, self._grace if self._stops == 1 else _HURRY)

    def _give_up(self, status: int) -> None:
        self.status = self.status or status
        self._stop(signal.SIGTERM)

    # -- workers -------------------------------------------------------------------------------------------------

    def _workers(self) -> list[Worker]:
        placed = [worker for slot in self.slots for worker in (slot.worker, slot.candidate) if worker is not None]
        return placed + self.leaving

    def _spawn(self, slot: Slot) -> Worker | None:
        slot.due = None
        private = [*self._wake.pipe, *(worker.reports for worker in self._workers() if worker.reports >= 0)]
        origin = Origin(self._enter, self.policy.beat, self._wake.former, self._wake.mask, private)
        try:
            worker = spawn(slot.number, origin, self.policy.lifetime())
        except OSError as error:  # too many processes or open files: the other workers must not suffer
            self._not_forked(slot, error)
            return None
        self.fork.children = [each.pid for each in [*self._workers(), worker]]
        _log.debug("Worker %d is process %d", worker.slot, worker.pid)
        return worker

    def _not_forked(self, slot: Slot, error: OSError) -> None:
        _log.error("Worker %d cannot be forked: %s", slot.number, error.strerror or error)
        if not self._announced:
            self._give_up(BOOT_FAILED)
        elif slot.worker is None:
            slot.failures += 1
            slot.due = time.monotonic() + self.policy.delay(slot.failures)

    def _wait(self) -> None:
        reports = [worker.reports for worker in self._workers() if worker.reports >= 0]
        self._wake.wait(reports, min(self._moments(), default=None))

    def _moments(self) -> Iterator[float]:
        """Times at which there is something to do even if nothing happens."""
        yield from (slot.due for slot in self.slots if slot.due is not None)
        for worker in self._workers():
            yield from moments(worker, self.policy)
        if self.policy.max_memory is not None:
            yield self._look_at
        if self._notifier.due is not None:
            yield self._notifier.due

    def _listen(self) -> None:
        for worker in self._workers():
            for report in worker.read():
                self._on_report(worker, report)

    def _on_report(self, worker: Worker, report: Report) -> None:
        worker.beat = time.monotonic()
        worker.doomed_at = None
        if report is Report.DONE:
            worker.done = True
        elif report is Report.RETIRE:
            worker.retire_at = worker.beat
        elif report is Report.READY and not worker.ready:
            worker.ready = True
            self._on_ready(worker, self.slots[worker.slot])

    def _on_ready(self, worker: Worker, slot: Slot) -> None:
        _log.info("Worker %d is ready, process %d", worker.slot, worker.pid)
        slot.was_ready = True
        if worker is slot.candidate:
            slot.candidate = None
            if slot.worker is not None:
                self._dismiss(slot.worker)
            slot.worker, slot.finished = worker, False
        if not self._announced and all(each.was_ready for each in self.slots):
            self._announced = True
            self._notifier.ready(self._summary())

    def _dismiss(self, worker: Worker) -> None:
        self.slots[worker.slot].worker = None
        self.leaving.append(worker)
        worker.ask(signal.SIGTERM, self._grace)

    # -- their end -----------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        # only our own workers: other children belong to the program
        for worker in self._workers():
            status = worker.reap()
            if status is not None:
                for report in worker.read():
                    self._on_report(worker, report)
                worker.close()
                self._ended(worker, self.slots[worker.slot], status)
        self.fork.children = [worker.pid for worker in self._workers()]

    def _ended(self, worker: Worker, slot: Slot, status: int) -> None:
        is_current, is_candidate = worker is slot.worker, worker is slot.candidate
        if is_current:
            slot.worker, slot.status = None, status
        elif is_candidate:
            slot.candidate = None
        else:
            self.leaving.remove(worker)
        if self._stops:
            if status not in (0, SIGNALLED + worker.asked):
                self.status = self.status or status
        elif worker.hands_over:
            slot.worker = self._spawn(slot)
        elif is_candidate:
            self._abandon(slot, status)
        elif not is_current:
            _log.log(logging.WARNING if status else logging.INFO, _REPLACED, slot.number, status)
        elif worker.done and not status:
            _log.debug("Worker %d has finished", slot.number)
            slot.finished = slot.was_ready = True
        else:
            self._lost(worker, slot, status)

    def _lost(self, worker: Worker, slot: Slot, status: int) -> None:
        if not worker.ready and not self._announced and status:
            _log.critical("Worker %d could not be started (status %d): giving up", slot.number, status)
            self._give_up(BOOT_FAILED)
            return
        is_healthy = worker.ready and time.monotonic() - worker.born >= self.policy.healthy_after
        slot.failures = 1 if is_healthy else slot.failures + 1
        if self.policy.max_failures is not None and slot.failures >= self.policy.max_failures:
            _log.critical("Worker %d failed %d times (status %d): giving up", slot.number, slot.failures, status)
            self._give_up(status or 1)
            return
        if self._reloading and not worker.ready:
            self._abandon(slot, status)
        if slot.candidate is not None:
            slot.worker, slot.candidate = slot.candidate, None
            return
        delay = self.policy.delay(slot.failures)
        _log.error("Worker %d ended with status %d; started again in %.2f s", slot.number, status, delay)
        slot.due = time.monotonic() + delay

    # -- time ----------------------------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        now = time.monotonic()
        for slot in self.slots:
            if slot.due is not None and slot.due <= now:
                slot.worker = self._spawn(slot)
        for worker in self._workers():
            check(worker, self.policy, now)
            if worker.retire_at is not None and worker.retire_at <= now:
                worker.retire_at = None
                self._replace(worker, self.slots[worker.slot])
        if self.policy.max_memory is not None and self._look_at <= now:
            self._look_at = now + _LOOK
            for worker in self._workers():
                if worker.memory() > self.policy.max_memory:
                    self._replace(worker, self.slots[worker.slot])
        self._notifier.alive()

    # -- replacing -----------------------------------------------------------------------------------------------

    def _replace(self, worker: Worker, slot: Slot) -> None:
        """Queue a worker for replacement, unless that is in progress."""
        if worker is slot.worker and slot.candidate is None and slot.number not in self.rolling and not self._stops:
            self.rolling.append(slot.number)

    def _begin_reload(self) -> None:
        if self._stops:
            return
        _log.info("The workers are being replaced")
        self._notifier.reloading()
        self._reloading = True
        if self._reload.begin():
            # the leader last: it has to end before its successor starts, and by then all others have proved that they
            # start
            self.rolling = [*range(len(self.slots) - 1, LEADER, -1), LEADER]
        else:
            self._end_reload()

    def _end_reload(self) -> None:
        self.rolling.clear()
        if self._reloading:
            self._reloading = False
            self._notifier.ready(self._summary())

    def _roll(self) -> None:
        """Take the next step of replacing workers, one at a time."""
        is_busy = any(slot.candidate or (slot.worker and not slot.worker.ready) for slot in self.slots)
        if self._stops or is_busy or any(worker.hands_over for worker in self.leaving):
            return
        if not self.rolling:
            if self._reloading:
                self._reload.keep()
                self._end_reload()
                _log.info("The workers are replaced")
            return
        slot = self.slots[self.rolling.pop(0)]
        if slot.finished:
            # nothing will happen there that would call this method again
            self._roll()
        elif slot.worker is None:
            slot.worker = self._spawn(slot)
        elif slot.number == LEADER:
            slot.worker.hands_over = True
            self._dismiss(slot.worker)
        else:
            slot.candidate = self._spawn(slot)
            if slot.candidate is None:
                self._abandon(slot, 1)

    def _abandon(self, slot: Slot, status: int) -> None:
        """Stop replacing workers; the running ones are kept."""
        _log.error("The workers are not replaced: a new one could not be started (status %d)", status)
        self._reload.undo()
        self._end_reload()
        if slot.worker is not None and self.policy.max_lifetime is not None:
            slot.worker.retire_at = time.monotonic() + _RETRY

    def _summary(self) -> str:
        return f"{len(self.slots)} workers"
