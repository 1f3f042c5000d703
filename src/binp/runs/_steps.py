"""Steps of a run that are remembered, so that a further attempt need not do them again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from binp.errors import BinpError
from binp.operations import CUT_KEY, REPR_KEY, as_json
from binp.store.contract import KeepStep, StepRow, Store
from buvar.secret import Secret

from ._active import ActiveRun, now
from ._life import RESULT_LIMIT, settle
from ._threads import Threads, call_function

__all__ = ["BadStep", "Steps"]


class BadStep(BinpError):
    """A step cannot be remembered."""


class Steps:
    """The steps of one run.

    Args:
        run: Whose they are.
        store: Where they are kept.
        threads: Where a synchronous function is called.
    """

    def __init__(self, run: ActiveRun, store: Store, threads: Threads) -> None:
        self._run = run
        self._store = store
        self._threads = threads
        self._done: dict[str, StepRow] | None = None
        self._seen: Counter[str] = Counter()

    def restart(self) -> None:
        """The function is called anew: what it did is counted from the beginning, and what is done is read again."""
        self._done = None
        self._seen.clear()

    async def do(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call *function*, unless an attempt before has done the step *name*; either way its result as JSON gives it.

        Raises:
            BadStep: it returned what JSON cannot carry, or the run was ended by somebody else.
            Exception: what the function raised; then the step is not done.
        """
        self._seen[name] += 1
        count = self._seen[name]
        key = name if count == 1 else f"{name}#{count}"
        origin = self._run.origin or self._run.id
        if self._done is None:
            self._done = {row.name: row for row in await self._store.get_steps(origin)}
        done = self._done.get(key)
        if done is not None:
            self._run.record(f"step {key!r} was done before", {"run": done.run})
            return json.loads(done.result)
        text = _encoded(key, await call_function(function, args, kwargs, self._threads))
        kept = await settle(
            self._store.write(
                KeepStep(run=self._run.id, epoch=self._run.epoch, origin=origin, name=key, result=text, at=now())
            )
        )
        if not kept:
            raise BadStep(f"step {key!r} is not remembered: run {self._run.id} was ended by somebody else")
        self._run.record(f"step {key!r} is done", {})
        return json.loads(text)


def _encoded(key: str, value: Any) -> str:
    text = as_json(value, RESULT_LIMIT)
    if isinstance(value, Secret) or f'"{REPR_KEY}"' in text or f'"{CUT_KEY}"' in text:
        raise BadStep(
            f"step {key!r} returned a value of type {type(value).__name__} that cannot be remembered",
            fix="return what JSON can carry, at most a megabyte: numbers, texts, lists, dicts, dataclasses, models",
        )
    return text
