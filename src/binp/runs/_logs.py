"""What a run logs becomes records, by ``logging`` and by structlog, and still appears where it did before."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ._active import ActiveRun, current_run, quiet, quietly
from ._traceback import PLATFORM, traceback_of

__all__ = ["LogCapture", "is_logging", "refresh"]

#: what a log record of the standard library has of its own; the rest was given by ``extra``
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: keys of an event of structlog that stand somewhere else in a record, or for the machinery
_KNOWN = frozenset(
    {"event", "level", "level_number", "timestamp", "exc_info", "stack_info", "pid", "_record", "_from_structlog"}
)

#: modules that write lines which were recorded before they were rendered
_WRITERS = frozenset({"logging", "structlog._output"})


def is_logging(module: object) -> bool:
    """Whether what the module named *module* writes to a stream are lines of a log, which are recorded as such."""
    return module in _WRITERS and _Hooks.users > 0


class LogCapture:
    """Hears what is logged while it is installed; several in one process share the hooks.

    Heard is what the set-up of logging lets through, in the context of a run, from its level on; never what the
    platform itself logs.
    """

    def __init__(self) -> None:
        self._is_installed = False

    def install(self) -> None:
        """Begin. Idempotent."""
        if not self._is_installed:
            self._is_installed = True
            _Hooks.add()

    def remove(self) -> None:
        """End. Idempotent."""
        if self._is_installed:
            self._is_installed = False
            _Hooks.drop()


class _Hooks:
    """The hooks of this process.

    Not a handler: one at the root would keep ``basicConfig`` from doing anything, and warnings from standard error
    where nobody has set logging up; and loggers that do not propagate would not be heard.
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
        """Hear structlog as it is configured now."""
        structlog = sys.modules.get("structlog")
        if structlog is None or not cls.users:
            return
        processors = structlog.get_config()["processors"]
        # exchanged in the list itself, which loggers share that were bound before
        if isinstance(processors, list) and processors and not isinstance(processors[-1], _Tap):
            with cls._lock:
                tap = _Tap(processors[-1])
                processors[-1] = tap
                cls._taps.append((processors, tap))


#: for each new run: whoever configures structlog may do it at any time
refresh = _Hooks.refresh


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    run = current_run.get()
    if run is not None and record.levelno >= run.tracing.level and not quiet.get():
        _hear(run, _keep_record, record)
    _Hooks.former(logger, record)


class _Tap:
    """A processor of structlog in place of the last one, which it calls: that is the first to lose what an event was.

    Args:
        renderer: The last one.
    """

    def __init__(self, renderer: Callable[[Any, str, Any], Any]) -> None:
        self.renderer = renderer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.renderer, name)

    def __call__(self, logger: Any, name: str, event: Any) -> Any:
        run = current_run.get()
        # what goes on to the standard library is heard there
        if run is not None and not isinstance(logger, logging.Logger) and not quiet.get():
            _hear(run, _keep_event, name, event)
        return self.renderer(logger, name, event)


def _hear(run: ActiveRun, keep: Callable[..., None], *what: Any) -> None:
    try:
        # the representation of a value may log
        with quietly():
            keep(run, *what)
    except Exception:  # noqa: BLE001, S110 - a line may hold anything; it is written where it belongs all the same
        pass


def _keep_record(run: ActiveRun, record: logging.LogRecord) -> None:
    if record.pathname.startswith(PLATFORM):
        return
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD and key not in _KNOWN}
    if isinstance(record.msg, Mapping) and "event" in record.msg:
        # structlog, which leaves the rendering to a formatter
        fields.pop("_logger", None)
        fields.pop("_name", None)
        _keep_mapping(run, record.levelno, record.msg, {"logger": record.name} | fields)
        return
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit the format; logging itself tells so
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
