"""Work out the effect of a batch of writes in memory, one after the other, and write it to the file in bulk.

Only the writer changes the file, so what it has read at the beginning of a transaction stays true until its end. So
each write can be decided by itself (is the run still open, and in which epoch?), although all of them are written
together, with one statement per table.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from binp.store.contract import (
    FINISHED,
    AddLabels,
    AddRecord,
    BeginRun,
    Change,
    EndRun,
    KeepStep,
    MoveSchedule,
    Once,
    PauseSchedule,
    PutKey,
    RemoveKeys,
    RequestCancel,
    SetDesired,
    SetKeys,
    SetObserved,
    SetProgress,
    State,
    TakeRun,
    Write,
    Written,
)

from ._file import File
from ._key_rows import KEY_KINDS, Key, Keys
from ._open_run import CODES, OpenRun
from ._run_rows import Runs
from ._text import clean_name, clean_text, finite

__all__ = ["Batch"]

#: creates a change from its fields; there is at least one for each write
_change: Callable[[tuple[Any, ...]], Change] = functools.partial(tuple.__new__, Change)

_kind_of = operator.attrgetter("kind")

_QUEUED, _INTERRUPTED = CODES[State.QUEUED], CODES[State.INTERRUPTED]


class Batch:
    """The writes of one transaction.

    Args:
        file: The file; a transaction is open.
        seq: Number of the last change so far.
        writes: All of them.
        now: Microseconds since the epoch; keys expired by then do not exist.
    """

    def __init__(self, file: File, seq: int, writes: Sequence[Write], now: int) -> None:
        self._file = file
        self._seq = seq
        self._writes = writes
        self._runs = Runs(file, writes)
        self._keys = Keys(file, now)
        #: the changes to report after the commit
        self.changes: list[Change] = []

    def apply(self) -> list[Any]:
        """Apply all writes in order; returns the result of each."""
        if not KEY_KINDS.isdisjoint(map(_kind_of, self._writes)):
            self._keys.load(self._writes)
        handlers = self._HANDLERS
        results = [handlers[write.kind](self, write) for write in self._writes]
        self._runs.store()
        self._keys.store()
        return results

    def _tell(self, topic: str, id: int | str, rev: int, journal: bool = False) -> None:  # noqa: A002 - fields of Change
        self._seq = seq = self._seq + 1
        self.changes.append(_change((seq, topic, id, rev, journal)))

    def _tell_run(self, run: OpenRun) -> None:
        run.rev = rev = run.rev + 1
        self._seq = seq = self._seq + 1
        self.changes.append(_change((seq, "run", run.id, rev, run.journaled)))

    def _begin(self, write: BeginRun) -> bool:
        if self._runs.find(write.id) is None:
            if write.once is not None and not self._is_first(write.once, write.at, write.id):
                return False
            run = self._runs.begin(write)
            if write.reason is not None:
                self._runs.record(run, AddRecord(run=run.id, seq=1, at=write.at, message=write.reason))
            self._tell("run", run.id, run.rev, run.journaled)
        return True

    def _is_first(self, key: str, at: int, run: int | None) -> bool:
        return self._file.run("once", (clean_name(key), at, run)).rowcount == 1

    def _take(self, write: TakeRun) -> bool:
        run = self._runs.find(write.id)
        if run is None or run.state != _QUEUED:
            return False
        if write.orphaned and not self._runs.is_orphaned(run):
            return False
        if run.slot is not None and write.places is not None and not self._runs.has_room(run.slot, write.places):
            return False
        self._runs.take(run, write)
        self._tell_run(run)
        return True

    def _record(self, write: AddRecord) -> bool:
        run = self._runs.held(write.run, write.epoch)
        if run is None:
            return False
        self._runs.record(run, write)
        self._seq = seq = self._seq + 1
        self.changes.append(_change((seq, "record", run.id, write.seq, run.journaled)))
        return True

    def _labels(self, write: AddLabels) -> bool:
        run = self._runs.held(write.run, write.epoch)
        if run is None:
            return False
        if self._runs.label(run, write.labels):
            self._tell_run(run)
        return True

    def _progress(self, write: SetProgress) -> bool:
        run = self._runs.held(write.run, write.epoch)
        if run is None:
            return False
        self._runs.move(run, finite(write.value), finite(write.total), write.message)
        self._tell_run(run)
        return True

    def _end(self, write: EndRun) -> bool:
        if write.state not in FINISHED:
            raise ValueError(f"a run cannot end as {write.state!r}")
        run = self._runs.held(write.id, write.epoch)
        if run is None:
            return False
        had_place = run.slot is not None and run.is_running
        self._runs.end(run, write)
        self._tell_run(run)
        if had_place and run.slot is not None:
            self._tell("slot", run.slot, run.rev)
        return True

    def _step(self, write: KeepStep) -> bool:
        run = self._runs.held(write.run, write.epoch)
        if run is None:
            return False
        row = (write.origin, clean_name(write.name), clean_text(write.result), write.run, write.at)
        self._file.run("keep_step", row)
        return True

    def _cancel(self, write: RequestCancel) -> bool:
        run = self._runs.find(write.id)
        if run is None or run.is_finished:
            return False
        asked_before = run.cancelled_at is not None
        if not asked_before:
            self._runs.ask_to_cancel(run, write.at, write.actor)
        if run.state == _QUEUED:
            duration = max(0, write.at - run.started)
            self._runs.end(
                run,
                EndRun(id=run.id, state=State.CANCELLED, at=write.at, duration=duration, error="cancelled"),
            )
        if not asked_before:
            self._tell_run(run)
        # repeated for each request: the holder may have missed the first one
        self._tell("cancel", run.id, run.rev, run.journaled)
        return True

    def _is_fenced(self, run: int | None, epoch: int | None) -> bool:
        held = None if run is None else self._runs.find(run)
        if held is None:
            return False
        return held.state == _INTERRUPTED or (epoch is not None and epoch < held.epoch)

    def _set_keys(self, write: SetKeys) -> bool:
        if self._is_fenced(write.run, write.epoch):
            return False
        for name, value in write.items:
            key = self._present(write.namespace, name)
            self._keys.put(key, value, write)
            self._tell_key(key)
        return True

    def _remove_keys(self, write: RemoveKeys) -> bool:
        if self._is_fenced(write.run, write.epoch):
            return False
        for name in write.keys:
            key = self._present(write.namespace, name)
            if key.exists:
                self._keys.remove(key, write)
                self._tell_key(key)
        return True

    def _put_key(self, write: PutKey) -> Written | bool:
        if self._is_fenced(write.run, write.epoch):
            return False
        key = self._present(write.namespace, write.key)
        version = key.version if key.exists else 0
        if write.expected is not None and write.expected != version:
            return Written(is_done=False, version=version)
        if write.value is not None:
            expires = key.expires if write.keeps_expiry and key.exists else write.expires
            self._keys.put(key, write.value, write, expires)
        elif key.exists:
            self._keys.remove(key, write)
        else:
            return Written(is_done=True, version=0)
        self._tell_key(key)
        return Written(is_done=True, version=key.version)

    def expire(self, names: Sequence[tuple[str, str]]) -> None:
        """Remove those of the keys *names*, pairs of namespace and name, that have expired."""
        self._keys.load_names(names)
        for namespace, name in names:
            self._present(namespace, name)
        self._keys.store()

    def _present(self, namespace: str, name: str) -> Key:
        """The present key: an expired one is removed before anything else happens to it."""
        key = self._keys.find(namespace, name)
        if self._keys.expire(key):
            self._tell_key(key)
        return key

    def _tell_key(self, key: Key) -> None:
        self._tell("kv", f"{key.namespace}/{key.name}", key.version)

    def _want(self, write: SetDesired) -> bool:
        name = clean_name(write.name)
        actor = None if write.actor is None else clean_name(write.actor)
        given = {"name": name, "running": int(write.running), "actor": actor, "at": write.at, "wish": write.wish}
        (rev,) = self._file.one("want_service", {**given, "obeyed": int(write.obeyed)})
        self._tell("desired", name, rev)
        return True

    def _see(self, write: SetObserved) -> bool:
        name = clean_name(write.name)
        seen = (name, clean_name(write.status), write.obeyed, clean_name(write.node), write.at)
        (rev,) = self._file.one("see_service", seen)
        self._tell("service", name, rev)
        return True

    def _pause(self, write: PauseSchedule) -> bool:
        name = clean_name(write.name)
        actor = None if write.actor is None else clean_name(write.actor)
        given = {"name": name, "paused": int(write.paused), "actor": actor, "at": write.at}
        self._tell("schedule", name, self._file.one("pause_schedule", given)[0])
        return True

    def _move(self, write: MoveSchedule) -> bool:
        name = clean_name(write.name)
        given = {"name": name, "spec": clean_name(write.spec), "until": write.until, "at": write.at}
        self._tell("schedule", name, self._file.one("move_schedule", given)[0])
        return True

    def _once(self, write: Once) -> bool:
        return self._is_first(write.key, write.at, None)

    _HANDLERS: ClassVar[dict[str, Callable[[Batch, Any], Any]]] = {
        BeginRun.kind: _begin,
        TakeRun.kind: _take,
        AddRecord.kind: _record,
        AddLabels.kind: _labels,
        SetProgress.kind: _progress,
        EndRun.kind: _end,
        KeepStep.kind: _step,
        RequestCancel.kind: _cancel,
        SetKeys.kind: _set_keys,
        PutKey.kind: _put_key,
        RemoveKeys.kind: _remove_keys,
        SetDesired.kind: _want,
        SetObserved.kind: _see,
        PauseSchedule.kind: _pause,
        MoveSchedule.kind: _move,
        Once.kind: _once,
    }
