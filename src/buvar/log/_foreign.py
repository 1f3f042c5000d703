"""A handler for standard library loggers that renders their records like native events."""

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
    """Renders records with the same keys as native events, including `extra=` and context variables.

    Args:
        sink: Receives the lines.
        processors: The end of the native chain; the last one is the renderer.
        add_pid: Whether to add the process id.
    """

    def __init__(self, sink: Sink, processors: Sequence[Processor], *, add_pid: bool) -> None:
        super().__init__()
        self._sink = sink
        self._processors = processors
        self._add_pid = add_pid

    def createLock(self) -> None:  # noqa: N802 - named by the standard library
        """Use no lock: the sink needs none, and without one a signal handler may log."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit a record unless a filter rejects it; without a lock, as there is none."""
        kept: Any = self.filter(record)
        if kept:
            # since Python 3.12, a filter may return another record
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
        except Exception as error:  # noqa: BLE001 - the line reports the error
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
        except Exception as error:  # noqa: BLE001 - the arguments do not fit the format
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
