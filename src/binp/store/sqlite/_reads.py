"""The read methods of a store: single rows immediately, lists in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import orjson

from binp.store.contract import (
    KeyValue,
    KeyVersion,
    OnceRow,
    RecordRow,
    Run,
    RunCounts,
    RunPage,
    RunQuery,
    ScheduleRow,
    ServiceRow,
    StepRow,
    StoreClosed,
    StoreDamaged,
    StoreError,
)

from ._connect import FAILURES, explain_use
from ._delivery import Delivery
from ._queries import Reader

__all__ = ["Reads"]

T = TypeVar("T")

_logger = logging.getLogger("binp.store")

#: errors of reading that are due to the file
_UNREADABLE = (*FAILURES, orjson.JSONDecodeError, StoreDamaged)


class Reads:
    """The reading half of a store; the other half opens and closes the readers.

    Args:
        path: The database file.
        listeners: Told when part of the file cannot be read.
    """

    def __init__(self, path: Path, listeners: Delivery) -> None:
        self._path = path
        self._listeners = listeners
        #: for single rows, used on the event loop
        self._point: Reader | None = None
        #: for lists, used in the thread
        self._lists: Reader | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._is_forked = False

    async def get_key(self, namespace: str, key: str) -> KeyValue | None:
        """One key, or None. Read without a thread, because it takes only a few microseconds."""
        return self._look(self._opened(), lambda reader: reader.keys.get(namespace, key))

    async def get_value(self, namespace: str, key: str) -> str | None:
        """The JSON text of one key, or None. Also without a thread, and reads only what is needed."""
        point = self._point
        if point is None or self._is_forked:
            point = self._opened()
        # inlines _look, because this is the most frequent query
        try:
            return point.keys.value(namespace, key)
        except _UNREADABLE as error:
            raise self._explain(error) from None

    async def get_key_history(self, namespace: str, key: str, *, after: int = 0, limit: int = 100) -> list[KeyVersion]:
        """The stored versions of a key after version *after*, newest first; at most 1,000."""
        return await self._aside(lambda reader: reader.keys.history(namespace, key, after, limit))

    async def list_keys(self, namespace: str, *, prefix: str = "", after: str = "", limit: int = 200) -> list[KeyValue]:
        """Keys of a namespace, sorted by name; at most 1,000."""
        return await self._aside(lambda reader: reader.keys.page(namespace, prefix, after, limit))

    async def namespaces(self) -> list[str]:
        """Namespaces that have at least one key, sorted."""
        return await self._aside(lambda reader: reader.keys.namespaces())

    async def get_run(self, run: int) -> Run | None:
        """One run, or None."""
        return self._look(self._opened(), lambda reader: reader.get_run(run))

    async def get_once(self, key: str) -> OnceRow | None:
        """The first use of the idempotency key *key*, and its run; None if it was not used."""
        return self._look(self._opened(), lambda reader: reader.get_once(key))

    async def get_orphans(self, limit: int = 200) -> list[int]:
        """Runs that are QUEUED although the process that queued them is gone, oldest first."""
        return await self._aside(lambda reader: reader.get_orphans(limit))

    async def get_steps(self, origin: int) -> list[StepRow]:
        """The completed steps of all attempts that started with the run *origin*, by name."""
        return await self._aside(lambda reader: reader.get_steps(origin))

    async def get_slot(self, slot: str) -> list[int]:
        """The QUEUED and RUNNING runs of a slot, oldest first."""
        return await self._aside(lambda reader: reader.get_slot(slot))

    async def get_records(
        self, run: int, *, after: int = 0, before: int | None = None, newest: bool = False, limit: int = 200
    ) -> list[RecordRow]:
        """Records of a run by ``seq``: oldest first, or newest first; at most 10,000."""
        return await self._aside(lambda reader: reader.get_records(run, after, before, newest, limit))

    async def find_runs(self, query: RunQuery) -> RunPage:
        """A page of runs."""
        return await self._aside(lambda reader: reader.find_runs(query))

    async def count_runs(self, query: RunQuery, *, buckets: int = 60) -> RunCounts:
        """How many runs match *query*, in up to *buckets* periods of time that cover its time range."""
        return await self._aside(lambda reader: reader.count_runs(query, buckets))

    async def get_services(self) -> list[ServiceRow]:
        """Every service that was ever observed or commanded, by name."""
        return await self._aside(Reader.get_services)

    async def get_schedules(self) -> list[ScheduleRow]:
        """Every schedule with stored progress or a pause, by name."""
        return await self._aside(Reader.get_schedules)

    def _opened(self) -> Reader:
        self._check_fork()
        if self._point is None:
            raise StoreClosed("the store is not open", where=str(self._path), fix="open it first: await store.open()")
        return self._point

    def _check_fork(self) -> None:
        if self._is_forked:
            raise StoreError(
                "the store was opened before this process was forked from another",
                where=str(self._path),
                fix="open the store after forking, in each process its own",
            )

    async def _aside(self, read: Callable[[Reader], T]) -> T:
        """The result of *read*, executed in the thread."""
        self._opened()
        if self._thread is None:
            raise StoreClosed("the store is not open", where=str(self._path), fix="open it first: await store.open()")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, read)

    def _read(self, read: Callable[[Reader], T]) -> T:
        if self._lists is None:
            raise StoreClosed("the store was closed meanwhile", where=str(self._path))
        return self._look(self._lists, read)

    def _look(self, reader: Reader, read: Callable[[Reader], T]) -> T:
        """The result of *read*; translates its errors."""
        try:
            return read(reader)
        except _UNREADABLE as error:
            raise self._explain(error) from None

    def _explain(self, error: Exception) -> StoreError:
        """The error for a read that failed with *error*; damage is reported to the listeners."""
        _logger.debug("a read failed", exc_info=error)
        explained = error if isinstance(error, StoreDamaged) else explain_use(error, self._path)
        if isinstance(explained, StoreDamaged):
            self._listeners.post_damage(explained)
        return explained
