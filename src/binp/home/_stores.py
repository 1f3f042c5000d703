"""One open store for each database and process, however many homes use it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os

from binp.errors import BinpError
from binp.store import canonical_url, open_store
from binp.store.contract import Store

__all__ = ["HomeClosed", "drop_store", "name_of", "release_store", "take_store"]


class HomeClosed(BinpError):
    """The BINP is open on another event loop that is still running."""


class _Shared:
    """A store and how many homes use it."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self.loop = loop
        self.pid = os.getpid()
        self.users = 0
        #: held while it is opened or closed
        self.changing = asyncio.Lock()
        self.is_open = False


_shared: dict[str, _Shared] = {}


def name_of(db: str | Store) -> str:
    """Canonical URL of a database."""
    return canonical_url(db) if isinstance(db, str) else db.url


def worker_group() -> str | None:
    """What the workers of one server have in common, None for a process that is alone."""
    parent = multiprocessing.parent_process()
    return None if parent is None else f"multiprocessing:{parent.pid}"


async def take_store(db: str | Store, *, is_guest: bool = False) -> Store:
    """The open store of that database, opened if this process has none, as a guest of another one or not.

    Raises:
        StoreError: it cannot be opened.
        HomeClosed: it is open on another loop that is still running.
    """
    name = name_of(db)
    while True:
        shared = _found(name) or _made(name, db, is_guest)
        async with shared.changing:
            if _shared.get(name) is not shared:
                # whoever had it could not open it, or was the last to use it: begin anew
                continue
            if not shared.is_open:
                try:
                    await shared.store.open()
                except BaseException:
                    del _shared[name]
                    raise
                shared.is_open = True
            shared.users += 1
            return shared.store


async def release_store(store: Store) -> None:
    """Close *store* when its last user gives it back. When cancelled it is to be called again."""
    shared = _shared.get(store.url)
    if shared is None or shared.store is not store:
        await store.close()
        return
    async with shared.changing:
        shared.users -= 1
        if shared.users > 0:
            return
        try:
            await store.close()
        finally:
            _forget(store)


def drop_store(store: Store) -> None:
    """Close a store whose loop is gone."""
    _forget(store)
    store.close_sync()


def _found(name: str) -> _Shared | None:
    """The store of that database that this process has on the running loop."""
    shared = _shared.get(name)
    if shared is None or shared.loop is asyncio.get_running_loop():
        return shared
    if shared.pid != os.getpid():
        # it is that of the process from which this one was forked
        del _shared[name]
        return None
    if shared.loop.is_running():
        raise HomeClosed(
            f"{name} is open on another event loop of this process, which is still running",
            fix="use it from one event loop",
        )
    drop_store(shared.store)
    return None


def _made(name: str, db: str | Store, is_guest: bool) -> _Shared:
    store = open_store(db, group=worker_group(), is_guest=is_guest) if isinstance(db, str) else db
    shared = _shared[name] = _Shared(store, asyncio.get_running_loop())
    return shared


def _forget(store: Store) -> None:
    """Share *store* no more; another one of the same database stays."""
    shared = _shared.get(store.url)
    if shared is not None and shared.store is store:
        del _shared[store.url]
