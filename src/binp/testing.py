"""Pytest fixtures for testing actions and services."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from binp import BINP
    from binp.store.contract import Run

# pytest imports this module in every project that has binp installed: import everything else on use

__all__ = ["App", "EndedRun", "SaidRecord", "binp_app"]


@dataclass(frozen=True, slots=True)
class SaidRecord:
    """A record of a run."""

    message: str
    fields: dict[str, Any]
    #: ``debug``, ``info``, ``warning``, ``error`` or ``critical``
    level: str
    #: ``record``, ``print`` or ``log``
    source: str


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended, as stored in the history."""

    id: int
    operation: str
    #: ``succeeded``, ``failed``, ``cancelled``, ``interrupted`` or ``skipped``
    state: str
    arguments: dict[str, Any]
    #: what the function returned, after a round trip through JSON
    result: Any
    #: type and message of the exception
    error: str | None
    traceback: str | None
    labels: tuple[str, ...]
    records: tuple[SaidRecord, ...]


class App:
    """A BINP under test, with a new database for each test.

    Nothing is served: services and schedules do not run by themselves.
    """

    def __init__(self, binp: BINP) -> None:
        self.binp = binp

    async def run_action(self, action: str | Callable[..., Any], /, **arguments: Any) -> EndedRun:
        """Run an action as the platform does, wait for its end, and return its run.

        Args:
            action: The name or the function of the action.
            arguments: Arguments for its form.

        Raises:
            UnknownOperation: there is no such action.
            InvalidArguments: the arguments do not fit its form.
        """
        handle = await self.binp.action.start(action, **arguments)
        return await self._ended(await handle.wait())

    async def last_run(self) -> EndedRun | None:
        """The run that was started last of those that have ended; None if there is none."""
        from binp.store.contract import FINISHED, RunQuery

        home = await self.binp.home.ensure()
        page = await home.store.find_runs(RunQuery(states=FINISHED, limit=1))
        return await self._ended(page.runs[0]) if page.runs else None

    async def _ended(self, run: Run) -> EndedRun:
        rows = await self.binp.home.store.get_records(run.id, limit=10_000)
        return EndedRun(
            id=run.id,
            operation=run.operation,
            state=str(run.state),
            arguments=json.loads(run.arguments) if run.arguments else {},
            result=None if run.result is None else json.loads(run.result),
            error=run.error,
            traceback=run.traceback,
            labels=run.labels,
            records=tuple(
                SaidRecord(row.message, json.loads(row.fields) if row.fields else {}, row.level, row.source)
                for row in rows
            ),
        )


@pytest.fixture
def binp_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    """The BINP of the module under test, with a new database.

    It is taken from the globals of the test module, or of the module beside it with the same name without ``test_``.
    """
    binp = _find(request.module)
    # the test opens it on its own event loop, and its teardown closes it
    binp.home.overrides["db"] = f"sqlite:///{tmp_path / 'data.db'}"
    try:
        yield App(binp)
    finally:
        binp.home.overrides.pop("db", None)


def _find(module: ModuleType) -> BINP:
    from binp.errors import UsageError

    found = _binps(module)
    if not found and (tested := _tested(module)) is not None:
        found = _binps(tested)
    if len(found) == 1:
        return found[0]
    what = "there is no BINP" if not found else f"there are {len(found)} BINPs"
    raise UsageError(
        f"{what} in {module.__name__}, nor in a module of its name without 'test_'",
        where=str(getattr(module, "__file__", module.__name__)),
        fix="import the one that is tested: from ops import binp",
    )


def _binps(module: ModuleType) -> list[BINP]:
    from binp import BINP

    found = {id(value): value for value in vars(module).values() if isinstance(value, BINP)}
    return list(found.values())


def _tested(module: ModuleType) -> ModuleType | None:
    """The module that the test module is named after."""
    import importlib.util
    import sys

    package, _, name = module.__name__.rpartition(".")
    if not name.startswith("test_"):
        return None
    tested = name.removeprefix("test_")
    full = f"{package}.{tested}" if package else tested
    if full in sys.modules:
        return sys.modules[full]
    path = Path(str(module.__file__)).with_name(f"{tested}.py")
    spec = importlib.util.spec_from_file_location(full, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        return None
    made = importlib.util.module_from_spec(spec)
    sys.modules[full] = made
    spec.loader.exec_module(made)
    return made
