"""Handle open stores when the process forks or exits."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
from typing import Protocol

__all__ = ["Guarded", "enroll", "leak", "withdraw"]

_logger = logging.getLogger("binp.store")


class Guarded(Protocol):
    """An open store."""

    def close_sync(self) -> None:
        """Commit queued writes and release everything."""

    def forked(self) -> None:
        """In a forked child: become unusable, without touching what belongs to the parent."""


# strong references: a store that nobody else references still has threads and files
_open: set[Guarded] = set()
_installed = False


def enroll(store: Guarded) -> None:
    """Handle *store* from now on."""
    global _installed  # noqa: PLW0603 - the hooks are installed once per process, when first needed
    if not _installed:
        _installed = True
        atexit.register(_close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_mark_all)
    _open.add(store)


def withdraw(store: Guarded) -> None:
    """*store* is closed."""
    _open.discard(store)


def leak(thing: object) -> None:
    """Keep *thing* alive for ever: destroying a connection from before a fork would affect the parent."""
    with contextlib.suppress(ImportError, AttributeError):
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _close_all() -> None:
    """Close all stores at exit, so that everything is committed even if a script has not closed its store."""
    for store in list(_open):
        try:
            store.close_sync()
        except Exception:
            _logger.exception("a store could not be closed at the end of the process")


def _mark_all() -> None:
    for store in list(_open):
        store.forked()
    _open.clear()
