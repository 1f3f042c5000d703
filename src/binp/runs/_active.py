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
from binp.store.contract import Ack, AddLabels, AddRecord, SetProgress, Store, StoreClosed, StoreError, Write

__all__ = ["Acknowledged", "ActiveRun", "Kept", "current_journal", "current_run", "entered", "now", "quiet", "quietly"]

_logger = logging.getLogger("Journals")

#: how many things a thread may say before it waits until they are committed, and the seconds that it waits
_AHEAD, _PATIENCE = 1000, 10.0

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
        _logger.warning("something that a run said is missing in the history: %s", error)
        return False


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
        self._sent = 0
        self._loop_thread = threading.get_ident()

    def record(
        self, message: object, fields: dict[str, Any], *, level: str = "info", source: str = "record"
    ) -> Kept | Acknowledged:
        """Keep a line. What *fields* hold that is no JSON is kept as its marked representation."""
        text = message if isinstance(message, str) else "" if message is None else as_text(message)
        encoded = as_json(fields) if fields else None
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
                message=text,
                fields=encoded,
                journal=self.journal,
            ),
        )

    def label(self, labels: tuple[str, ...]) -> Kept | Acknowledged:
        """Add labels; those it has already are left alone."""
        texts = tuple(map(as_text, labels))
        return self._send(
            "labels", texts, lambda: AddLabels(run=self.id, epoch=self.epoch, labels=texts, journal=self.journal)
        )

    def progress(self, value: float, total: float | None, message: str | None) -> Kept | Acknowledged:
        """Say how far it is."""
        return self._send(
            "progress",
            value,
            lambda: SetProgress(
                run=self.id, epoch=self.epoch, value=value, total=total, message=message, journal=self.journal
            ),
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

    def _send(self, what: str, subject: object, make: Callable[[], Write]) -> Kept | Acknowledged:
        with self._order:
            if self._closed:
                return self._late(what, subject)
            try:
                ack = self._store.write(make())
            except StoreClosed:
                # a thread that could not be stopped goes on behind the end of everything
                return self._late(what, subject)
            self._sent += 1
            is_ahead = self._sent % _AHEAD == 0 and threading.get_ident() != self._loop_thread
        kept = Kept(ack)
        if is_ahead:
            # a thread that says much goes no faster than the disk; the loop must not wait, so there one awaits
            kept.wait(_PATIENCE)
        return kept

    def _late(self, what: str, subject: object) -> Acknowledged:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "%s %r came after run %s of %r had ended: nothing is kept", what, subject, self.id, self.operation
            )
        return Acknowledged()
