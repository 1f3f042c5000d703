"""Record what a run prints; the output itself is unchanged."""

from __future__ import annotations

import sys
from typing import Any, Self, TextIO, cast

from ._active import current_run
from ._logs import is_logging
from ._quiet import quiet

__all__ = ["OutputCapture"]


class _Tee:
    """A text stream that forwards everything, and reports it to the current run."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        #: number of captures that use it
        self.users = 0

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        run = current_run.get()
        # lines of a logging handler that writes to this stream are recorded as log lines
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
    """Wraps ``sys.stdout`` while it is installed; several captures in one process share one wrapper."""

    def __init__(self) -> None:
        self._tee: _Tee | None = None

    def install(self) -> None:
        """Start capturing; does nothing in a process without standard output."""
        tee: Any = sys.stdout
        if tee is None:
            return
        if not isinstance(tee, _Tee):
            tee = sys.stdout = cast("TextIO", _Tee(sys.stdout))
        tee.users += 1
        self._tee = tee

    def remove(self) -> None:
        """Stop capturing; the last capture restores the previous stream, unless somebody has replaced it since."""
        tee, self._tee = self._tee, None
        if tee is None:
            return
        tee.users -= 1
        if tee.users == 0 and sys.stdout is cast("TextIO", tee):
            sys.stdout = tee.stream
