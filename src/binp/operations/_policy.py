"""How an operation is run: labels, timeout, retries, concurrency, retention."""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Concurrency", "Policy", "Retry", "WhenFull"]


class WhenFull(enum.StrEnum):
    """What happens to a run if its concurrency slot is full."""

    #: it is queued
    QUEUE = "queue"
    #: it is not started, and recorded as skipped
    SKIP = "skip"
    #: the current run is cancelled, and it takes its place
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When a failed attempt is followed by another one."""

    #: further attempts after the first
    limit: int
    #: seconds before the second attempt; the delay grows by the factor *backoff*, up to *max_delay*
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0

    def wait(self, attempt: int) -> float:
        """Seconds between the failed *attempt* and the next one."""
        # varied by up to 10 %, so that runs that failed together are not retried together
        try:
            whole = min(self.max_delay, self.delay * float(self.backoff) ** (attempt - 1))
        except OverflowError:
            # after very many attempts
            whole = self.max_delay if self.delay else 0.0
        return whole * random.uniform(0.9, 1.1)  # noqa: S311 - not used for security


@dataclass(frozen=True, kw_only=True, slots=True)
class Concurrency:
    """How many runs of an operation may run at once, in all processes together."""

    places: int
    #: parameters for whose values the limit applies separately
    per: tuple[str, ...] = ()
    when_full: WhenFull = WhenFull.QUEUE

    def slot(self, kind: str, name: str, arguments: str) -> str:
        """The name of the slot for a call with the recorded *arguments*."""
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
    #: maximum seconds of one attempt
    timeout: float | None = None
    retry: Retry | None = None
    concurrency: Concurrency | None = None
    #: what to ask before it is started by hand: a text, or a function of its arguments that returns one
    confirm: str | Callable[..., str] | None = None
    #: seconds that a shutdown waits for its runs; None for the general setting
    grace: float | None = None
    #: run each attempt in a process of its own
    process: bool = False
    #: how long to keep its runs after they end, or how many; None for the settings
    keep: timedelta | int | None = None
