"""Check the options of an action where they are written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta

from binp.errors import BinpError
from binp.operations import Concurrency, Policy, Retry, WhenFull
from buvar.names import did_you_mean

__all__ = ["policy_of"]

#: seconds of the units that a time can be written in
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|min|m|s)")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")


def policy_of(
    *,
    labels: tuple[str, ...],
    timeout: float | None,
    retry: Retry,
    places: int | None,
    per: tuple[str, ...],
    when_full: str,
    confirm: str | Callable[..., str] | None,
    keep: timedelta | int | None,
    grace: float | timedelta | str | None,
    process: bool,
) -> Policy:
    """The policy that the options of ``@binp.action`` say.

    Raises:
        BinpError: one of them makes no sense; the message says which, and what to write.
    """
    if timeout is not None and not timeout > 0:
        raise BinpError(f"timeout={timeout!r} is no time", fix="write seconds above 0, or leave it out")
    if retry.limit < 0 or retry.delay < 0 or retry.backoff < 1 or retry.max_delay < 0:
        raise BinpError(
            f"retries={retry.limit}, retry_delay={retry.delay}, retry_backoff={retry.backoff} and "
            f"retry_max_delay={retry.max_delay} cannot be obeyed",
            fix="write numbers of zero or more, and a backoff of 1 or more",
        )
    _check_keep(keep)
    return Policy(
        labels=labels,
        timeout=timeout,
        retry=retry if retry.limit else None,
        concurrency=_concurrency(places, per, when_full),
        confirm=confirm,
        keep=keep,
        grace=_seconds(grace),
        process=process,
    )


def _seconds(grace: object) -> float | None:
    seconds: object = grace
    if isinstance(grace, timedelta):
        seconds = grace.total_seconds()
    elif isinstance(grace, str) and (found := _SPAN.fullmatch(grace.replace(" ", ""))) and found.group():
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(found.group()))
    if seconds is None:
        return None
    is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < math.inf
    if not is_time:
        raise BinpError(
            f"grace={grace!r} does not say how long a shutdown waits",
            fix='write seconds, as grace=600, or grace="3h", "90min", "1h30min", or a timedelta, or leave it out',
        )
    return float(seconds)  # type: ignore[arg-type]  # looked at above


def _check_keep(keep: object) -> None:
    is_time = isinstance(keep, timedelta) and keep > timedelta()
    is_number = isinstance(keep, int) and not isinstance(keep, bool) and keep > 0
    if keep is not None and not is_time and not is_number:
        raise BinpError(
            f"keep={keep!r} does not say how long runs are kept",
            fix="write how many, as keep=1000, or for how long, as keep=timedelta(days=7), or leave it out",
        )


def _concurrency(places: int | None, per: tuple[str, ...], when_full: str) -> Concurrency | None:
    known = [one.value for one in WhenFull]
    if when_full not in known:
        near = did_you_mean(str(when_full), known)
        fix = f"did you mean {near!r}?" if near else f"write one of {', '.join(map(repr, known))}"
        raise BinpError(f"when_full={when_full!r} is no choice", fix=fix)
    if places is None:
        if per or when_full != WhenFull.QUEUE:
            raise BinpError(
                "per and when_full say what happens when there are as many runs as there may be",
                fix="say how many with concurrency=1, or leave them out",
            )
        return None
    if places < 1:
        raise BinpError(f"concurrency={places} lets nothing run", fix="write 1 or more, or leave it out")
    return Concurrency(places=places, per=per, when_full=WhenFull(when_full))
