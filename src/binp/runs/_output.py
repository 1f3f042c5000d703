"""What a run prints becomes records, and still appears where it did before."""

from __future__ import annotations

import sys
from typing import Any, Self, TextIO, cast

from ._active import current_run, quiet
from ._logs import is_logging

__all__ = ["OutputCapture"]


class _Tee:
    """A text stream that passes everything on and tells the current run what went through."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        #: how many captures hold it
        self.users = 0

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        run = current_run.get()
        # a handler of logging that writes here: its line is heard as it was logged
        if run is not None and not quiet.get() and not is_logging(sys._getframe(1).f_globals.get("__name__")):  # noqa: SLF001 - documented in CPython
            run.output(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


class OutputCapture:
    """Puts itself in front of ``sys.stdout`` while it is installed; several in one process share one stream."""

    def __init__(self) -> None:
        self._tee: _Tee | None = None

    def install(self) -> None:
        """Begin; a process without standard output has nothing to capture."""
        tee: Any = sys.stdout
        if tee is None:
            return
        if not isinstance(tee, _Tee):
            tee = sys.stdout = cast("TextIO", _Tee(sys.stdout))
        tee.users += 1
        self._tee = tee

    def remove(self) -> None:
        """End; with the last one the stream of before comes back, unless somebody else has replaced it since."""
        tee, self._tee = self._tee, None
        if tee is None:
            return
        tee.users -= 1
        if tee.users == 0 and sys.stdout is cast("TextIO", tee):
            sys.stdout = tee.stream
