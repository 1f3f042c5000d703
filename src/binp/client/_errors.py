"""The errors of a client: no server, or a refused request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from binp.errors import UsageError

__all__ = ["START", "Answer", "NotServed"]

#: the fix if no server was found
START = "start it with `binp run FILE`, or name its database with --db, or its address with --url"


class NotServed(UsageError):
    """No reachable server serves the database."""


class Answer(UsageError):
    """The server refused the request.

    Attributes:
        status: The HTTP status.
        problem: The JSON object of the answer; empty if it has none.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], *, url: str) -> None:
        self.status = status
        self.problem = dict(problem)
        what = str(problem.get("detail") or problem.get("title") or f"{url} answered with status {status}")
        place, fix = problem.get("where"), problem.get("fix")
        super().__init__(
            what, status, dict(problem), where=str(place) if place else None, fix=str(fix) if fix else None
        )
