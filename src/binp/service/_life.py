"""One execution of a service: with a run in the history where there is one, without where there is none."""

from __future__ import annotations

import logging
from typing import Any

from binp.home import Home
from binp.operations import Operation, is_async
from binp.runs import ActiveRun, Outcome, Threads, Trigger, current_journal, current_run
from binp.store.contract import StoreError
from buvar import di

__all__ = ["begin_life"]

_logger = logging.getLogger("Service")


class _Life:
    def __init__(self, operation: Operation, home: Home | None, run: ActiveRun | None) -> None:
        self._operation = operation
        self._home = home
        self._run = run

    async def body(self) -> Any:
        """Execute the function, with its dependencies in a scope of their own."""
        if not self._operation.form.injected:
            return await self._call({})
        async with di.scope() as scope:
            return await self._call(await scope.provide(self._operation.function))

    def ended(self, outcome: Outcome) -> None:
        """Queue the end of the run; nobody waits for it."""
        current_run.set(None)
        current_journal.set(None)
        if self._run is None or self._home is None:
            return
        try:
            self._home.runs.finish(self._run, outcome)
        except StoreError as error:
            _logger.warning("the end of service %r is missing in the history: %s", self._operation.name, error.what)

    async def _call(self, provided: dict[str, Any]) -> Any:
        function = self._operation.function
        if is_async(function):
            return await function(**provided)
        if self._home is not None and self._home.is_open:
            return await self._home.runs.threads.run(lambda: function(**provided))
        threads = Threads(1)
        try:
            return await threads.run(lambda: function(**provided))
        finally:
            threads.close(0)


async def begin_life(operation: Operation, home: Home | None) -> _Life:
    """Begin a life in the running task: its run, if there is a home, becomes the current one."""
    if home is None:
        return _Life(operation, None, None)
    await home.ensure()
    run, _ = home.runs.begin(operation, trigger=Trigger("service"))
    run.adoptable = operation.base
    current_run.set(run)
    current_journal.set(run.id)
    return _Life(operation, home, run)
