"""One open store per database and process, shared by any number of homes."""

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
    """A store and the number of homes that use it."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self.loop = loop
        self.pid = os.getpid()
        self.users = 0
        #: held while it is being opened or closed
        self.changing = asyncio.Lock()
        self.is_open = False


_shared: dict[str, _Shared] = {}


def name_of(db: str | Store) -> str:
    """Canonical URL of a database."""
    return canonical_url(db) if isinstance(db, str) else db.url


def worker_group() -> str | None:
    """An identifier that the workers of one server share; None for a single process."""
    parent = multiprocessing.parent_process()
    return None if parent is None else f"multiprocessing:{parent.pid}"


async def take_store(db: str | Store, *, is_guest: bool = False) -> Store:
    """The open store of a database; opens it if this process has not, optionally as a guest of another process.

    Raises:
        StoreError: it cannot be opened.
        HomeClosed: it is open on another event loop that is still running.
    """
    name = name_of(db)
    while True:
        shared = _found(name) or _made(name, db, is_guest)
        async with shared.changing:
            if _shared.get(name) is not shared:
                # its opening failed, or its last user closed it: start over
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
    """Close *store* when its last user releases it. If cancelled, it has to be called again."""
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
    """Close a store whose event loop is gone."""
    _forget(store)
    store.close_sync()


def _found(name: str) -> _Shared | None:
    """The store of that database in this process, on the running event loop."""
    shared = _shared.get(name)
    if shared is None or shared.loop is asyncio.get_running_loop():
        return shared
    if shared.pid != os.getpid():
        # it belongs to the process from which this one was forked
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
    """Stop sharing *store*; another store of the same database is not affected."""
    shared = _shared.get(store.url)
    if shared is not None and shared.store is store:
        del _shared[store.url]
