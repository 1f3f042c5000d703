"""A run in flight: takes the records, labels and progress of its function until the run is closed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from binp.operations import as_json, as_text, cut_json, shorten
from binp.store.contract import Ack, AddLabels, AddRecord, EndRun, Run, SetProgress, Store, StoreError, Write

from ._kept import Acknowledged, Kept
from ._masks import Masks
from ._quiet import quietly
from ._told import ring
from ._tracing import Tracing

__all__ = [
    "FIELDS_LIMIT",
    "MESSAGE_LIMIT",
    "ActiveRun",
    "current_journal",
    "current_run",
    "entered",
    "now",
]

_logger = logging.getLogger("Journals")

#: after this many writes, a thread waits until they are committed, at most these seconds (back-pressure)
_AHEAD, _PATIENCE = 1000, 10.0

#: longer unfinished lines of output are recorded as they are, in characters
_LINE = 8192

#: longer messages and record fields are truncated, in characters
MESSAGE_LIMIT, FIELDS_LIMIT = 64 * 1024, 256 * 1024

#: maximum length of a label, in characters, and maximum number of labels of a run
_LABEL, _LABELS = 200, 1000

#: the run that the running code belongs to
current_run: contextvars.ContextVar[ActiveRun | None] = contextvars.ContextVar("binp.run", default=None)

#: its id, for compatibility; set together with it
current_journal: contextvars.ContextVar[int | None] = contextvars.ContextVar("binp.journal", default=None)


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


@contextlib.contextmanager
def entered(run: ActiveRun) -> Iterator[None]:
    """Run the block as part of *run*."""
    run.outer = current_run.get()
    token, token_id = current_run.set(run), current_journal.set(run.id)
    try:
        yield
    finally:
        # an abandoned coroutine is closed in another context, where there is nothing to reset
        with contextlib.suppress(ValueError):
            current_run.reset(token)
            current_journal.reset(token_id)


class ActiveRun:
    """One run that has started and not ended.

    Its methods may be called from any thread; writes keep their order. After :meth:`close` nothing is written: the
    first late call logs a warning, and all are ignored. In a forked child nothing is written at all.
    """

    # class-level defaults: there may be ten thousand runs, and few of them change these

    #: the innermost function that the platform started this run for; its own journal adopts the run once
    adoptable: Callable[..., Any] | None = None
    #: it was asked to end
    cancel_requested = False
    #: its attempt has timed out
    is_late = False
    #: its function has asked whether it has to end, and got True
    has_heard = False
    #: the run whose function has called it
    outer: ActiveRun | None = None
    #: its task was cancelled on its behalf, and must be uncancelled
    cancel_delivered = False
    #: why it was cancelled
    cancel_reason = "cancelled"
    task: asyncio.Task[Any] | None = None
    #: it is queued and was not taken yet
    is_queued = False
    #: its arguments contain files
    has_files = False
    #: its end, once that is queued
    end: EndRun | None = None
    _interruptible = True
    _line = ""
    _lines = 0
    _labels: set[str] | None = None
    _closed = False
    _warned = False
    _sent = 0

    def __init__(
        self,
        *,
        store: Store,
        id: int,  # noqa: A002 - the name of the field
        operation: str,
        trigger: str,
        journal: bool,
        epoch: int = 1,
        actor: str | None = None,
        in_service: bool = False,
        seq: int = 0,
        again: Run | None = None,
        tracing: Tracing | None = None,
        masks: Masks | None = None,
        grace: float | None = None,
    ) -> None:
        self.id = id
        self.operation = operation
        self.trigger = trigger
        self.journal = journal
        self.epoch = epoch
        self.actor = actor
        #: it is the run of a service, or was started in one: it ends when the service is stopped
        self.in_service = in_service
        #: seconds that a shutdown waits for it; None for the general setting
        self.grace = grace
        self.started = time.monotonic_ns()
        #: number of the attempt, from 1
        self.attempt = 1 if again is None else again.attempt + 1
        #: id of the first run of which this is a further attempt
        self.origin = None if again is None else again.origin or again.id
        #: what is recorded automatically
        self.tracing = tracing or Tracing()
        #: what is masked in all its records; None for nothing
        self.masks = masks
        self._store = store
        # re-entrant: a finaliser or a signal handler that prints may run in between
        self._order = threading.RLock()
        self._seq = itertools.count(seq + 1)
        self._loop_thread = threading.get_ident()
        self._process = os.getpid()

    def grace_with(self, grace: float | None) -> float | None:
        """Seconds that a shutdown waits for a run that this one has started, and whose own grace is *grace*."""
        return max((one for one in (grace, self.grace) if one is not None), default=None)

    def conceal(self, values: Iterable[Any]) -> None:
        """Mask the secrets in *values* as well from here on."""
        self.masks = Masks.of(tuple(values), self.masks)

    def hide(self, text: str) -> str:
        """*text* with the run's secrets masked."""
        return text if self.masks is None else self.masks.text(text)

    def json_of(self, value: object, limit: int) -> str:
        """*value* as JSON with the run's secrets masked; truncated to *limit* characters."""
        return as_json(value, limit) if self.masks is None else cut_json(self.masks.json(as_json(value)), limit)

    def record(
        self, message: object, fields: dict[str, Any], *, level: str = "info", source: str = "record"
    ) -> Kept | Acknowledged:
        """Add a record. Values in *fields* that are not JSON are stored as their marked ``repr``."""
        text = self.hide(message if isinstance(message, str) else "" if message is None else as_text(message))
        encoded = self.json_of(fields, FIELDS_LIMIT) if fields else None
        return self._send(
            "record",
            text,
            lambda: AddRecord(
                run=self.id,
                epoch=self.epoch,
                seq=next(self._seq),
                at=now(),
                level=level,
                source=source,
                message=shorten(text, MESSAGE_LIMIT),
                fields=encoded,
                journal=self.journal,
            ),
        )

    def label(self, labels: tuple[str, ...]) -> Kept | Acknowledged:
        """Add labels. Existing ones are ignored, and so are new ones above the limit of a thousand."""
        given = [shorten(self.hide(as_text(label)), _LABEL) for label in labels]
        with self._order:
            kept = self._labels = self._labels or set()
            room = _LABELS - len(kept)
            new = [text for text in dict.fromkeys(given) if text not in kept]
            kept.update(new[:room])
            texts = tuple(text for text in given if text in kept)
        if len(new) > room:
            with quietly():
                _logger.warning("run %s of %r has %s labels: it gets no more", self.id, self.operation, _LABELS)
        return self._send(
            "labels", texts, lambda: AddLabels(run=self.id, epoch=self.epoch, labels=texts, journal=self.journal)
        )

    def progress(self, value: object, total: object, message: object) -> Kept | Acknowledged:
        """Report the progress. Values that are not numbers are ignored with a warning."""
        try:
            done, whole = float(value), None if total is None else float(total)  # type: ignore[arg-type]  # tried out here
        except Exception:  # noqa: BLE001 - a user's object may raise anything; recording must not fail on it
            with quietly():
                _logger.warning("progress %.100r of %.100r is not kept: these are not numbers", value, total)
            return Acknowledged()
        text = None if message is None else shorten(self.hide(as_text(message)), MESSAGE_LIMIT)
        return self._send(
            "progress",
            value,
            lambda: SetProgress(
                run=self.id, epoch=self.epoch, value=done, total=whole, message=text, journal=self.journal
            ),
        )

    def output(self, text: str) -> None:
        """Record printed text, one record per complete line; of a line that overwrites itself, its last state."""
        with self._order:
            if self._closed or os.getpid() != self._process:
                return
            *lines, rest = (self._line + text).split("\n")
            if len(rest) > _LINE:
                lines.append(rest)
                rest = ""
            self._line = _last_state(rest) + "\r" * rest.endswith("\r")
        for line in lines:
            self.said(_last_state(line), {}, source="print")

    def said(self, message: str, fields: dict[str, Any], *, level: str = "info", source: str) -> None:
        """Record a line of output or logging; above the limit, lines are only counted."""
        with self._order:
            self._lines += 1
            number = self._lines
        most = self.tracing.lines
        if number <= most:
            self.record(message, fields, level=level, source=source)
        elif number == most + 1 > 1:
            self.record(f"further lines of output and logging are left out: there were {most}", {}, level="warning")

    def close(self) -> None:
        """Stop recording: the function has ended, and its injected objects are torn down."""
        with self._order:
            rest, self._line = self._line, ""
        if rest:
            self.said(_last_state(rest), {}, source="print")
        left = self._lines - self.tracing.lines
        if left > 0 and self.tracing.lines:
            self._lines = 0
            self.record(f"{left} more lines of output and logging were left out", {}, level="warning")
        with self._order:
            self._closed = True

    @property
    def duration(self) -> int:
        """Microseconds since it started."""
        return (time.monotonic_ns() - self.started) // 1000

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel its task, once; a run that has not started, or is tearing down, checks the request itself."""
        with self._order:
            if self.cancel_requested:
                return
            self.cancel_requested = True
            self.cancel_reason = reason
            task = self.task if self._interruptible else None
            self.cancel_delivered = task is not None
        ring()
        if task is not None:
            task.cancel()

    def taken(self) -> None:
        """It is no longer queued: it starts now, in a new epoch."""
        self.is_queued = False
        self.epoch += 1
        self.started = time.monotonic_ns()

    def expose(self) -> bool:
        """Deliver cancellations again. False if one was requested meanwhile."""
        with self._order:
            self._interruptible = not self.cancel_requested
            return self._interruptible

    def shield(self) -> bool:
        """Remember cancellations from here on instead of delivering them. False if one was delivered before."""
        with self._order:
            delivered = self.cancel_requested and self._interruptible and self.task is not None
            self._interruptible = False
        return not delivered

    def _send(self, what: str, subject: object, make: Callable[[], Write]) -> Kept | Acknowledged:
        if os.getpid() != self._process:
            # a forked child: its output is its own, and the connection belongs to its parent
            return Acknowledged()
        with self._order:
            ack = None if self._closed else self._write(make())
            self._sent += 1
            is_ahead = self._sent % _AHEAD == 0 and threading.get_ident() != self._loop_thread
        if ack is None:
            return self._late(what, subject)
        kept = Kept(ack)
        if is_ahead:
            # back-pressure: a thread writes no faster than the disk. The event loop must not block; async code awaits
            # instead
            kept.wait(_PATIENCE)
        return kept

    def _write(self, write: Write) -> Ack[Any] | None:
        try:
            return self._store.write(write)
        except StoreError:
            # a thread that could not be stopped is still running after the shutdown
            return None

    def _late(self, what: str, subject: object) -> Acknowledged:
        # without the lock: a log handler may print, and so call this again
        if not self._warned:
            self._warned = True
            with quietly():
                _logger.warning(
                    "%s %.200r came after run %s of %r had ended: nothing is kept",
                    what,
                    subject,
                    self.id,
                    self.operation,
                )
        return Acknowledged()


def _last_state(line: str) -> str:
    """What a terminal would show of a line that overwrites itself."""
    return line.rstrip("\r").rpartition("\r")[2]
