"""What the platform itself prints or logs is not output of the running function."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

__all__ = ["quiet", "quietly"]

#: set while the platform itself writes a log line, which is not output of the function
quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("binp.quiet", default=False)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Do not record what the block prints or logs."""
    token = quiet.set(True)
    try:
        yield
    finally:
        quiet.reset(token)
