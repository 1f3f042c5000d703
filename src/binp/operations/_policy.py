"""How an operation is run: its labels, and what is done when it takes long, fails, or runs already."""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Concurrency", "Policy", "Retry", "WhenFull"]


class WhenFull(enum.StrEnum):
    """What becomes of a run for which there is no place."""

    #: it waits for its turn
    QUEUE = "queue"
    #: it is not started, and kept as skipped
    SKIP = "skip"
    #: what runs is cancelled, and it takes that place
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When a failed attempt is followed by another one."""

    #: further attempts after the first
    limit: int
    #: seconds before the second attempt; each further one waits *backoff* times as long, up to *max_delay*
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0

    def wait(self, attempt: int) -> float:
        """Seconds between *attempt*, which failed, and the next one."""
        # up to a tenth more or less, so that not all that failed together come again together
        try:
            whole = min(self.max_delay, self.delay * float(self.backoff) ** (attempt - 1))
        except OverflowError:
            # it was tried for days
            whole = self.max_delay if self.delay else 0.0
        return whole * random.uniform(0.9, 1.1)  # noqa: S311 - nothing to be guessed


@dataclass(frozen=True, kw_only=True, slots=True)
class Concurrency:
    """How many runs of an operation there may be at once, in all processes together."""

    places: int
    #: parameters whose values have places of their own
    per: tuple[str, ...] = ()
    when_full: WhenFull = WhenFull.QUEUE

    def slot(self, kind: str, name: str, arguments: str) -> str:
        """Name of what a call with *arguments*, as they are recorded, needs a place in."""
        if not self.per:
            return f"{kind} {name}"
        given = json.loads(arguments)
        values = json.dumps([given.get(parameter) for parameter in self.per], ensure_ascii=False, sort_keys=True)
        return f"{kind} {name} {values}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How an operation is run."""

    #: labels of every run
    labels: tuple[str, ...] = ()
    #: seconds that one attempt may take
    timeout: float | None = None
    retry: Retry | None = None
    concurrency: Concurrency | None = None
    #: what is asked before it is started by hand: a text, or a function of its arguments that gives one
    confirm: str | Callable[..., str] | None = None
    #: seconds that a shutdown waits for its runs; None for as long as for all others
    grace: float | None = None
    #: each attempt runs in a process of its own
    process: bool = False
    #: for how long its runs are kept after their end, or how many; None for what the settings say
    keep: timedelta | int | None = None
