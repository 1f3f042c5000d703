"""Record what a run logs with ``logging`` or structlog; the log output itself is unchanged."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ._active import ActiveRun, current_run
from ._quiet import quiet, quietly
from ._traceback import PLATFORM, traceback_of

__all__ = ["LogCapture", "is_logging", "refresh"]

#: attributes of every standard log record; all others come from ``extra``
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: keys of a structlog event that have another place in a record, or are internal
_KNOWN = frozenset(
    {"event", "level", "level_number", "timestamp", "exc_info", "stack_info", "pid", "_record", "_from_structlog"}
)

#: modules that write lines which were recorded before they were rendered
_WRITERS = frozenset({"logging", "structlog._output"})


def is_logging(module: object) -> bool:
    """Whether the module writes log lines to a stream, which are recorded as such and not as output."""
    return module in _WRITERS and _Hooks.users > 0


class LogCapture:
    """Records log lines while it is installed; several captures in one process share the hooks.

    Lines are recorded in the context of a run, from its level on, if the logging configuration lets them through. The
    platform's own log lines are never recorded.
    """

    def __init__(self) -> None:
        self._is_installed = False

    def install(self) -> None:
        """Start recording. Idempotent."""
        if not self._is_installed:
            self._is_installed = True
            _Hooks.add()

    def remove(self) -> None:
        """Stop recording. Idempotent."""
        if self._is_installed:
            self._is_installed = False
            _Hooks.drop()


class _Hooks:
    """The hooks of this process.

    Not a handler: a root handler would turn ``basicConfig`` into a no-op, and would keep warnings from standard error
    if logging was not configured; and it would miss loggers that do not propagate.
    """

    users = 0
    _lock = threading.Lock()
    _former: Callable[[logging.Logger, logging.LogRecord], None]
    _taps: list[tuple[list[Any], _Tap]]

    @classmethod
    def add(cls) -> None:
        with cls._lock:
            cls.users += 1
            if cls.users == 1:
                cls._former = logging.Logger.callHandlers
                cls._taps = []
                logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign,assignment]  # the only place that all records come through
        cls.refresh()

    @classmethod
    def drop(cls) -> None:
        with cls._lock:
            cls.users -= 1
            if cls.users:
                return
            if logging.Logger.callHandlers is _call_handlers:
                logging.Logger.callHandlers = cls._former  # type: ignore[method-assign,assignment]  # as it was
            for processors, tap in cls._taps:
                if processors and processors[-1] is tap:
                    processors[-1] = tap.renderer
            cls._taps = []

    @classmethod
    def former(cls, logger: logging.Logger, record: logging.LogRecord) -> None:
        cls._former(logger, record)

    @classmethod
    def refresh(cls) -> None:
        """Hook into structlog as it is configured now."""
        structlog = sys.modules.get("structlog")
        if structlog is None or not cls.users:
            return
        processors = structlog.get_config()["processors"]
        # changed in place: loggers that are bound already share the list
        if isinstance(processors, list) and processors and not isinstance(processors[-1], _Tap):
            with cls._lock:
                tap = _Tap(processors[-1])
                processors[-1] = tap
                cls._taps.append((processors, tap))


#: called for each new run, because structlog may be configured at any time
refresh = _Hooks.refresh


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    run = current_run.get()
    if run is not None and record.levelno >= run.tracing.level and not quiet.get():
        _hear(run, _keep_record, record)
    _Hooks.former(logger, record)


class _Tap:
    """A structlog processor that wraps the last one, the first to lose the structure of the event.

    Args:
        renderer: The wrapped processor.
    """

    def __init__(self, renderer: Callable[[Any, str, Any], Any]) -> None:
        self.renderer = renderer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.renderer, name)

    def __call__(self, logger: Any, name: str, event: Any) -> Any:
        run = current_run.get()
        # what is passed on to the standard library is recorded there
        if run is not None and not isinstance(logger, logging.Logger) and not quiet.get():
            _hear(run, _keep_event, name, event)
        return self.renderer(logger, name, event)


def _hear(run: ActiveRun, keep: Callable[..., None], *what: Any) -> None:
    try:
        # the repr of a value may log
        with quietly():
            keep(run, *what)
    except Exception:  # noqa: BLE001, S110 - a line may contain anything; it still goes to the log
        pass


def _keep_record(run: ActiveRun, record: logging.LogRecord) -> None:
    if record.pathname.startswith(PLATFORM):
        return
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD and key not in _KNOWN}
    if isinstance(record.msg, Mapping) and "event" in record.msg:
        # an event of structlog whose rendering is left to a formatter
        fields.pop("_logger", None)
        fields.pop("_name", None)
        _keep_mapping(run, record.levelno, record.msg, {"logger": record.name} | fields)
        return
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the arguments do not fit the format; logging itself reports that
        message = f"{record.msg} {record.args!r}"
    if record.exc_info and record.exc_info[1] is not None:
        fields["traceback"] = traceback_of(record.exc_info[1], run)
    if record.stack_info:
        fields["stack"] = record.stack_info
    run.said(message, {"logger": record.name} | fields, level=_level(record.levelno), source="log")


def _keep_event(run: ActiveRun, name: str, event: Any) -> None:
    if not isinstance(event, Mapping):
        event = {"event": event if isinstance(event, str) else repr(event)}
    said = event.get("level", name)
    number = logging.getLevelNamesMapping().get({"exception": "error"}.get(str(said), str(said)).upper(), logging.INFO)
    _keep_mapping(run, number, event, {})


def _keep_mapping(run: ActiveRun, number: int, event: Mapping[str, Any], fields: dict[str, Any]) -> None:
    if number < run.tracing.level:
        return
    fields |= {key: value for key, value in event.items() if key not in _KNOWN and value is not None}
    error = event.get("exc_info")
    if isinstance(error, tuple):
        error = error[1]
    elif error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        fields["traceback"] = traceback_of(error, run)
    run.said(str(event.get("event", "")), fields, level=_level(number), source="log")


def _level(number: int) -> str:
    for least, name in ((50, "critical"), (40, "error"), (30, "warning"), (20, "info")):
        if number >= least:
            return name
    return "debug"
