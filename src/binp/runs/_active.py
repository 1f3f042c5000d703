"""A run while it is alive: where its function says what happens, and who may still say so."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from binp.operations import as_json, as_text
from binp.store.contract import Ack, AddLabels, AddRecord, SetProgress, Store, Write

__all__ = ["Acknowledged", "ActiveRun", "current_journal", "current_run", "entered", "now", "quiet", "quietly"]

_logger = logging.getLogger("Journals")

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


class ActiveRun:
    """One run that has begun and not ended.

    Its methods may be called from any thread; what they queue keeps its order. After :meth:`close` nothing is written
    any more: the first late call warns, all are ignored.
    """

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
    ) -> None:
        self.id = id
        self.operation = operation
        self.trigger = trigger
        self.journal = journal
        self.epoch = epoch
        self.actor = actor
        #: the innermost function that the platform started this run for; its own journal adopts the run once
        self.adoptable: Callable[..., Any] | None = None
        self.started = time.monotonic_ns()
        self.cancel_requested = False
        #: who or what asked for it to be cancelled
        self.cancel_reason = "cancelled"
        self.task: asyncio.Task[Any] | None = None
        self._interruptible = True
        self._store = store
        self._order = threading.Lock()
        self._seq = itertools.count(1)
        self._line = ""
        self._closed = False
        self._warned = False

    def record(
        self, message: object, fields: dict[str, Any], *, level: str = "info", source: str = "record"
    ) -> Ack[Any] | Acknowledged:
        """Keep a line. What *fields* hold that is no JSON is kept as its marked representation."""
        text = message if isinstance(message, str) else "" if message is None else as_text(message)
        encoded = as_json(fields) if fields else None
        with self._order:
            if self._closed:
                return self._late("record", text)
            return self._store.write(
                AddRecord(
                    run=self.id,
                    epoch=self.epoch,
                    seq=next(self._seq),
                    at=now(),
                    level=level,
                    source=source,
                    message=text,
                    fields=encoded,
                    journal=self.journal,
                )
            )

    def label(self, labels: tuple[str, ...]) -> Ack[Any] | Acknowledged:
        """Add labels; those it has already are left alone."""
        return self._write(
            "labels", AddLabels(run=self.id, epoch=self.epoch, labels=tuple(map(as_text, labels)), journal=self.journal)
        )

    def progress(self, value: float, total: float | None, message: str | None) -> Ack[Any] | Acknowledged:
        """Say how far it is."""
        return self._write(
            "progress",
            SetProgress(run=self.id, epoch=self.epoch, value=value, total=total, message=message, journal=self.journal),
        )

    def output(self, text: str) -> None:
        """Keep what the function prints, a record for each full line."""
        with self._order:
            if self._closed:
                return
            *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self.record(line, {}, source="print")

    def close(self) -> None:
        """The function and what was injected into it are done: nothing more is taken from here on."""
        with self._order:
            rest, self._line = self._line, ""
        if rest:
            self.record(rest, {}, source="print")
        with self._order:
            self._closed = True

    @property
    def duration(self) -> int:
        """Microseconds since it began."""
        return (time.monotonic_ns() - self.started) // 1000

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel its task, once; one that has not begun, or is tearing down, sees the request by itself."""
        if self.cancel_requested:
            return
        self.cancel_requested = True
        self.cancel_reason = reason
        if self.task is not None and self._interruptible:
            self.task.cancel()

    def shield(self) -> None:
        """From here on a request to cancel is remembered, not delivered."""
        self._interruptible = False

    def _write(self, what: str, write: Write) -> Ack[Any] | Acknowledged:
        with self._order:
            if self._closed:
                return self._late(what, "")
            return self._store.write(write)

    def _late(self, what: str, message: str) -> Acknowledged:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "%s %r came after run %s of %r had ended: nothing is kept", what, message, self.id, self.operation
            )
        return Acknowledged()
