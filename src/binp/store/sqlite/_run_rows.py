"""The runs that a batch touches, held in memory from its beginning to its end."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from binp.store.contract import (
    FINISHED,
    AddLabels,
    AddRecord,
    BeginRun,
    EndRun,
    KeepStep,
    RemoveKeys,
    RequestCancel,
    SetKeys,
    SetProgress,
    State,
    TakeRun,
    Write,
)

from ._file import File
from ._text import clean, clean_name, clean_text

__all__ = ["CODES", "STATES", "OpenRun", "Runs"]

#: states by the number that stands for them in the file
STATES = (
    State.QUEUED,
    State.RUNNING,
    State.SUCCEEDED,
    State.FAILED,
    State.CANCELLED,
    State.INTERRUPTED,
    State.SKIPPED,
)
CODES = {state: code for code, state in enumerate(STATES)}

#: how to find the run that a write is about, by its kind: this is asked for every single write
_RUN_OF: dict[str, Callable[[Any], int | None]] = {
    **{
        kind.kind: operator.attrgetter("run")
        for kind in (AddRecord, AddLabels, SetProgress, KeepStep, SetKeys, RemoveKeys)
    },
    **{kind.kind: operator.attrgetter("id") for kind in (BeginRun, TakeRun, EndRun, RequestCancel)},
}


@dataclass(slots=True)
class OpenRun:
    """What decides on writes to a run, and what they made of it."""

    id: int
    state: State
    epoch: int
    rev: int
    records: int
    labels: list[str]
    cancelled_at: int | None
    journaled: bool
    started: int
    #: process that holds it, or queued it
    node: str
    slot: str | None = None
    #: it is running in its slot as far as the file knows
    has_place: bool = False
    #: who asked for it to be cancelled
    cancelled_by: str | None = None
    #: it is not in the file yet
    begun: BeginRun | None = None
    taken: TakeRun | None = None
    ended: EndRun | None = None
    #: value, total, message
    moved: tuple[float | None, float | None, str | None] | None = None
    touched: bool = False

    @property
    def is_finished(self) -> bool:
        """It has ended, in the file or in this batch."""
        return self.state in FINISHED


class Runs:
    """The runs of a batch, and what is written to them."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._runs: dict[int, OpenRun] = {}
        self._records: list[tuple[int, AddRecord]] = []
        self._labels: list[tuple[str, int]] = []

    def load(self, writes: Sequence[Write]) -> None:
        """Read what the file has of the runs that *writes* are about."""
        newest = self._file.newest
        wanted = set()
        for write in writes:
            run_of = _RUN_OF.get(write.kind)
            run = None if run_of is None else run_of(write)
            # a new run is not in the file, and that is known without looking
            if run is not None and run <= newest:
                wanted.add(run)
        if not wanted:
            return
        rows = self._file.ask("load_runs", list(wanted))
        for id, state, epoch, rev, records, labels, cancelled_at, journaled, started, slot, node in rows:  # noqa: A001 - the column
            self._runs[id] = OpenRun(
                id=id,
                state=STATES[state],
                epoch=epoch,
                rev=rev,
                records=records,
                labels=orjson.loads(labels) if labels else [],
                cancelled_at=cancelled_at,
                journaled=bool(journaled),
                started=started,
                node=node,
                slot=slot,
                has_place=slot is not None and STATES[state] is State.RUNNING,
            )

    def find(self, id: int) -> OpenRun | None:  # noqa: A002 - the id of a run is called so everywhere
        """The run *id*, or None."""
        return self._runs.get(id)

    def held(self, id: int, epoch: int) -> OpenRun | None:  # noqa: A002 - the id of a run is called so everywhere
        """The run *id* if it is open and nobody holds it in a newer epoch."""
        run = self._runs.get(id)
        if run is None or run.epoch > epoch or run.state in FINISHED:
            return None
        return run

    def begin(self, write: BeginRun) -> OpenRun:
        """A new run."""
        run = OpenRun(
            id=write.id,
            state=State(write.state),
            epoch=write.epoch,
            rev=1,
            records=0,
            labels=[],
            cancelled_at=None,
            journaled=write.journal is not None,
            started=write.at,
            node=clean_name(write.node),
            slot=None if write.slot is None else clean_name(write.slot),
            begun=write,
        )
        self._runs[run.id] = run
        self.label(run, write.labels)
        if run.is_finished:
            # by a rule, before it ran
            self.end(run, EndRun(id=run.id, state=run.state, at=write.at, duration=0))
        return run

    def take(self, run: OpenRun, write: TakeRun) -> None:
        """*run* is held by a process from here on."""
        run.state, run.epoch, run.started, run.taken = State.RUNNING, run.epoch + 1, write.at, write

    def has_room(self, slot: str, places: int) -> bool:
        """Whether fewer than *places* runs are running in *slot*."""
        inside = len(self._file.run("get_slot", (slot,)).fetchall())
        for run in self._runs.values():
            if run.slot == slot:
                # what this batch has changed is not in the file yet
                inside += (run.state is State.RUNNING) - run.has_place
        return inside < places

    def is_orphaned(self, run: OpenRun) -> bool:
        """Whether the process that queued *run* is gone."""
        (is_here,) = self._file.one("is_here", (run.node,))
        return run.begun is None and not is_here

    def record(self, run: OpenRun, write: AddRecord) -> None:
        """A line of *run*."""
        run.records += 1
        run.touched = True
        self._records.append((run.id, write))

    def label(self, run: OpenRun, labels: Sequence[str]) -> bool:
        """Labels of *run*; whether any of them is new."""
        new = [label for label in dict.fromkeys(map(clean_name, labels)) if label not in run.labels]
        run.labels.extend(new)
        run.touched = True
        self._labels.extend((label, run.id) for label in new)
        return bool(new)

    def move(self, run: OpenRun, value: float | None, total: float | None, message: str | None) -> None:
        """How far *run* is."""
        run.moved = (value, total, None if message is None else clean_text(message))
        run.touched = True

    def ask_to_cancel(self, run: OpenRun, at: int, actor: str | None) -> None:
        """Somebody wants *run* to be cancelled."""
        run.cancelled_at = at
        run.cancelled_by = None if actor is None else clean_name(actor)
        run.touched = True

    def end(self, run: OpenRun, write: EndRun) -> None:
        """The end of *run*."""
        run.state = State(write.state)
        run.ended = write
        run.touched = True

    def store(self) -> None:
        """Put it all into the file."""
        runs = self._runs.values()
        names = self._file.names(self._texts())
        new = [self._new_row(run, names) for run in runs if run.begun is not None]
        if new:
            self._file.bulk("insert_runs", new)
            self._file.newest = max(self._file.newest, *(row[0] for row in new))
        rows: list[Any] = [
            (
                run.id,
                run.rev,
                run.records,
                _labels_text(run.labels),
                run.cancelled_at,
                None if run.cancelled_by is None else names[run.cancelled_by],
            )
            for run in runs
            if run.touched and run.ended is None and (run.begun is None or run.cancelled_at is not None)
        ]
        if rows:
            self._file.bulk("touch_runs", rows)
        rows = [(run.id, *run.moved) for run in runs if run.moved is not None]
        if rows:
            self._file.bulk("move_runs", rows)
        rows = [
            (run.id, names[clean_name(run.taken.node)], run.taken.at, run.epoch, run.rev)
            for run in runs
            if run.taken is not None
        ]
        if rows:
            self._file.bulk("take_runs", rows)
        rows = [self._end_row(run, run.ended, names) for run in runs if run.ended is not None]
        if rows:
            self._file.bulk("end_runs", rows)
        if self._labels:
            labels = self._file.labels({label for label, _ in self._labels})
            self._file.bulk("insert_labels", [(labels[label], run) for label, run in self._labels])
        self._store_records(names)

    def _texts(self) -> set[str]:
        said = {record.level for _, record in self._records} | {record.source for _, record in self._records}
        texts = set(map(clean_name, said))
        for run in self._runs.values():
            begun = run.begun
            if begun is not None:
                texts.update(
                    clean_name(text) for text in (begun.operation, begun.description, begun.trigger, begun.node)
                )
                texts.update(
                    clean_name(text) for text in (begun.journal, begun.actor, begun.version) if text is not None
                )
            if run.taken is not None:
                texts.add(clean_name(run.taken.node))
            if run.cancelled_by is not None:
                texts.add(run.cancelled_by)
        return texts

    def _new_row(self, run: OpenRun, names: dict[str, int]) -> tuple[Any, ...]:
        begun = run.begun
        assert begun is not None  # noqa: S101 - only asked for new runs

        def named(text: str | None) -> int | None:
            return None if text is None else names[clean_name(text)]

        return (
            run.id,
            named(begun.operation),
            named(begun.journal),
            named(begun.description),
            CODES[run.state],
            named(begun.trigger),
            named(begun.actor),
            begun.parent,
            begun.attempt,
            begun.epoch,
            named(begun.node),
            named(begun.version),
            begun.at,
            run.records,
            run.rev,
            _labels_text(run.labels),
            None if begun.arguments is None else clean_text(begun.arguments),
            begun.due,
            begun.origin,
            run.slot,
        )

    def _end_row(self, run: OpenRun, ended: EndRun, names: dict[str, int]) -> tuple[Any, ...]:
        return (
            run.id,
            CODES[run.state],
            ended.at,
            ended.duration,
            None if ended.result is None else clean_text(ended.result),
            None if ended.error_type is None else clean_text(ended.error_type),
            None if ended.error is None else clean_text(ended.error),
            None if ended.traceback is None else clean_text(ended.traceback),
            run.rev,
            run.records,
            _labels_text(run.labels),
            run.cancelled_at,
            None if run.cancelled_by is None else names[run.cancelled_by],
            ended.attempt,
        )

    def _store_records(self, names: dict[str, int]) -> None:
        whole: list[Any] = []
        torn: list[Any] = []
        for run, record in self._records:
            message = clean(record.message)
            row = (
                run,
                record.seq,
                record.at,
                names[clean_name(record.level)],
                names[clean_name(record.source)],
                message,
                None if record.fields is None else clean_text(record.fields),
            )
            # SQLite cuts a text at a NUL that comes to it in JSON
            (torn if "\0" in message else whole).append(row)
        kept = 0
        if whole:
            kept = self._file.bulk("insert_records", whole).rowcount
        for row in torn:
            kept += self._file.run("insert_record", row).rowcount
        if kept != len(self._records):
            # some were there before
            self._file.bulk("count_records", list({run for run, _ in self._records}))


def _labels_text(labels: list[str]) -> str | None:
    return orjson.dumps(labels).decode() if labels else None
