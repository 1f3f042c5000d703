"""Look after open stores when the process forks or ends."""

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
        """Commit what is queued and let go of everything."""

    def forked(self) -> None:
        """In a forked child: be unusable, without touching what is the parent's."""


# held strongly: a store that everybody else forgot still has its threads and files
_open: set[Guarded] = set()
_installed = False


def enroll(store: Guarded) -> None:
    """Look after *store* from here on."""
    global _installed  # noqa: PLW0603 - the hooks of a process are installed once, and not before they are needed
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
    """Keep *thing* from being destroyed: a connection from before a fork would close what is its parent's."""
    with contextlib.suppress(ImportError, AttributeError):
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _close_all() -> None:
    """A script that never closed its store ends all the same, with everything committed."""
    for store in list(_open):
        try:
            store.close_sync()
        except Exception:
            _logger.exception("a store could not be closed at the end of the process")


def _mark_all() -> None:
    for store in list(_open):
        store.forked()
    _open.clear()
