"""One open store for each database and process, however many homes use it."""

from __future__ import annotations

import asyncio
import multiprocessing

from binp.errors import BinpError
from binp.store import canonical_url, open_store
from binp.store.contract import Store

__all__ = ["HomeClosed", "drop_store", "name_of", "release_store", "take_store"]


class HomeClosed(BinpError):
    """The BINP is open on another event loop that is still running, or was closed for good."""


class _Shared:
    """A store and how many homes use it."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self.loop = loop
        self.users = 0
        self.opening = asyncio.Lock()
        self.is_open = False


_shared: dict[str, _Shared] = {}


def name_of(db: str | Store) -> str:
    """Canonical URL of a database."""
    return canonical_url(db) if isinstance(db, str) else db.url


def worker_group() -> str | None:
    """What the workers of one server have in common, None for a process that is alone."""
    parent = multiprocessing.parent_process()
    return None if parent is None else f"multiprocessing:{parent.pid}"


async def take_store(db: str | Store) -> Store:
    """The open store of that database, opened if this process has none.

    Raises:
        StoreError: it cannot be opened.
        HomeClosed: it is open on another loop that is still running.
    """
    loop = asyncio.get_running_loop()
    name = name_of(db)
    shared = _shared.get(name)
    if shared is not None and shared.loop is not loop:
        if shared.loop.is_running():
            raise HomeClosed(
                f"{name} is open on another event loop of this process, which is still running",
                fix="use it from one event loop",
            )
        drop_store(shared.store)
        shared = None
    if shared is None:
        store = open_store(db, group=worker_group()) if isinstance(db, str) else db
        shared = _shared[name] = _Shared(store, loop)
    async with shared.opening:
        if not shared.is_open:
            try:
                await shared.store.open()
            except BaseException:
                _shared.pop(name, None)
                raise
            shared.is_open = True
        shared.users += 1
    return shared.store


async def release_store(store: Store) -> None:
    """Close *store* when its last user gives it back."""
    shared = _shared.get(store.url)
    if shared is None or shared.store is not store:
        await store.close()
        return
    shared.users -= 1
    if shared.users == 0:
        del _shared[store.url]
        await store.close()


def drop_store(store: Store) -> None:
    """Close a store whose loop is gone."""
    _shared.pop(store.url, None)
    store.close_sync()
