"""The settings of logging, and how they are installed and removed."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import logging.config
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from buvar.errors import BuvarError
from buvar.log._hooks import hooks, redirected_print
from buvar.log._sink import Sink, flush
from buvar.names import did_you_mean
from buvar.secret import REDACTED
from buvar.util import merge_dict

#: Names of the levels, most severe first.
LOGGING_LEVEL_NAMES: Final = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
#: The default level.
DEFAULT_LOGGING_LEVEL: Final = "DEBUG"

#: names of streams
_STREAMS: Final = frozenset({"stdout", "stderr"})

#: the set-up in force; a new one removes it first
_current: Setup | None = None


class LogLevelError(BuvarError, ValueError):
    """There is no such log level.

    Attributes:
        level: The given level.
        logger: Name of the logger that it was for; None for all.
        field: Name of the field of `LogConfig`.
    """

    def __init__(self, level: object, logger: str | None = None) -> None:
        near = did_you_mean(str(level), LOGGING_LEVEL_NAMES)
        known = ", ".join(LOGGING_LEVEL_NAMES)
        super().__init__(
            f"there is no log level {level!r}{'' if logger is None else f' for the logger {logger!r}'}",
            fix=f"did you mean {near!r}?" if near else f"levels: {known}",
        )
        self.level = level
        self.logger = logger
        self.field = "level" if logger is None else "levels"


class LogTargetError(BuvarError, ValueError):
    """The given stream cannot be written to, or the given queue size is invalid.

    Attributes:
        field: Name of the field of `LogConfig`.
    """

    def __init__(self, what: str, field: str, *, fix: str) -> None:
        super().__init__(what, field, fix=fix)
        self.field = field


def level_number(level: str | int, logger: str | None = None) -> int:
    """The number of a level, given by number or by name in any case.

    Args:
        level: The level.
        logger: Name of the logger that it is for, for the error message.

    Raises:
        LogLevelError: there is no such level.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    text = str(level).strip()
    number = int(text) if text.isdecimal() else logging.getLevelNamesMapping().get(text.upper())
    if number is None:
        raise LogLevelError(level, logger)
    return number


class Setup:
    """A logging set-up in force, until `restore` or the end of a ``with`` block.

    Args:
        config: The settings in force.
        stack: Undoes the set-up.
    """

    def __init__(self, config: LogConfig, stack: contextlib.ExitStack) -> None:
        #: The settings in force.
        self.config = config
        self._stack = stack

    def change(self, config: LogConfig) -> None:
        """Replace the settings by others, until the same end.

        Raises:
            Exception: they cannot be applied, because of `user_config`; the previous ones are in force again.
        """
        former, self.config = self.config, config
        self._stack.close()
        try:
            self._stack = config._installed()  # noqa: SLF001 - two halves of one
        except BaseException:
            self.config = former
            self._stack = former._installed()  # noqa: SLF001 - two halves of one
            raise

    def restore(self) -> None:
        """Write all queued lines and restore the previous state; a second call does nothing."""
        global _current  # noqa: PLW0603 - logging is global by nature
        self._stack.close()
        if _current is self:
            _current = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.restore()


@dataclasses.dataclass(frozen=True, slots=True)
class LogConfig:
    """How to log: readable lines on a terminal, elsewhere one JSON object per line, on standard error.

    It can be loaded as a section of the configuration. Raises `LogLevelError` for an unknown level, and
    `LogTargetError` for an invalid stream or a negative queue size.
    """

    #: readable lines; None: if the stream is a terminal, with colours subject to NO_COLOR and FORCE_COLOR
    tty: bool | None = None
    #: name or number of the lowest level to log
    level: str | int = DEFAULT_LOGGING_LEVEL
    #: merged deeply into the dictionary for `logging.config.dictConfig`
    user_config: Mapping[str, Any] | None = None
    #: log warnings with the logger ``py.warnings``
    capture_warnings: bool = True
    #: log everything that is printed
    redirect_print: bool = False
    #: renders an event, like a structlog processor, instead of the default
    json_renderer: Callable[[Any, str, Any], Any] | None = None
    _: dataclasses.KW_ONLY
    #: levels of single loggers and their descendants
    levels: Mapping[str, str | int] = dataclasses.field(default_factory=dict)
    #: how many lines may be queued; further ones are dropped and counted; 0 writes synchronously
    queue_size: int = 10_000
    #: regular expressions; values of keys that match one are masked
    redact: tuple[str, ...] = REDACTED
    #: add the process id to every line
    add_pid: bool = True
    #: where to write: a stream, or ``"stdout"`` or ``"stderr"``, looked up at set-up; None means ``"stderr"``
    stream: Any = None

    def __post_init__(self) -> None:
        level_number(self.level)
        for name, level in self.levels.items():
            level_number(level, name)
        if self.queue_size < 0:
            raise LogTargetError(
                f"the queue cannot hold {self.queue_size} lines", "queue_size", fix="0 writes each line at once"
            )
        is_text = isinstance(self.stream, str)
        if self.stream not in _STREAMS if is_text else self.stream is not None and not hasattr(self.stream, "write"):
            raise LogTargetError(
                f"nothing can be written to {self.stream!r}", "stream", fix="give 'stdout', 'stderr' or a stream"
            )

    def setup(self) -> Setup:
        """Install this set-up in place of any earlier one.

        Returns:
            The set-up, whose `restore` removes it.
        """
        global _current  # noqa: PLW0603 - logging is global by nature
        if _current is not None:
            _current.restore()
        _current = Setup(self, self._installed())
        return _current

    def __superseded__(self, new: LogConfig) -> bool:
        """Apply *new*, if this is in force; called when the configuration from which this was loaded is read again.

        Returns:
            Whether this is in force.
        """
        if _current is None or _current.config != self:
            return False
        _current.change(new)
        return True

    def _installed(self) -> contextlib.ExitStack:
        with contextlib.ExitStack() as stack:
            self._install(stack)
            return stack.pop_all()

    def _install(self, stack: contextlib.ExitStack) -> None:
        from buvar.log import _chain  # imports structlog, so only now

        stream = self.stream
        if stream is None or isinstance(stream, str):
            stream = sys.stdout if stream == "stdout" else sys.stderr
        tty = bool(getattr(stream, "isatty", bool)()) if self.tty is None else self.tty
        colors = "FORCE_COLOR" in os.environ or (tty and "NO_COLOR" not in os.environ)
        level = level_number(self.level)
        levels = {name: level_number(each) for name, each in self.levels.items()}
        sink = Sink(stream, size=self.queue_size)
        stack.callback(sink.close)
        shared = _chain.shared(tty=tty, colors=colors, redact=self.redact, renderer=self.json_renderer)
        stack.enter_context(_chain.native(sink, shared, level=level, levels=levels, add_pid=self.add_pid))
        handler = _chain.ForeignHandler(sink, shared, add_pid=self.add_pid)
        stack.enter_context(_standard_library(handler, level, levels, self.user_config))
        stack.enter_context(hooks())
        if self.capture_warnings:
            stack.enter_context(_captured_warnings())
        if self.redirect_print:
            stack.enter_context(redirected_print())
        atexit.register(flush)
        stack.callback(atexit.unregister, flush)


def setup_logging(**settings: Any) -> Setup:
    """Create a `LogConfig` from the settings and install it."""
    return LogConfig(**settings).setup()


@contextlib.contextmanager
def _standard_library(
    handler: logging.Handler, level: int, levels: Mapping[str, int], user_config: Mapping[str, Any] | None
) -> Iterator[None]:
    """Route all standard library loggers to *handler*.

    Root handlers that merely write to a stream are removed meanwhile; others (for a file, or a test's capture) are
    kept.
    """
    root = logging.getLogger()
    touched = {name: logging.getLogger(name) for name in levels}
    former = [(logger, logger.level, logger.handlers[:]) for logger in (root, *touched.values())]
    try:
        root.handlers[:] = [kept for kept in root.handlers if type(kept) is not logging.StreamHandler]
        if user_config is None:
            root.addHandler(handler)
            root.setLevel(level)
        else:
            base = {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"default": {"()": lambda: handler}},
                "loggers": {"": {"handlers": ["default"], "level": level}},
            }
            logging.config.dictConfig(dict(merge_dict(base, user_config)))
        for name, logger in touched.items():
            logger.setLevel(levels[name])
        yield
    finally:
        for logger, number, handlers in former:
            logger.setLevel(number)
            logger.handlers[:] = handlers


@contextlib.contextmanager
def _captured_warnings() -> Iterator[None]:
    former = warnings.showwarning
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        warnings.showwarning = former
