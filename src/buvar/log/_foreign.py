"""One handler for the loggers of the standard library, which renders their records like our own events."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any, Final

import structlog.contextvars

from buvar.log._render import Processor, to_json
from buvar.log._sink import Sink

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class ForeignHandler(logging.Handler):
    """Renders records with the same keys as native events, `extra=` and context variables included.

    Args:
        sink: Where the lines go.
        processors: The end of the native chain, its renderer last.
        add_pid: Whether to add the id of the process.
    """

    def __init__(self, sink: Sink, processors: Sequence[Processor], *, add_pid: bool) -> None:
        super().__init__()
        self._sink = sink
        self._processors = processors
        self._add_pid = add_pid

    def createLock(self) -> None:  # noqa: N802 - named by the standard library
        """The sink needs no lock, and without one a signal handler may log."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record unless a filter drops it; without the lock that there is not."""
        kept: Any = self.filter(record)
        if kept:
            # from Python 3.12 on a filter may answer another record
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Render and write a record; never raises."""
        try:
            event: Any = self._event(record)
            name = record.levelname.lower()
            for processor in self._processors:
                event = processor(None, name, event)
            line = event if isinstance(event, bytes) else str(event).encode("utf-8", "replace")
        except Exception as error:  # noqa: BLE001 - what goes wrong here is reported in the line
            line = to_json(
                {
                    "event": str(record.msg),
                    "level": record.levelname.lower(),
                    "logger": record.name,
                    "log_error": repr(error),
                }
            )
        self._sink.write(line + b"\n")

    def _event(self, record: logging.LogRecord) -> dict[str, Any]:
        event = dict(structlog.contextvars.get_contextvars())
        event.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        try:
            event["event"] = record.getMessage()
        except Exception as error:  # noqa: BLE001 - arguments that do not fit the format
            event["event"] = str(record.msg)
            event["log_error"] = f"{record.args!r} does not fit the format: {error}"
        event["level"] = record.levelname.lower()
        event["logger"] = record.name
        if self._add_pid:
            event["pid"] = record.process
        stamp = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
        event["timestamp"] = stamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        if record.exc_info:
            event["exc_info"] = record.exc_info
        if record.stack_info:
            event["stack"] = record.stack_info
        return event
