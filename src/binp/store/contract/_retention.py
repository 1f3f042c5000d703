"""Retention rules, and the size of a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ._rows import as_datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """How long to keep runs that have ended. None means: as in the general rule; there it means no limit."""

    #: days after the end, ``inf`` for ever
    days: float | None = None
    #: the same for failed, cancelled and interrupted runs, if longer
    failed_days: float | None = None
    #: how many of the newest runs to keep; None for any number, also in a specific rule
    runs: int | None = None

    def within(self, general: Keep) -> Keep:
        """This rule, with unset ages taken from *general*."""
        return Keep(
            days=general.days if self.days is None else self.days,
            failed_days=general.failed_days if self.failed_days is None else self.failed_days,
            runs=self.runs,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """Which runs to keep: by the label rule that keeps longest, else the operation's rule, else the general one.

    Queued and running runs are never erased, nor are their parents.
    """

    #: for runs without a specific rule; its number counts all runs of the database
    general: Keep = Keep()
    #: maximum size of the database in bytes; above it, the oldest runs without a specific rule are erased
    size: int | None = None
    #: by name of the operation
    operations: Mapping[str, Keep] = field(default_factory=dict)
    #: by label
    labels: Mapping[str, Keep] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The content and size of a database."""

    #: bytes of the file that are in use
    used: int
    #: free bytes of the file, which can be reused or released
    free: int
    #: bytes of the write-ahead log
    log: int
    #: number of runs
    runs: int
    #: microseconds since the epoch; None if there is no run
    oldest: int | None
    #: number of runs erased since the file was created
    erased: int
    #: time of the last erasure, microseconds since the epoch; None if there was none
    erased_at: int | None
    #: why the limits cannot be kept, as far as this process knows
    problem: str | None = None

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest run was started; None if there is none."""
        return None if self.oldest is None else as_datetime(self.oldest)

    @property
    def last_erased_at(self) -> datetime | None:
        """When a run was last erased; None if never."""
        return None if self.erased_at is None else as_datetime(self.erased_at)
