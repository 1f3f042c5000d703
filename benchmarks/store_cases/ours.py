"""Ours: the writes of a journaled call, its begin and its end awaited; reads on the loop.

With the variant ``platform`` the same by the decorator and the key-value state that users have.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from store_cases.sql import key, now, put

from binp.store import open_store
from binp.store.contract import AddLabels, AddRecord, BeginRun, EndRun, SetKeys, State, Store


class Contestant:
    """The store as the platform uses it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def call(self) -> None:
        """A journaled call."""
        store = self.store
        run, began = store.new_id(), time.monotonic_ns()
        await store.write(
            BeginRun(
                id=run,
                operation="work",
                journal="work",
                description="does the work",
                trigger="call",
                node=store.node,
                at=now(),
            )
        )
        fields = json.dumps({"number": run, "kind": "blue"})
        store.write(AddRecord(run=run, seq=1, at=now(), message="a line", fields=fields, journal=True))
        store.write(AddRecord(run=run, seq=2, at=now(), message="a line", fields=fields, journal=True))
        store.write(AddLabels(run=run, labels=("blue",), journal=True))
        duration = (time.monotonic_ns() - began) // 1000
        await store.write(EndRun(id=run, state=State.SUCCEEDED, at=now(), duration=duration, journal=True))

    async def put(self) -> None:
        """A key gets a new value."""
        _, (namespace, name, value, at) = put()
        await self.store.write(SetKeys(namespace=str(namespace), items=((str(name), str(value)),), at=int(str(at))))

    async def get(self) -> object:
        """A key is read."""
        found = await self.store.get_value(*key())
        return None if found is None else json.loads(found)

    async def close(self) -> None:
        """Close the file."""
        await self.store.close()


class Platform:
    """What a user of it writes."""

    def __init__(self, path: Path) -> None:
        from binp import BINP

        binp = self.binp = BINP(db=f"sqlite:///{path}")

        @binp.journal
        async def work() -> None:
            binp.journal.record("a line", number=1, kind="blue")
            binp.journal.record("a line", number=2, kind="blue")
            binp.journal.labels("blue")

        self.call: Any = work

    async def put(self) -> None:
        """A key gets a new value."""
        _, (_, name, value, _) = put()
        await self.binp.kv.set(**{str(name): value})

    async def get(self) -> object:
        """A key is read."""
        return await self.binp.kv.get(key()[1])

    async def close(self) -> None:
        """Close the file."""
        await self.binp.home.close()


async def open(path: Path, variant: str = "") -> Contestant | Platform:  # noqa: A001 - what every contestant has
    """The contestant."""
    if variant == "platform":
        return Platform(path)
    store = open_store(str(path))
    await store.open()
    return Contestant(store)
