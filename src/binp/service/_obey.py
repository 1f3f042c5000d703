"""Obey the commands for services that were given to other processes, or before this one led."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from binp.store.contract import ServiceRow, StoreError

__all__ = ["Obeying"]

_logger = logging.getLogger("Service")

#: seconds between two attempts to read what is wanted: at first, and at most
_SOON, _RARELY = 0.1, 5.0
#: attempts after which those that start by themselves do so: better these than none
_PATIENCE = 5


class Obeying:
    """A task, as long as there is something to obey. An error ends neither it nor what else is to be obeyed.

    Args:
        read: What is wanted of services, by name.
        names: The services that there are, in their order.
        heed: Does what is wanted of one, after a takeover whatever that is.
    """

    def __init__(
        self,
        read: Callable[[], Coroutine[Any, Any, Mapping[str, ServiceRow]]],
        names: Callable[[], Iterable[str]],
        heed: Callable[[str, ServiceRow | None, bool], None],
    ) -> None:
        self._read = read
        self._names = names
        self._heed = heed
        self._told: set[str] = set()
        #: what ran in another process is about to be started here
        self._is_takeover = False
        self._task: asyncio.Task[None] | None = None

    def tell(self, names: Iterable[str], context: contextvars.Context) -> None:
        """Something was commanded of *names*: see what, in a task that runs in *context*."""
        self._told.update(names)
        self._begin(context)

    def take_over(self, context: contextvars.Context) -> None:
        """See to all services, in a task that runs in *context*: what ran elsewhere, or was wanted meanwhile, runs."""
        self._is_takeover = True
        self._begin(context)

    async def end(self) -> None:
        """Obey no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._told.clear()
        self._is_takeover = False

    def _begin(self, context: contextvars.Context) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._obey(), name="binp services obey", context=context
            )

    async def _obey(self) -> None:
        try:
            while self._told or self._is_takeover:
                # what is told from here on is seen after it is read anew
                told, self._told = self._told, set()
                is_takeover, self._is_takeover = self._is_takeover, False
                rows = await self._rows(is_takeover)
                for name in self._names():
                    if is_takeover or name in told:
                        self._heed_one(name, rows.get(name), is_takeover)
        finally:
            self._task = None

    async def _rows(self, is_takeover: bool) -> Mapping[str, ServiceRow]:
        pause, attempts = _SOON, 0
        while True:
            attempts += 1
            try:
                return await self._read()
            except Exception as error:
                if attempts == 1:
                    # what the store says needs no traceback
                    trace = None if isinstance(error, StoreError) else error
                    text = "what is wanted of services cannot be read yet: %s"
                    _logger.error(text, error, exc_info=trace)  # noqa: TRY400 - a traceback is not always wanted
                if is_takeover and attempts == _PATIENCE:
                    _logger.error("those services are started that start by themselves, whatever was wanted")  # noqa: TRY400 - the reason was told above
                    return {}
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RARELY)

    def _heed_one(self, name: str, row: ServiceRow | None, is_takeover: bool) -> None:
        try:
            self._heed(name, row, is_takeover)
        except Exception:
            _logger.exception("what is wanted of service %r cannot be done", name)
