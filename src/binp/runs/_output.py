"""What a run prints becomes records, and still appears where it did before."""

from __future__ import annotations

import sys
from typing import Any, Self, TextIO

from ._active import current_run, quiet

__all__ = ["OutputCapture"]


class _Tee:
    """A text stream that passes everything on and tells the current run what went through."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        run = current_run.get()
        if run is not None and not quiet.get():
            run.output(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


class OutputCapture:
    """Puts itself in front of ``sys.stdout`` while it is installed; several in one process share one."""

    _users = 0
    _tee: _Tee | None = None
    _original: TextIO | None = None

    def install(self) -> None:
        """Begin; calls nest."""
        cls = OutputCapture
        cls._users += 1
        if cls._tee is None:
            cls._original = sys.stdout
            cls._tee = _Tee(sys.stdout)
            sys.stdout = cls._tee

    def remove(self) -> None:
        """End; the stream of before comes back, unless somebody else has replaced it since."""
        cls = OutputCapture
        cls._users -= 1
        if cls._users == 0 and cls._tee is not None:
            if sys.stdout is cls._tee and cls._original is not None:
                sys.stdout = cls._original
            cls._tee = cls._original = None
