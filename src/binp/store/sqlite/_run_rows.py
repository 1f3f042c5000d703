"""The runs that a batch uses: their state in memory, and the resulting rows."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from binp.store.contract import (
    AddLabels,
    AddRecord,
    BeginRun,
    EndRun,
    KeepStep,
    PutKey,
    RemoveKeys,
    RequestCancel,
    SetKeys,
    SetProgress,
    State,
    TakeRun,
    Write,
)

from ._file import File
from ._open_run import CODES, OpenRun
from ._text import clean, clean_name, clean_text

__all__ = ["Runs"]

#: by kind of write, how to get the id of its run
_RUN_OF: dict[str, Callable[[Any], int | None]] = {
    **{
        kind.kind: operator.attrgetter("run")
        for kind in (AddRecord, AddLabels, SetProgress, KeepStep, SetKeys, PutKey, RemoveKeys)
    },
    **{kind.kind: operator.attrgetter("id") for kind in (BeginRun, TakeRun, EndRun, RequestCancel)},
}

_RUNNING, _SUCCEEDED = CODES[State.RUNNING], CODES[State.SUCCEEDED]

#: maximum number of runs to cache
_REMEMBERED = 20_000

#: columns of a row of "insert_records"
_RECORD_COLUMNS = 7


class Runs:
    """The runs of a batch, and the writes to them.

    Open runs are cached between batches, so that the file is only read for those that were not used for long.

    Args:
        file: The file.
        writes: The whole batch.
    """

    def __init__(self, file: File, writes: Sequence[Write]) -> None:
        self._file = file
        self._writes = writes
        self._known = file.runs
        self._is_loaded = False
        self._changed: list[OpenRun] = []
        #: loaded runs that had ended before
        self._past: list[int] = []
        #: columns of the new records, concatenated
        self._records: list[Any] = []
        #: by how much the number of runs of each label grows
        self._labels: Counter[str] = Counter()

    def find(self, id: int) -> OpenRun | None:  # noqa: A002 - the id of a run is called so everywhere
        """The run *id*, or None."""
        run = self._known.get(id)
        # a new run cannot be in the file
        if run is None and id <= self._file.newest and not self._is_loaded:
            self._load()
            run = self._known.get(id)
        return run

    def held(self, id: int, epoch: int) -> OpenRun | None:  # noqa: A002 - the id of a run is called so everywhere
        """The run *id*, if it is open and not held in a newer epoch."""
        run = self._known.get(id) or self.find(id)
        if run is None or run.epoch > epoch or run.state >= _SUCCEEDED:
            return None
        return run

    def begin(self, write: BeginRun) -> OpenRun:
        """Create a run."""
        state = CODES.get(write.state)
        if state is None:
            raise ValueError(f"a run cannot begin as {write.state!r}")
        run = OpenRun(
            write.id,
            state,
            write.epoch,
            1,
            0,
            [],
            None,
            write.journal is not None,
            write.at,
            clean_name(write.node),
            None if write.slot is None else clean_name(write.slot),
        )
        run.begun = write
        run.changed = True
        self._known[run.id] = run
        self._changed.append(run)
        if write.labels:
            self.label(run, write.labels)
        if run.is_finished:
            # a rule prevented its start
            self.end(run, EndRun(id=run.id, state=write.state, at=write.at, duration=0, error=write.reason))
        return run

    def take(self, run: OpenRun, write: TakeRun) -> None:
        """*run* is held by a process from now on."""
        self._touch(run)
        run.state, run.epoch, run.started, run.taken = _RUNNING, run.epoch + 1, write.at, write
        run.node = clean_name(write.node)

    def has_room(self, slot: str, places: int) -> bool:
        """Whether fewer than *places* runs are running in *slot*."""
        inside: int = self._file.one("count_slot", (slot,))[0]
        for run in self._changed:
            if run.slot == slot:
                # the changes of this batch are not in the file yet
                inside += run.is_running - run.has_place
        return inside < places

    def is_orphaned(self, run: OpenRun) -> bool:
        """Whether the process that queued *run* is gone."""
        (is_here,) = self._file.one("is_here", (run.node,))
        return run.begun is None and not is_here

    def record(self, run: OpenRun, write: AddRecord) -> None:
        """Add a record to *run*."""
        if not run.changed:
            self._touch(run)
        run.records += 1
        message, fields = write.message, write.fields
        self._records += (
            run.id,
            write.seq,
            write.at,
            *self._file.names((write.level, write.source)),
            message if message.isascii() else clean(message),
            fields if fields is None or (fields.isascii() and "\0" not in fields) else clean_text(fields),
        )

    def label(self, run: OpenRun, labels: Sequence[str]) -> bool:
        """Add labels to *run*; returns whether any of them is new."""
        new = [label for label in dict.fromkeys(map(clean_name, labels)) if label not in run.labels]
        if new:
            self._touch(run)
            run.labels += new
            self._labels.update(new)
        return bool(new)

    def move(self, run: OpenRun, value: float | None, total: float | None, message: str | None) -> None:
        """Set the progress of *run*."""
        self._touch(run)
        run.moved = (value, total, None if message is None else clean_text(message))

    def ask_to_cancel(self, run: OpenRun, at: int, actor: str | None) -> None:
        """Note a request to cancel *run*."""
        self._touch(run)
        run.cancelled_at = at
        run.cancelled = (None if actor is None else clean_name(actor),)

    def end(self, run: OpenRun, write: EndRun) -> None:
        """End *run*."""
        self._touch(run)
        run.state = CODES[write.state]
        run.ended = write

    def store(self) -> None:
        """Write all changes to the file."""
        if self._changed:
            self._store_changed()
        self._forget()

    def _store_changed(self) -> None:
        file = self._file
        begun: list[Any] = []
        whole: list[Any] = []
        ended: list[Any] = []
        rest: list[OpenRun] = []
        for run in self._changed:
            if run.begun is not None:
                file.newest = max(file.newest, run.id)
                if run.ended is not None and run.taken is None:
                    whole += self._new_row(run, run.begun, run.ended.attempt)
                    whole += _end_columns(run.ended)
                else:
                    begun += self._new_row(run, run.begun)
                    if run.ended is not None:
                        ended += _end_row(run, run.ended)
            elif run.ended is not None:
                ended += _end_row(run, run.ended)
            else:
                rest.append(run)
        file.put("begin_runs", begun)
        file.put("insert_runs", whole)
        if rest:
            file.bulk("touch_runs", [(run.id, run.rev, run.records, _labels_text(run.labels)) for run in rest])
        self._store_rare()
        file.put("end_runs", ended)
        if self._labels:
            labels = file.labels(set(self._labels))
            file.bulk("count_labels", [(labels[label], runs) for label, runs in self._labels.items()])
        self._store_records()

    def _load(self) -> None:
        """Read the runs of this batch that are not cached."""
        self._is_loaded = True
        newest, known = self._file.newest, self._known
        wanted = set()
        for write in self._writes:
            run_of = _RUN_OF.get(write.kind)
            id = None if run_of is None else run_of(write)  # noqa: A001 - the id of a run is called so everywhere
            if id is not None and id <= newest and id not in known:
                wanted.add(id)
        for row in self._file.ask("load_runs", list(wanted)):
            id, state, epoch, rev, records, labels, cancelled_at, journaled, started, slot, node = row  # noqa: A001 - the same
            known[id] = run = OpenRun(
                id,
                state,
                epoch,
                rev,
                records,
                orjson.loads(labels) if labels else [],
                cancelled_at,
                bool(journaled),
                started,
                node,
                slot,
                has_place=slot is not None and state == _RUNNING,
            )
            if run.is_finished:
                self._past.append(id)

    def _touch(self, run: OpenRun) -> None:
        if not run.changed:
            run.changed = True
            self._changed.append(run)

    def _store_rare(self) -> None:
        rare = [run for run in self._changed if run.taken or run.moved or run.cancelled]
        if not rare:
            return
        file = self._file
        rows: list[Any] = [(run.id, *run.moved) for run in rare if run.moved]
        if rows:
            file.bulk("move_runs", rows)
        rows = [(run.id, run.cancelled_at, *file.names(run.cancelled)) for run in rare if run.cancelled]
        if rows:
            file.bulk("cancel_runs", rows)
        rows = [(run.id, *file.names((run.taken.node,)), run.taken.at, run.epoch, run.rev) for run in rare if run.taken]
        if rows:
            file.bulk("take_runs", rows)

    def _store_records(self) -> None:
        records = self._records
        kept = self._file.put("insert_records", records)
        if kept * _RECORD_COLUMNS != len(records):
            # some records existed already: count them
            counted = list(set(records[::_RECORD_COLUMNS]))
            self._file.bulk("count_records", counted)
            self._past += counted

    def _forget(self) -> None:
        """Drop ended runs from the cache; drop everything if the cache is too large."""
        known = self._known
        for run in self._changed:
            if run.is_finished:
                known.pop(run.id, None)
            else:
                run.settle()
        for id in self._past:  # noqa: A001 - the id of a run is called so everywhere
            known.pop(id, None)
        if len(known) > _REMEMBERED:
            known.clear()

    def _new_row(self, run: OpenRun, begun: BeginRun, attempt: int | None = None) -> tuple[Any, ...]:
        names = self._file.names(
            (
                begun.operation,
                begun.journal,
                begun.description,
                begun.trigger,
                begun.actor,
                begun.node,
                begun.version,
            )
        )
        return (
            run.id,
            *names,
            run.state,
            begun.parent,
            attempt or begun.attempt,
            begun.epoch,
            begun.at,
            run.records,
            run.rev,
            _labels_text(run.labels),
            None if begun.arguments is None else clean_text(begun.arguments),
            begun.due,
            begun.origin,
            run.slot,
        )


def _end_row(run: OpenRun, ended: EndRun) -> tuple[Any, ...]:
    return (
        run.id,
        run.state,
        run.rev,
        run.records,
        _labels_text(run.labels),
        ended.attempt or 0,
        *_end_columns(ended),
    )


def _end_columns(ended: EndRun) -> tuple[Any, ...]:
    result, traceback = ended.result, ended.traceback
    return (
        ended.at,
        ended.duration,
        None if result is None else clean_text(result),
        None if ended.error_type is None else clean_text(ended.error_type),
        None if ended.error is None else clean_text(ended.error),
        None if traceback is None else clean_text(traceback),
    )


def _labels_text(labels: list[str]) -> str | None:
    return orjson.dumps(labels).decode() if labels else None
