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

#: the last moment that a key can expire at, in microseconds since the epoch: in the year 2255
_LAST = 2**53 - 1


class KV:
    """Key-value state in one namespace. What was awaited is committed.

    A value is anything that JSON can carry, or a pydantic model. Used alone it opens its database at the first
    ``await``; as a part of a BINP it shares the one of the others.

    Args:
        namespace: Keys of different namespaces do not meet.
        db: URL or path of the database, or a store; the setting by default.
        history: How many versions of each key are kept, the present one included, 1 to 1,000; the setting by default.
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
        """Share the database of *home*, with all namespaces that were selected before."""
        self._place.home = home

    def select(self, namespace: str, *, history: int | None = None) -> KV:
        """Another namespace of the same database.

        Args:
            namespace: Its name.
            history: How many versions of each of its keys are kept; as many as of this one's by default.
        """
        other = KV(namespace, self.db, history=self._versions if history is None else history)
        other._place = self._place
        return other

    async def namespaces(self) -> list[str]:
        """Namespaces of the database that have at least one key."""
        return await (await self._store()).namespaces()

    # -- read ----------------------------------------------------------------------------------------------------

    async def get(self, name: str, default: Any = None) -> Any:
        """The value of *name*, *default* if there is none."""
        store = self._place.home.opened or await self._store()
        text = await store.get_value(self.namespace, name if type(name) is str else _checked(name))
        return default if text is None else decode(text)

    async def entry(self, name: str) -> Entry | None:
        """The value of *name* with its version, when and by whom it was written; None if there is none."""
        found = await self._read(_checked(name))
        return None if found is None else Entry.of(found)

    def keys(self, prefix: str = "", after: str = "", limit: int | None = None) -> Listing[str]:
        """The names of the keys, sorted: ``await`` it for a list, or ``async for name in`` it, a page at a time.

        Args:
            prefix: Only names that begin so.
            after: Only names behind this one.
            limit: At most so many.
        """
        return self._list(prefix, after, limit, lambda row: row.key)

    def entries(self, prefix: str = "", after: str = "", limit: int | None = None) -> Listing[Entry]:
        """The same with values and all else that is known: like :meth:`keys`, with :class:`Entry`."""
        return self._list(prefix, after, limit, Entry.of)

    async def history(self, name: str, limit: int = 100) -> list[Entry]:
        """Versions of *name*, the newest first, removals included: value, when, by whom, in which run.

        A version that is not the present one any more is kept without its value if that is longer than 64 KiB.

        Args:
            name: The key.
            limit: At most so many, 1,000 at the most.
        """
        key = _checked(name)
        found = await (await self._store()).get_key_history(self.namespace, key, limit=limit)
        return [Entry.of_version(self.namespace, key, version) for version in found]

    def watch(self, name: str | None = None, *, prefix: str = "") -> Watch:
        """Follow one key, or all that begin with *prefix*: ``async for entry in kv.watch("target")``.

        First come the present entries, those that there are; then each change, removals included (``entry.event``). A
        reader who is slower than the writers gets what it missed from the history of the key. It ends when the home
        is closed.

        Args:
            name: The one key.
            prefix: How the names begin, if it is not one key; all keys of the namespace by default.

        Raises:
            TypeError: both were given.
        """
        if name is not None and prefix:
            raise TypeError("watch one key, or those with a prefix, not both")
        return Watch(self._opened, self.namespace, None if name is None else _checked(name), prefix)

    # -- write ---------------------------------------------------------------------------------------------------

    async def set(self, /, **values: Any) -> None:
        """Save values, all or none, whatever was there before.

        Raises:
            NotJson: a value is not JSON; it is a TypeError. Nothing was saved.
            StoreError: the database refused. Nothing was saved.
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
        """Save one value; returns the version that the key has by that.

        Args:
            name: The key.
            value: What is kept.
            ttl: Time after which the key is not there any more, in seconds if it is a number; None for never.
            if_version: The version that the key must have; 0: it must not be there; None: whatever it has.
            durable: On the disk when this returns. Else it is quicker, and a power cut can undo about a second.
            actor: Who wants it, as far as is known; that of the run by default.

        Raises:
            KeyConflict: the key is in another version. Nothing was saved.
            NotJson: the value is not JSON; it is a TypeError. Nothing was saved.
            ValueError: *ttl* is not above zero, or *if_version* is below.
            StoreError: the database refused. Nothing was saved.
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
        """Save one value if the key is not there: of all who do so at once one succeeds. Otherwise like :meth:`put`.

        Raises:
            KeyConflict: the key is there already. Nothing was saved.
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
        """Read a value, and save what *function* makes of it; returns that.

        Nothing that others save meanwhile, in this process or another, is lost: then *function* is called again with
        the new value. So it must do nothing else than to compute, and must not wait.

        Args:
            name: The key.
            function: Gets the value, returns the new one.
            default: What it gets if the key is not there.
            ttl: As in :meth:`put`; None leaves it as it is.
            durable: As in :meth:`put`.

        Raises:
            NotJson: what it returned is not JSON; it is a TypeError. Nothing was saved.
            StoreError: the database refused. Nothing was saved.
        """
        key = _checked(name)
        first = encode(key, default)
        while True:
            found = await self._read(key)
            # a copy each time, whatever was done to the one before
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
        """Remove keys, all or none; those that are not there are no error.

        Args:
            names: The keys.
            if_version: The version that the key must have, if it is one.
            actor: Who wants it, as far as is known; that of the run by default.

        Raises:
            KeyConflict: the key is in another version, or not there. Nothing was removed.
            TypeError: *if_version* was given for several keys.
            StoreError: the database refused. Nothing was removed.
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

        The name is the class's qualified name without its module, so that a file run as a script and imported finds the
        same state.
        """
        kind = type(value)
        await self._set({kind.__qualname__: encode(kind.__qualname__, value)}, module=kind.__module__)

    async def load(self, klass: type[Model]) -> Model | None:
        """The saved model of that class, None if there is none.

        A model that a class of the same name in another module saved is loaded with a warning.

        Raises:
            pydantic.ValidationError: what is saved does not fit the class.
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
        """What *write* is acknowledged with.

        Raises:
            StoreError: the run in which it is written is not held by this process any more.
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
        """What all writes of values say."""
        versions = self._versions or self._place.home.settings.kv_history
        return {"history": versions, **self._origin(actor)}

    def _origin(self, actor: str | None = None) -> dict[str, Any]:
        """Where, when, in which run and by whom something is written."""
        run = current_run.get()
        where = {"namespace": self.namespace, "at": now()}
        if run is None:
            return {**where, "actor": actor}
        return {**where, "run": run.id, "epoch": run.epoch, "actor": actor or run.actor}


class _Place:
    """Where the namespaces of one database are: the home of a BINP, or one of their own until they join it."""

    def __init__(self, db: str | Store | None) -> None:
        self.home = Home(db=db)


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a key is text, not {name!r}")
    return str(name)


def _expiry(ttl: float | timedelta) -> int:
    """The moment that is so far away, in microseconds since the epoch."""
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if not seconds > 0:
        raise ValueError(f"ttl is {ttl}: it must be above 0 seconds")
    return _LAST if math.isinf(seconds) else min(now() + math.ceil(seconds * 1e6), _LAST)
