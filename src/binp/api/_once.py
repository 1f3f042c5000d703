"""Requests that are sent again and start nothing the second time."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, HTTPException

from binp.home import Home
from binp.runs import AlreadyStarted
from binp.store.contract import Run

__all__ = ["KEY_LIMIT", "Key", "first_run"]

#: characters of a key
KEY_LIMIT = 200

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=KEY_LIMIT,
        description="sent again with the same key, a request starts nothing and is answered with the first run",
    ),
]


async def first_run(home: Home, key: str | None, error: AlreadyStarted) -> Run:
    """The run that was started with *key* before.

    Raises:
        HTTPException: 409: it had other arguments.
    """
    run = None if error.run is None else await home.store.get_run(error.run)
    if run is None or run.arguments != error.arguments:
        raise HTTPException(409, f"the key {key!r} was used for another start of {error.operation!r}") from None
    return run
