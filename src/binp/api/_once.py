"""Idempotency keys: repeated requests start nothing twice."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, HTTPException

from binp.home import Home
from binp.runs import AlreadyStarted
from binp.store.contract import Run, as_datetime

__all__ = ["KEY_LIMIT", "FirstErased", "Key", "first_run"]

#: maximum length of a key, in characters
KEY_LIMIT = 200

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=KEY_LIMIT,
        description="sent again with the same key, a request starts nothing and is answered with the first run",
    ),
]


class FirstErased(HTTPException):
    """A key was used before, and its run has been erased.

    Attributes:
        run: The id of the run.
    """

    def __init__(self, key: str | None, operation: str, run: int, at: int) -> None:
        moment = as_datetime(at).isoformat(timespec="seconds")
        what = f"the key {key!r} was used for a start of {operation!r} at {moment}: its run {run} has been erased since"
        super().__init__(410, what)
        self.run = run


async def first_run(home: Home, key: str | None, error: AlreadyStarted) -> Run:
    """The run that was started with *key* before.

    Raises:
        FirstErased: it has been erased; nothing is started even by such a late request.
        HTTPException: 409: it had other arguments.
    """
    run = None if error.run is None else await home.store.get_run(error.run)
    if run is None and error.run is not None and error.at is not None:
        raise FirstErased(key, error.operation, error.run, error.at) from None
    if run is None or run.arguments != error.arguments:
        raise HTTPException(409, f"the key {key!r} was used for another start of {error.operation!r}") from None
    return run
