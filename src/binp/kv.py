"""Durable key-value state in namespaces."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from binp.home import Home
from binp.operations import mentions_secret
from binp.runs import current_run, now
from binp.store.contract import KeyValue, RemoveKeys, SetKeys, StoreError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from binp.store.contract import Store

__all__ = ["KV"]

Model = TypeVar("Model", bound="BaseModel")

_logger = logging.getLogger("KV")


class KV:
    """Key-value state in one namespace. What was awaited is committed.

    Used alone it opens its database at the first ``await``; as a part of a BINP it shares the one of the others.

    Args:
        namespace: Keys of different namespaces do not meet.
        db: URL or path of the database, or a store; the setting by default.
    """

    def __init__(self, namespace: str = "default", db: str | Store | None = None) -> None:
        self.namespace = namespace
        self.db = db
        self._place = _Place(db)

    def __repr__(self) -> str:
        return f"KV(namespace={self.namespace!r})"

    def bind(self, home: Home) -> None:
        """Share the database of *home*, with all namespaces that were selected before."""
        self._place.home = home

    async def set(self, /, **values: Any) -> None:
        """Save values, all or none; a value is anything that JSON can carry, or a pydantic model.

        Raises:
            TypeError: a value is no JSON. Nothing was saved.
            StoreError: the database refused. Nothing was saved.
        """
        await self._write({name: _encode(name, value) for name, value in values.items()})

    async def get(self, name: str) -> Any:
        """The value of *name*, None if there is none."""
        (key,) = _checked((name,))
        found = await self._read(key)
        return None if found is None else json.loads(found.value)

    async def remove(self, *names: str) -> None:
        """Remove keys, all or none; those that are not there are no error."""
        keys = _checked(names)
        if not keys:
            return
        home = await self._opened()
        run = current_run.get()
        done = await home.store.write(
            RemoveKeys(
                namespace=self.namespace,
                keys=keys,
                run=run.id if run else None,
                epoch=run.epoch if run else None,
                actor=run.actor if run else None,
                at=now(),
            )
        )
        self._check(done)

    async def namespaces(self) -> list[str]:
        """Namespaces of the database that have at least one key."""
        home = await self._opened()
        return await home.store.namespaces()

    def select(self, namespace: str) -> KV:
        """Another namespace of the same database."""
        other = KV(namespace, self.db)
        other._place = self._place
        return other

    async def save(self, value: BaseModel) -> None:
        """Save a pydantic model under the name of its class.

        The name is the class's qualified name without its module, so that a file run as a script and imported finds the
        same state.
        """
        kind = type(value)
        await self._write({kind.__qualname__: _encode(kind.__qualname__, value)}, module=kind.__module__)

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

    async def _read(self, name: str) -> KeyValue | None:
        home = await self._opened()
        return await home.store.get_key(self.namespace, name)

    async def _write(self, items: dict[str, str], module: str | None = None) -> None:
        if not items:
            return
        home = await self._opened()
        run = current_run.get()
        done = await home.store.write(
            SetKeys(
                namespace=self.namespace,
                items=tuple(items.items()),
                module=module,
                run=run.id if run else None,
                epoch=run.epoch if run else None,
                actor=run.actor if run else None,
                at=now(),
            )
        )
        self._check(done)

    def _check(self, done: bool) -> None:
        if not done:
            run = current_run.get()
            raise StoreError(
                f"nothing was written to namespace {self.namespace!r}: "
                f"run {run.id if run else '?'} is not held by this process any more"
            )

    async def _opened(self) -> Home:
        return await self._place.home.ensure()


class _Place:
    """Where the namespaces of one database are: the home of a BINP, or one of their own until they join it."""

    def __init__(self, db: str | Store | None) -> None:
        self.home = Home(db=db)


def _encode(name: str, value: Any) -> str:
    dump = getattr(type(value), "model_dump_json", None)
    if dump is not None:
        if mentions_secret(type(value)):
            raise TypeError(
                f"the value of {name!r} has a Secret inside, which would be stored as its mask: "
                "save what it reveals under a key of its own, if that is meant"
            )
        return str(dump(value))
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"the value of {name!r} is no JSON: {error}") from None


def _checked(names: Iterable[object]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"a key is text, not {name!r}")
    return tuple(str(name) for name in found)
