"""A run while it is alive: where its function says what happens, and who may still say so."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from binp.operations import as_json, as_text, cut_json, shorten
from binp.store.contract import Ack, AddLabels, AddRecord, EndRun, Run, SetProgress, Store, StoreError, Write

from ._masks import Masks
from ._tracing import Tracing

__all__ = [
    "FIELDS_LIMIT",
    "MESSAGE_LIMIT",
    "Acknowledged",
    "ActiveRun",
    "Kept",
    "current_journal",
    "current_run",
    "entered",
    "now",
    "quiet",
    "quietly",
]

_logger = logging.getLogger("Journals")

#: how many things a thread may say before it waits until they are committed, and the seconds that it waits
_AHEAD, _PATIENCE = 1000, 10.0

#: characters of a line without its end above which it is kept as it is
_LINE = 8192

#: characters of a message, and of a record's fields, above which only their beginning is kept
MESSAGE_LIMIT, FIELDS_LIMIT = 64 * 1024, 256 * 1024

#: the same for a label, and the number of labels above which a run takes no more
_LABEL, _LABELS = 200, 1000

#: the run that the running code belongs to
current_run: contextvars.ContextVar[ActiveRun | None] = contextvars.ContextVar("binp.run", default=None)

#: its id, under the original's name; set together with it
current_journal: contextvars.ContextVar[int | None] = contextvars.ContextVar("binp.journal", default=None)

#: set while the platform itself writes a log line, whose output is not the function's own
quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("binp.quiet", default=False)


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


@contextlib.contextmanager
def entered(run: ActiveRun) -> Iterator[None]:
    """The code inside belongs to *run*."""
    token, token_id = current_run.set(run), current_journal.set(run.id)
    try:
        yield
    finally:
        # a coroutine that is thrown away is closed in another context, where there is nothing to reset
        with contextlib.suppress(ValueError):
            current_run.reset(token)
            current_journal.reset(token_id)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """What the code inside prints is not the run's own."""
    token = quiet.set(True)
    try:
        yield
    finally:
        quiet.reset(token)


class Acknowledged:
    """The acknowledgement of something that needed no write: await it, or leave it."""

    __slots__ = ("_value",)

    def __init__(self, value: Any = False) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._value

    def wait(self, timeout: float | None = None) -> Any:
        """The value at once."""
        return self._value


class Kept:
    """The acknowledgement of something that a run said: await it, or leave it. It never raises.

    History that cannot be written must not break the function that it is about: then this is False, and a warning says
    why.
    """

    __slots__ = ("_ack",)

    def __init__(self, ack: Ack[Any]) -> None:
        self._ack = ack

    def __await__(self) -> Generator[Any, None, bool]:
        try:
            return bool((yield from self._ack.__await__()))
        except StoreError as error:
            return self._lost(error)

    def wait(self, timeout: float | None = None) -> bool:
        """The same for a thread; *timeout* in seconds, then False."""
        try:
            return bool(self._ack.wait(timeout))
        except (StoreError, TimeoutError) as error:
            return self._lost(error)

    def _lost(self, error: Exception) -> bool:
        with quietly():
            _logger.warning("something that a run said is missing in the history: %s", error)
        return False


class ActiveRun:
    """One run that has begun and not ended.

    Its methods may be called from any thread; what they queue keeps its order. After :meth:`close` nothing is written
    any more: the first late call warns, all are ignored. In a forked child nothing is written at all.
    """

    # of the class: what few runs change takes no room in each, of which there may be ten thousand

    #: the innermost function that the platform started this run for; its own journal adopts the run once
    adoptable: Callable[..., Any] | None = None
    cancel_requested = False
    #: its task was cancelled for it, which that task has to be relieved of
    cancel_delivered = False
    #: who or what asked for it to be cancelled
    cancel_reason = "cancelled"
    task: asyncio.Task[Any] | None = None
    #: it waits, and has not been taken
    is_queued = False
    #: there are files among its arguments
    has_files = False
    #: its end, when that is queued
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
        #: it is the life of a service, or belongs to one: it ends when that is stopped, not by itself
        self.in_service = in_service
        #: seconds that a shutdown waits for it; None for as long as for all others
        self.grace = grace
        self.started = time.monotonic_ns()
        #: 1 for the first
        self.attempt = 1 if again is None else again.attempt + 1
        #: the first run of which it is a further attempt
        self.origin = None if again is None else again.origin or again.id
        #: what is kept besides what it says
        self.tracing = tracing or Tracing()
        #: what is masked in all that is kept of it; None for nothing
        self.masks = masks
        self._store = store
        # re-entrant: a finaliser or a signal handler that prints may come in between
        self._order = threading.RLock()
        self._seq = itertools.count(seq + 1)
        self._loop_thread = threading.get_ident()
        self._process = os.getpid()

    def grace_with(self, grace: float | None) -> float | None:
        """Seconds that a shutdown waits for what it started, which would have *grace* alone."""
        return max((one for one in (grace, self.grace) if one is not None), default=None)

    def conceal(self, values: Iterable[Any]) -> None:
        """From here on the secrets in *values* are masked as well."""
        self.masks = Masks.of(tuple(values), self.masks)

    def hide(self, text: str) -> str:
        """*text* without the secrets that it was given."""
        return text if self.masks is None else self.masks.text(text)

    def json_of(self, value: object, limit: int) -> str:
        """JSON of *value* without the secrets that it was given; its beginning where that has more than *limit*."""
        return as_json(value, limit) if self.masks is None else cut_json(self.masks.json(as_json(value)), limit)

    def record(
        self, message: object, fields: dict[str, Any], *, level: str = "info", source: str = "record"
    ) -> Kept | Acknowledged:
        """Keep a line. What *fields* hold that is not JSON is kept as its marked representation."""
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
        """Add labels; those it has already are left alone, and so are new ones behind the thousandth."""
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
        """Say how far it is. What is not a number is left out, with a warning."""
        try:
            done, whole = float(value), None if total is None else float(total)  # type: ignore[arg-type]  # tried out here
        except Exception:  # noqa: BLE001 - a user's object may raise anything; history must not break on it
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
        """Keep what the function prints, a record for each full line; of one that is written over, its last state."""
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
        """Keep a line of output or logging, if there were not too many before: then it is counted."""
        with self._order:
            self._lines += 1
            number = self._lines
        most = self.tracing.lines
        if number <= most:
            self.record(message, fields, level=level, source=source)
        elif number == most + 1 > 1:
            self.record(f"further lines of output and logging are left out: there were {most}", {}, level="warning")

    def close(self) -> None:
        """The function and what was injected into it are done: nothing more is taken from here on."""
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
        """Microseconds since it began."""
        return (time.monotonic_ns() - self.started) // 1000

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel its task, once; one that has not begun, or is tearing down, sees the request by itself."""
        with self._order:
            if self.cancel_requested:
                return
            self.cancel_requested = True
            self.cancel_reason = reason
            task = self.task if self._interruptible else None
            self.cancel_delivered = task is not None
        if task is not None:
            task.cancel()

    def taken(self) -> None:
        """It waited, and has its turn: it begins now, in a new epoch."""
        self.is_queued = False
        self.epoch += 1
        self.started = time.monotonic_ns()

    def expose(self) -> bool:
        """A request to cancel is delivered again. False if there was one in the meantime."""
        with self._order:
            self._interruptible = not self.cancel_requested
            return self._interruptible

    def shield(self) -> bool:
        """From here on a request to cancel is remembered, not delivered. False if one was delivered before."""
        with self._order:
            delivered = self.cancel_requested and self._interruptible and self.task is not None
            self._interruptible = False
        return not delivered

    def _send(self, what: str, subject: object, make: Callable[[], Write]) -> Kept | Acknowledged:
        if os.getpid() != self._process:
            # a forked child: what it prints is its own, and the connection is its parent's
            return Acknowledged()
        with self._order:
            ack = None if self._closed else self._write(make())
            self._sent += 1
            is_ahead = self._sent % _AHEAD == 0 and threading.get_ident() != self._loop_thread
        if ack is None:
            return self._late(what, subject)
        kept = Kept(ack)
        if is_ahead:
            # a thread that says much goes no faster than the disk; the loop must not wait, so there one awaits
            kept.wait(_PATIENCE)
        return kept

    def _write(self, write: Write) -> Ack[Any] | None:
        try:
            return self._store.write(write)
        except StoreError:
            # a thread that could not be stopped goes on behind the end of everything
            return None

    def _late(self, what: str, subject: object) -> Acknowledged:
        # outside of the lock: a log handler may print, and so come back here
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
    """What a terminal would show of a line that writes over itself."""
    return line.rstrip("\r").rpartition("\r")[2]
