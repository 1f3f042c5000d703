"""The native structlog loggers: a filtering logger that never raises, and the source of its name."""

from __future__ import annotations

import logging
import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import structlog

from buvar.log._render import Event, to_json
from buvar.log._sink import Sink

_METHODS = ("debug", "info", "warning", "warn", "error", "critical", "fatal", "msg")
_LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"), (10, "debug"))


class LineLogger:
    """The innermost logger: it has a name and writes rendered lines.

    Args:
        name: Dotted name.
        sink: Receives the lines.
    """

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink

    def msg(self, line: Any) -> None:
        """Write a line."""
        data = line if isinstance(line, bytes) else str(line).encode("utf-8", "replace")
        self.sink.write(data + b"\n")

    log = debug = info = warn = warning = error = err = critical = fatal = failure = exception = msg


def logger_factory(sink: Sink) -> Callable[..., LineLogger]:
    """A factory of innermost loggers; without a name, they are named after the calling module."""

    def make(*args: Any) -> LineLogger:
        return LineLogger(str(args[0]) if args and args[0] is not None else _caller(), sink)

    return make


def _caller() -> str:
    frame: types.FrameType | None = sys._getframe(2)  # noqa: SLF001 - documented in CPython
    name = __name__
    while frame is not None and (name == __name__ or name.partition(".")[0] == "structlog"):
        name = str(frame.f_globals.get("__name__", "?"))
        frame = frame.f_back
    return name


class Describe:
    """A processor that adds what every line has: level, logger name, time and, on request, the process id.

    Args:
        add_pid: Whether to add the process id.
    """

    def __init__(self, *, add_pid: bool) -> None:
        self._add_pid = add_pid
        #: a second since the epoch, and its text
        self._second = (-1, "")

    def __call__(self, logger: Any, name: str, event: Event) -> Event:
        """Process an event."""
        event["level"] = name
        event["logger"] = getattr(logger, "name", None)
        now = time.time_ns()
        second, text = self._second
        if now // 1_000_000_000 != second:
            second = now // 1_000_000_000
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        event["timestamp"] = f"{text}.{now // 1000 % 1_000_000:06d}Z"
        if self._add_pid:
            event["pid"] = os.getpid()
        return event


def filtering_logger(level: int) -> type[Any]:
    """The class of our loggers: calls below *level* cost next to nothing, and no call raises.

    Arguments are inserted with ``%``, as in the standard library; if they do not fit, the line says so. A logger
    that outlives its set-up uses whatever structlog is configured to by then.
    """
    # structlog only knows the named levels
    base: type[Any] = structlog.make_filtering_bound_logger(next((named for named, _ in _LEVELS if level >= named), 0))
    numbers = logging.getLevelNamesMapping()
    namespace: dict[str, Any] = {"_proxy_to_logger": _proxy, "log": _log_at(level)}
    namespace["is_enabled_for"] = lambda _self, asked: asked >= level
    namespace["get_effective_level"] = lambda _self: level
    for name in _METHODS:
        number = numbers.get("INFO" if name == "msg" else name.upper(), logging.CRITICAL)
        namespace[name] = _safe(name) if number >= level else _silent(name)
    return type("SafeLogger", (base,), namespace)


def _safe(name: str) -> Callable[..., Any]:
    method = {"warn": "warning", "fatal": "critical", "msg": "info"}.get(name, name)

    def call(self: Any, event: Any = None, /, *args: Any, **values: Any) -> Any:
        return _log(self, method, _filled(event, args, values) if args else event, values)

    call.__name__ = call.__qualname__ = name
    return call


def _filled(event: Any, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
    """The event with the arguments inserted; if they do not fit, *values* says so."""
    try:
        return event % (args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args)
    except Exception as error:  # noqa: BLE001 - a wrong format must not break the program
        values["log_error"] = f"{args!r} does not fit the format: {error}"
        return event


def _log_at(least: int) -> Callable[..., Any]:
    def log(self: Any, level: int, event: Any = None, /, *args: Any, **values: Any) -> Any:
        if self._logger.sink.is_closed:
            heir = _heir(self)
            if heir is not None:
                return heir.log(level, event, *args, **values)
        if level < least:
            return None
        method = next((name for number, name in _LEVELS if level >= number), "debug")
        return _log(self, method, _filled(event, args, values) if args else event, values)

    return log


def _silent(name: str) -> Callable[..., Any]:
    def call(self: Any, event: Any = None, /, *args: Any, **values: Any) -> Any:
        if self._logger.sink.is_closed:
            heir = _heir(self)
            return None if heir is None else getattr(heir, name)(event, *args, **values)
        return None

    call.__name__ = call.__qualname__ = name
    return call


def _proxy(self: Any, method: str, event: Any = None, /, *_args: Any, **values: Any) -> Any:
    """What the methods that we leave to structlog call in the end."""
    return _log(self, method, event, values)


def _log(self: Any, method: str, event: Any, values: dict[str, Any]) -> Any:
    logger = self._logger
    if logger.sink.is_closed:
        heir = _heir(self)
        if heir is not None:
            return getattr(heir, method)(event, **values)
    try:
        line, named = self._process_event(method, event, values)
        return logger.msg(*line, **named)
    except structlog.DropEvent:
        return None
    except Exception as error:  # noqa: BLE001 - a broken value must not break the program
        report = {"event": str(event), "level": method, "logger": logger.name, "log_error": repr(error)}
        return logger.msg(to_json(report))


def _heir(self: Any) -> Any:
    """The replacement for a logger of an earlier set-up; None if there is no newer one."""
    fresh: Any = structlog.get_logger(self._logger.name).bind(**self._context)
    if not isinstance(getattr(fresh, "_logger", None), LineLogger):
        return fresh
    return None if fresh._logger.sink.is_closed else fresh  # noqa: SLF001 - of the class above
