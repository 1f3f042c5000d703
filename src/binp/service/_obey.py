"""Obey commands for services that were given to other processes, or before this process led."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from binp.store.contract import ServiceRow, StoreError

__all__ = ["Obeying"]

_logger = logging.getLogger("Service")

#: seconds between two attempts to read the commands: the first delay, and the maximum
_SOON, _RARELY = 0.1, 5.0
#: attempts after which only the automatic services are started, because these are better than none
_PATIENCE = 5


class Obeying:
    """Runs a task while there are commands to obey. An error stops neither the task nor the other commands.

    Args:
        read: Returns the stored state of services, by name.
        names: Returns the existing services, in order.
        heed: Obeys the command for one service; after a takeover, whatever is stored.
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
        #: services that ran in another process are about to be started here
        self._is_takeover = False
        self._task: asyncio.Task[None] | None = None

    def tell(self, names: Iterable[str], context: contextvars.Context) -> None:
        """There are commands for *names*: obey them, in a task that runs in *context*."""
        self._told.update(names)
        self._begin(context)

    def take_over(self, context: contextvars.Context) -> None:
        """Check all services, in a task that runs in *context*: start what ran elsewhere or was commanded meanwhile."""
        self._is_takeover = True
        self._begin(context)

    async def end(self) -> None:
        """Stop obeying."""
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
                # commands that come from here on need another read
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
                    # an error of the store needs no traceback
                    trace = None if isinstance(error, StoreError) else error
                    text = "what is wanted of services cannot be read yet: %s"
                    _logger.error(text, error, exc_info=trace)  # noqa: TRY400 - a traceback is not always useful
                if is_takeover and attempts == _PATIENCE:
                    _logger.error("those services are started that start by themselves, whatever was wanted")  # noqa: TRY400 - the reason was logged above
                    return {}
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RARELY)

    def _heed_one(self, name: str, row: ServiceRow | None, is_takeover: bool) -> None:
        try:
            self._heed(name, row, is_takeover)
        except Exception:
            _logger.exception("what is wanted of service %r cannot be done", name)
