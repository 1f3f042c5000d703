"""The original, binp 0.0.7: a decorated function that says two lines and has a label, with its own tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from store_cases.sql import key, put


class Contestant:
    """What a user of it writes."""

    def __init__(self) -> None:
        from binp import BINP

        binp = self.binp = BINP()

        @binp.journal
        async def work() -> None:
            await binp.journal.record("a line", number=1, kind="blue")
            await binp.journal.record("a line", number=2, kind="blue")
            await binp.journal.labels("blue")

        self.call: Any = work

    async def put(self) -> None:
        """A key gets a new value."""
        _, (_, name, value, _) = put()
        await self.binp.kv.set(**{str(name): value})

    async def get(self) -> object:
        """A key is read."""
        return await self.binp.kv.get(key()[1])

    def close(self) -> None:
        """It has nothing to be closed by."""


async def open(path: Path) -> Contestant:  # noqa: A001 - what every contestant has
    """The contestant."""
    os.environ["DB_URL"] = f"sqlite:///{path}"
    made = Contestant()
    await made.put()
    return made
