"""The native structlog loggers: a filtering logger that cannot raise, and where its name comes from."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable
from typing import Any

import structlog

from buvar.log._render import Event, to_json
from buvar.log._sink import Sink

_METHODS = ("debug", "info", "warning", "warn", "error", "critical", "fatal", "msg")


class LineLogger:
    """The innermost logger: it has a name and writes finished lines.

    Args:
        name: Dotted name.
        sink: Where the lines go.
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
    """What makes innermost loggers; without a name they are called like the module that asks."""

    def make(*args: Any) -> LineLogger:
        return LineLogger(str(args[0]) if args and args[0] is not None else _caller(), sink)

    return make


def _caller() -> str:
    frame: types.FrameType | None = sys._getframe(2)  # noqa: SLF001 - documented in CPython
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "?"))
        if name.partition(".")[0] != "structlog" and name != __name__:
            return name
        frame = frame.f_back
    return "?"


def add_logger_name(logger: Any, _name: str, event: Event) -> Event:
    """Add the name of the logger; a processor."""
    event["logger"] = getattr(logger, "name", None)
    return event


def filtering_logger(level: int) -> type[Any]:
    """The class of our loggers: calls below *level* cost nothing, and no call raises.

    Arguments are put into the event with ``%`` as in the standard library; when they do not fit, the line says so.
    """
    base: type[Any] = structlog.make_filtering_bound_logger(level)
    numbers = logging.getLevelNamesMapping()
    namespace: dict[str, Any] = {"_proxy_to_logger": _proxy(base)}
    for name in _METHODS:
        number = numbers.get("INFO" if name == "msg" else name.upper(), logging.CRITICAL)
        if number >= level and hasattr(base, name):
            namespace[name] = _safe(name)
    return type("SafeLogger", (base,), namespace)


def _safe(name: str) -> Callable[..., Any]:
    method = {"warn": "warning", "fatal": "critical", "msg": "info"}.get(name, name)

    def call(self: Any, event: Any = None, /, *args: Any, **values: Any) -> Any:
        if args:
            try:
                event = event % (args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args)
            except Exception as error:  # noqa: BLE001 - a wrong format must not break the program
                values["log_error"] = f"{args!r} does not fit the format: {error}"
        return self._proxy_to_logger(method, event, **values)

    call.__name__ = call.__qualname__ = name
    return call


def _proxy(base: type[Any]) -> Callable[..., Any]:
    inner = base._proxy_to_logger  # noqa: SLF001 - the documented hook for subclasses

    def proxy(self: Any, method: str, event: Any = None, /, *args: Any, **values: Any) -> Any:
        try:
            return inner(self, method, event, *args, **values)
        except Exception as error:  # noqa: BLE001 - a broken value must not break the program
            logger = self._logger
            line = {"event": str(event), "level": method, "logger": logger.name, "log_error": repr(error)}
            return logger.msg(to_json(line))

    return proxy
