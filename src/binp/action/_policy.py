"""Check the options of ``@binp.action`` when it is applied."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from binp.errors import BinpError
from binp.operations import Concurrency, Policy, Retry, WhenFull, check_numbers, seconds_in, seconds_of
from buvar.names import did_you_mean

__all__ = ["check_per", "policy_of"]


def policy_of(
    *,
    labels: tuple[str, ...],
    timeout: float | timedelta | str | None,
    retry: Retry,
    places: int | None,
    per: tuple[str, ...],
    when_full: str,
    confirm: str | Callable[..., str] | None,
    keep: timedelta | int | str | None,
    grace: float | timedelta | str | None,
    process: bool,
) -> Policy:
    """The policy for the options of ``@binp.action``.

    Raises:
        BinpError: an option has an invalid value; the message says which one, and what to write instead.
    """
    check_numbers(
        retries=retry.limit,
        retry_delay=retry.delay,
        retry_backoff=retry.backoff,
        retry_max_delay=retry.max_delay,
        concurrency=1 if places is None else places,
    )
    if retry.limit < 0 or retry.delay < 0 or retry.backoff < 1 or retry.max_delay < 0:
        raise BinpError(
            f"retries={retry.limit}, retry_delay={retry.delay}, retry_backoff={retry.backoff} and "
            f"retry_max_delay={retry.max_delay} cannot be obeyed",
            fix="write numbers of zero or more, and a backoff of 1 or more",
        )
    if confirm is not None and not isinstance(confirm, str) and not callable(confirm):
        raise BinpError(
            f"confirm={confirm!r} is nothing to ask",
            fix='write the question, as confirm="Really?", or a function of the arguments that gives it',
        )
    return Policy(
        labels=labels,
        timeout=_seconds("timeout", timeout, "is not a time"),
        retry=retry if retry.limit else None,
        concurrency=_concurrency(places, per, when_full),
        confirm=confirm,
        keep=_keep_of(keep),
        grace=_seconds("grace", grace, "does not say how long a shutdown waits"),
        process=process,
    )


def _seconds(option: str, given: object, trouble: str) -> float | None:
    if given is None:
        return None
    seconds = seconds_of(given)
    if seconds is None or seconds <= 0:
        raise BinpError(
            f"{option}={given!r} {trouble}",
            fix=f'write seconds, as {option}=600, or {option}="3h", "90min", "1h30min", a timedelta, or leave it out',
        )
    return seconds


def check_per(per: tuple[str, ...], function: Callable[..., Any], where: str) -> None:
    """Check that *function* has the parameters that ``per`` names.

    Raises:
        BinpError: it lacks one.
    """
    try:
        known = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        # without a signature there is nothing to check
        return
    for name in per:
        if name not in known:
            near = did_you_mean(name, known)
            fix = f"did you mean {near!r}?" if near else f"known: {', '.join(known) or 'none'}"
            raise BinpError(f"per={name!r} is not a parameter of the function", where=where, fix=fix)


def _keep_of(given: object) -> timedelta | int | None:
    seconds = seconds_in(given) if isinstance(given, str) else None
    keep = given if seconds is None else timedelta(seconds=seconds)
    is_time = isinstance(keep, timedelta) and keep > timedelta()
    is_number = isinstance(keep, int) and not isinstance(keep, bool) and keep > 0
    if keep is not None and not is_time and not is_number:
        raise BinpError(
            f"keep={given!r} does not say how long runs are kept",
            fix='write how many, as keep=1000, or for how long, as keep="7d" or timedelta(days=7), or leave it out',
        )
    return keep  # type: ignore[return-value]  # checked above


def _concurrency(places: int | None, per: tuple[str, ...], when_full: str) -> Concurrency | None:
    known = [one.value for one in WhenFull]
    if when_full not in known:
        near = did_you_mean(str(when_full), known)
        fix = f"did you mean {near!r}?" if near else f"write one of {', '.join(map(repr, known))}"
        raise BinpError(f"when_full={when_full!r} is not a choice", fix=fix)
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
