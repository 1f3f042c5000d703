"""Detect workers that are late: to become ready, to send a heartbeat, to end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from ._policy import Supervision
from ._workers import SHOW_STACKS, Worker

#: Seconds for a hanging worker to show its stacks, or to prove that it does not hang.
_DOOM: Final = 1.0

_log = logging.getLogger("buvar.fork")


def moments(worker: Worker, policy: Supervision) -> Iterator[float]:
    """When `check`, and the replacement of old workers, have something to do, in monotonic time."""
    if worker.killed:
        return
    if worker.asked:
        limits = [worker.kill_at]
    else:
        limits = [worker.doomed_at or _hangs_at(worker, policy), worker.retire_at, _boots_until(worker, policy)]
    yield from (limit for limit in limits if limit is not None)


def check(worker: Worker, policy: Supervision, now: float) -> None:
    """Kill a worker that is too late, and log why."""
    if worker.killed:
        return
    if worker.asked:
        if _is_over(worker.kill_at, now):
            _log.error("Worker %d did not end in time and is killed", worker.slot)
            worker.kill()
    elif worker.doomed_at is not None:
        if _is_over(worker.doomed_at, now):
            worker.kill()
    elif _is_over(_boots_until(worker, policy), now):
        _log.error("Worker %d was not ready after %g s and is killed", worker.slot, policy.boot_timeout)
        worker.kill()
    elif _is_over(_hangs_at(worker, policy), now):
        _log.error("Worker %d hangs: no sign of life for %g s; it is killed", worker.slot, policy.hang_timeout)
        worker.doomed_at = now + _DOOM
        if SHOW_STACKS is not None:
            worker.send(SHOW_STACKS)


def _is_over(limit: float | None, now: float) -> bool:
    return limit is not None and limit <= now


def _boots_until(worker: Worker, policy: Supervision) -> float | None:
    return None if worker.ready else worker.born + policy.boot_timeout


def _hangs_at(worker: Worker, policy: Supervision) -> float | None:
    if worker.beat is None or policy.hang_timeout is None:
        return None
    return worker.beat + policy.hang_timeout
