"""Journals: functions whose every call is a run in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._journals import Journals, current_journal

if TYPE_CHECKING:
    from ._models import Headline, Journal, Record

__all__ = ["Headline", "Journal", "Journals", "Record", "current_journal"]


def __getattr__(name: str) -> Any:
    if name in ("Headline", "Journal", "Record"):
        # import pydantic only when the history is read, not when a function is decorated
        from . import _models

        return getattr(_models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
