"""What can go wrong between a client and its server: nobody answers, or the answer is a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from binp.errors import UsageError

__all__ = ["START", "Answer", "NotServed"]

#: what helps whoever found no server
START = "start it with `binp run FILE`, or name its database with --db, or its address with --url"


class NotServed(UsageError):
    """Nothing that could be talked to serves a database."""


class Answer(UsageError):
    """The server answered with a refusal.

    Attributes:
        status: The status of HTTP.
        problem: The JSON object that came with it, empty if none did.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], *, url: str) -> None:
        self.status = status
        self.problem = dict(problem)
        what = str(problem.get("detail") or problem.get("title") or f"{url} answered with status {status}")
        place, fix = problem.get("where"), problem.get("fix")
        super().__init__(
            what, status, dict(problem), where=str(place) if place else None, fix=str(fix) if fix else None
        )
