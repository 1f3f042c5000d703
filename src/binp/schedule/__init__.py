"""Schedules: operations that are started by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Schedule
from ._timing import BadSchedule

if TYPE_CHECKING:
    from ._models import Fire, ScheduleInfo

__all__ = ["BadSchedule", "Fire", "Schedule", "ScheduleInfo"]


def __getattr__(name: str) -> Any:
    if name in {"Fire", "ScheduleInfo"}:
        # import pydantic only when a schedule is described, not when one is defined
        from . import _models

        return getattr(_models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
