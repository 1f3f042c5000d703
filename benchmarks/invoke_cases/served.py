"""A served no-op: an action, journaled and durable, and a bare FastAPI route with the same body on the same server."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from binp import BINP

binp = BINP()


class Arguments(BaseModel):
    """What both take."""

    model_config = ConfigDict(extra="forbid")

    number: int
    name: str = "x"


@binp.action(name="noop")
@binp.journal
async def noop(number: int, name: str = "x") -> int:
    """Nothing, kept in the history."""
    return number


app = binp.app
bare = FastAPI()


@bare.post("/bare")
async def post(arguments: Arguments) -> dict[str, int]:
    """Nothing."""
    return {"number": arguments.number}


app.mount("/side", bare)
