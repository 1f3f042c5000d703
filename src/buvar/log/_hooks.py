"""Log uncaught exceptions and printed output."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from buvar.log._sink import flush


def uncaught_exception(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    """Log an exception that ends the program, as `sys.excepthook`; a KeyboardInterrupt is not logged."""
    if not issubclass(kind, KeyboardInterrupt):
        found = error if error is not None else kind()
        logging.getLogger("sys.excepthook").critical("uncaught exception", exc_info=(kind, found, traceback))
    flush()


def _uncaught_in_thread(details: threading.ExceptHookArgs) -> None:
    if details.exc_type is SystemExit:
        return
    name = details.thread.name if details.thread else "?"
    error = details.exc_value if details.exc_value is not None else details.exc_type()
    logging.getLogger("threading.excepthook").critical(
        "uncaught exception in thread %s", name, exc_info=(details.exc_type, error, details.exc_traceback)
    )


def _unraisable(details: Any) -> None:
    logging.getLogger("sys.unraisablehook").error(
        "%s: %r", details.err_msg or "exception ignored in", details.object, exc_info=details.exc_value
    )


@contextlib.contextmanager
def hooks() -> Iterator[None]:
    """Inside the block, uncaught exceptions are logged."""
    former = sys.excepthook, threading.excepthook, sys.unraisablehook
    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught_exception, _uncaught_in_thread, _unraisable
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = former


class StdioToLog(io.TextIOBase):
    """A text stream that logs each finished line.

    Args:
        logger: Name of the logger.
        level: Level of the lines.
        stream: The stream that it replaces, for `isatty`, `fileno` and `encoding`; None for none.
    """

    def __init__(self, logger: str = "stdout", level: int = logging.INFO, stream: Any = None) -> None:
        super().__init__()
        self._logger = logging.getLogger(logger)
        self._level = level
        self._stream = stream
        self._line = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # io declares an attribute
        """The encoding of the replaced stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """Always True."""
        return True

    def isatty(self) -> bool:
        """Always False: the output goes to the log."""
        return False

    def fileno(self) -> int:
        """The descriptor of the replaced stream.

        Raises:
            io.UnsupportedOperation: there is none.
        """
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return int(self._stream.fileno())

    def write(self, text: str) -> int:
        """Log each completed line; the rest waits for its newline, or for `close`."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.log(self._level, "%s", line)
        return len(text)

    def close(self) -> None:
        """Log the unfinished line."""
        if self._line and not self.closed:
            self.write("\n")
        super().close()


@contextlib.contextmanager
def redirected_print() -> Iterator[None]:
    """Inside the block, printed output is logged."""
    former = sys.stdout
    stream = StdioToLog(stream=former)
    sys.stdout = stream
    try:
        yield
    finally:
        sys.stdout = former
        stream.close()
