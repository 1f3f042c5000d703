"""How long runs are kept, and what a database takes up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ._rows import as_datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """How long runs are kept that have ended. What is None in a rule is as in the general one, and there no limit."""

    #: days after its end, ``inf`` for ever
    days: float | None = None
    #: the same for a run that failed, was cancelled or interrupted, if that is longer
    failed_days: float | None = None
    #: how many of them are kept, the newest; None for any number, also in a rule
    runs: int | None = None

    def within(self, general: Keep) -> Keep:
        """This rule, with the ages of *general* where it says none."""
        return Keep(
            days=general.days if self.days is None else self.days,
            failed_days=general.failed_days if self.failed_days is None else self.failed_days,
            runs=self.runs,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """Which runs are kept: each by the rule of its labels that keeps longest, else of its operation, else the general.

    A run that waits or runs is never erased, nor is the parent of one.
    """

    #: for runs without a rule of their own; its number counts all runs of the database
    general: Keep = Keep()
    #: bytes that the database may take up; above that the oldest runs go that have no rule of their own
    size: int | None = None
    #: by the name of the operation
    operations: Mapping[str, Keep] = field(default_factory=dict)
    #: by label
    labels: Mapping[str, Keep] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a database holds and takes up."""

    #: bytes of the file that are in use
    used: int
    #: bytes of the file that are free, to be used again or given back
    free: int
    #: bytes of the write-ahead log beside it
    log: int
    #: number of runs
    runs: int
    #: microseconds since the epoch; None if there is no run
    oldest: int | None
    #: runs erased since the file was made
    erased: int
    #: when the last one was erased, microseconds since the epoch; None if none ever was
    erased_at: int | None
    #: why the limits cannot be kept, as far as this process knows
    problem: str | None = None

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest run began."""
        return None if self.oldest is None else as_datetime(self.oldest)

    @property
    def last_erased_at(self) -> datetime | None:
        """When a run was erased last."""
        return None if self.erased_at is None else as_datetime(self.erased_at)
