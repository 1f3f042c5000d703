"""Durable key-value state in one namespace."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from binp.home import Home
from binp.runs import current_run, now
from binp.store.contract import KeyValue, PutKey, RemoveKeys, SetKeys, StoreError, Write

from ._entry import Entry, KeyConflict
from ._json import decode, encode
from ._listing import Listing
from ._watch import Watch

if TYPE_CHECKING:
    from pydantic import BaseModel

    from binp.store.contract import Store

__all__ = ["KV"]

Model = TypeVar("Model", bound="BaseModel")

_logger = logging.getLogger("KV")

#: the latest possible expiry, in microseconds since the epoch: in the year 2255
_LAST = 2**53 - 1


class KV:
    """Key-value state in one namespace. When an awaited write returns, it is committed.

    A value is anything that JSON can express, or a pydantic model. Used alone, it opens its database at the first
    ``await``; as part of a BINP, it shares the database of the other parts.

    Args:
        namespace: Keys of different namespaces are independent.
        db: URL or path of the database, or a store. Default: the setting.
        history: How many versions of each key to keep, including the current one, 1 to 1,000. Default: the setting.
    """

    def __init__(
        self, namespace: str = "default", db: str | Store | None = None, *, history: int | None = None
    ) -> None:
        if history is not None and not 1 <= history <= 1000:
            raise ValueError(f"history is {history}: it must be from 1 to 1000")
        self.namespace = namespace
        self.db = db
        self._place = _Place(db)
        self._versions = history

    def __repr__(self) -> str:
        return f"KV(namespace={self.namespace!r})"

    def bind(self, home: Home) -> None:
        """Use the database of *home*, also in all namespaces selected from this one."""
        self._place.home = home

    def select(self, namespace: str, *, history: int | None = None) -> KV:
        """A different namespace of the same database.

        Args:
            namespace: Its name.
            history: How many versions of each key to keep. Default: as many as this namespace.
        """
        other = KV(namespace, self.db, history=self._versions if history is None else history)
        other._place = self._place
        return other

    async def namespaces(self) -> list[str]:
        """Names of all namespaces that have at least one key."""
        return await (await self._store()).namespaces()

    # -- read ----------------------------------------------------------------------------------------------------

    async def get(self, name: str, default: Any = None) -> Any:
        """The value of *name*; *default* if the key does not exist."""
        store = self._place.home.opened or await self._store()
        text = await store.get_value(self.namespace, name if type(name) is str else _checked(name))
        return default if text is None else decode(text)

    async def entry(self, name: str) -> Entry | None:
        """The value of *name* with its version, and who wrote it when; None if the key does not exist."""
        found = await self._read(_checked(name))
        return None if found is None else Entry.of(found)

    def keys(self, prefix: str = "", after: str = "", limit: int | None = None) -> Listing[str]:
        """The names of the keys, sorted: ``await`` it for a list, or ``async for name in`` it to read page by page.

        Args:
            prefix: Only names that start with this.
            after: Only names that sort after this one.
            limit: Maximum number of names.
        """
        return self._list(prefix, after, limit, lambda row: row.key)

    def entries(self, prefix: str = "", after: str = "", limit: int | None = None) -> Listing[Entry]:
        """Like :meth:`keys`, but with an :class:`Entry` for each key: value, version, author and time."""
        return self._list(prefix, after, limit, Entry.of)

    async def history(self, name: str, limit: int = 100) -> list[Entry]:
        """The versions of *name*, newest first, including removals: value, time, author and run.

        An old version with a value longer than 64 KiB is kept without the value.

        Args:
            name: The key.
            limit: Maximum number of versions, up to 1,000.
        """
        key = _checked(name)
        found = await (await self._store()).get_key_history(self.namespace, key, limit=limit)
        return [Entry.of_version(self.namespace, key, version) for version in found]

    def watch(self, name: str | None = None, *, prefix: str = "") -> Watch:
        """Follow one key, or all keys with a prefix: ``async for entry in kv.watch("target")``.

        First it yields the existing entries, then each change, including removals (``entry.event``). If the reader is
        slower than the writers, it gets the missed changes from the history of the key. It ends when the home is
        closed.

        Args:
            name: The key, to follow a single one.
            prefix: The prefix of the keys otherwise. Default: all keys of the namespace.

        Raises:
            TypeError: both were given.
        """
        if name is not None and prefix:
            raise TypeError("watch one key, or those with a prefix, not both")
        return Watch(self._opened, self.namespace, None if name is None else _checked(name), prefix)

    # -- write ---------------------------------------------------------------------------------------------------

    async def set(self, /, **values: Any) -> None:
        """Save values, all or none. Existing values are overwritten.

        Raises:
            NotJson: a value is not JSON; it is a TypeError. Nothing was saved.
            StoreError: the database rejected the write. Nothing was saved.
        """
        await self._set({name: encode(name, value) for name, value in values.items()})

    async def put(
        self,
        name: str,
        value: Any,
        *,
        ttl: float | timedelta | None = None,
        if_version: int | None = None,
        durable: bool = True,
        actor: str | None = None,
    ) -> int:
        """Save one value; returns the new version of the key.

        Args:
            name: The key.
            value: The value to save.
            ttl: Time to live: a timedelta, or seconds; None for ever.
            if_version: The version that the key must have; 0 if it must not exist; None for any.
            durable: True: the value is on disk when this returns. False: faster, but a power failure can undo about the
                last second.
            actor: Who writes it, if known. Default: the actor of the current run.

        Raises:
            KeyConflict: the key has a different version. Nothing was saved.
            NotJson: the value is not JSON; it is a TypeError. Nothing was saved.
            ValueError: *ttl* is not above zero, or *if_version* is negative.
            StoreError: the database rejected the write. Nothing was saved.
        """
        key = _checked(name)
        if if_version is not None and if_version < 0:
            raise ValueError(f"if_version is {if_version}: versions begin with 1")
        done = await self._write(
            PutKey(
                key=key,
                value=encode(key, value),
                expires=None if ttl is None else _expiry(ttl),
                expected=if_version,
                durable=durable,
                **self._common(actor),
            )
        )
        if not done.is_done:
            raise KeyConflict(self.namespace, key, if_version or None, done.version or None)
        return int(done.version)

    async def create(self, name: str, value: Any, *, ttl: float | timedelta | None = None, durable: bool = True) -> int:
        """Save one value if the key does not exist. Of concurrent callers, one succeeds. Otherwise as :meth:`put`.

        Raises:
            KeyConflict: the key exists already. Nothing was saved.
        """
        return await self.put(name, value, ttl=ttl, if_version=0, durable=durable)

    async def update(
        self,
        name: str,
        function: Callable[[Any], Any],
        *,
        default: Any = None,
        ttl: float | timedelta | None = None,
        durable: bool = True,
    ) -> Any:
        """Read a value, save what *function* makes of it, and return the new value.

        No concurrent write is lost, in this process or in another one: if the key has changed meanwhile, *function* is
        called again with the new value. So it must be a pure computation, and must not block.

        Args:
            name: The key.
            function: Takes the current value, returns the new one.
            default: The current value if the key does not exist.
            ttl: As in :meth:`put`; None keeps the present expiry.
            durable: As in :meth:`put`.

        Raises:
            NotJson: the returned value is not JSON; it is a TypeError. Nothing was saved.
            StoreError: the database rejected the write. Nothing was saved.
        """
        key = _checked(name)
        first = encode(key, default)
        while True:
            found = await self._read(key)
            # decoded anew each time: the function may have changed the previous one
            value = function(decode(first if found is None else found.value))
            done = await self._write(
                PutKey(
                    key=key,
                    value=encode(key, value),
                    module=found.module if found else None,
                    expires=None if ttl is None else _expiry(ttl),
                    keeps_expiry=ttl is None,
                    expected=found.version if found else 0,
                    durable=durable,
                    **self._common(),
                )
            )
            if done.is_done:
                return value

    async def remove(self, *names: str, if_version: int | None = None, actor: str | None = None) -> None:
        """Remove keys, all or none. Keys that do not exist are ignored.

        Args:
            names: The keys.
            if_version: The version that the key must have; only with a single key.
            actor: Who removes them, if known. Default: the actor of the current run.

        Raises:
            KeyConflict: the key has a different version, or does not exist. Nothing was removed.
            TypeError: *if_version* was given with several keys.
            StoreError: the database rejected the write. Nothing was removed.
        """
        keys = tuple(dict.fromkeys(map(_checked, names)))
        if if_version is not None:
            if len(keys) != 1:
                raise TypeError("if_version is of one key")
            done = await self._write(PutKey(key=keys[0], value=None, expected=if_version, **self._common(actor)))
            if not done.is_done:
                raise KeyConflict(self.namespace, keys[0], if_version, done.version or None)
        elif keys:
            await self._write(RemoveKeys(keys=keys, **self._origin(actor)))

    # -- models --------------------------------------------------------------------------------------------------

    async def save(self, value: BaseModel) -> None:
        """Save a pydantic model under the name of its class.

        The name is the qualified name of the class without its module: a file finds the same state, whether it is run
        as a script or imported.
        """
        kind = type(value)
        await self._set({kind.__qualname__: encode(kind.__qualname__, value)}, module=kind.__module__)

    async def load(self, klass: type[Model]) -> Model | None:
        """The saved model of class *klass*; None if there is none.

        If a class of the same name in another module saved it, a warning is logged.

        Raises:
            pydantic.ValidationError: the saved data does not fit the class.
        """
        found = await self._read(klass.__qualname__)
        if found is None:
            return None
        here = klass.__module__
        if found.module not in (None, here, "__main__") and here != "__main__":
            _logger.warning(
                "loading %s of module %s, but it was saved by a class of that name in module %s",
                klass.__qualname__,
                here,
                found.module,
            )
        return klass.model_validate_json(found.value)

    # -- the store -----------------------------------------------------------------------------------------------

    async def _opened(self) -> Home:
        return await self._place.home.ensure()

    async def _store(self) -> Store:
        return (await self._place.home.ensure()).store

    async def _read(self, key: str) -> KeyValue | None:
        return await (await self._store()).get_key(self.namespace, key)

    def _list(self, prefix: str, after: str, limit: int | None, made: Callable[[KeyValue], Any]) -> Listing[Any]:
        async def read(after: str, most: int) -> list[KeyValue]:
            return await (await self._store()).list_keys(self.namespace, prefix=prefix, after=after, limit=most)

        return Listing(read, made, after, limit)

    async def _set(self, items: dict[str, str], module: str | None = None) -> None:
        if items:
            await self._write(SetKeys(items=tuple(items.items()), module=module, **self._common()))

    async def _write(self, write: Write) -> Any:
        """Send *write* to the store and return the acknowledgement.

        Raises:
            StoreError: this process no longer holds the run in which it is written.
        """
        done = await (await self._store()).write(write)
        if done is False:
            run = current_run.get()
            raise StoreError(
                f"nothing was written to namespace {self.namespace!r}: "
                f"run {run.id if run else '?'} is not held by this process any more"
            )
        return done

    def _common(self, actor: str | None = None) -> dict[str, Any]:
        """The fields that all writes of values have in common."""
        versions = self._versions or self._place.home.settings.kv_history
        return {"history": versions, **self._origin(actor)}

    def _origin(self, actor: str | None = None) -> dict[str, Any]:
        """Namespace, time, run and actor of a write."""
        run = current_run.get()
        where = {"namespace": self.namespace, "at": now()}
        if run is None:
            return {**where, "actor": actor}
        return {**where, "run": run.id, "epoch": run.epoch, "actor": actor or run.actor}


class _Place:
    """The home that all namespaces of one database share: their own, or that of the BINP once they are bound to it."""

    def __init__(self, db: str | Store | None) -> None:
        self.home = Home(db=db)


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a key is text, not {name!r}")
    return str(name)


def _expiry(ttl: float | timedelta) -> int:
    """The time *ttl* from now, in microseconds since the epoch."""
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if not seconds > 0:
        raise ValueError(f"ttl is {ttl}: it must be above 0 seconds")
    return _LAST if math.isinf(seconds) else min(now() + math.ceil(seconds * 1e6), _LAST)
