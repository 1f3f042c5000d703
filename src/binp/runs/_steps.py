"""Steps of a run whose results are stored, so that a further attempt can skip them."""

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
    """The result of a step cannot be stored."""


class Steps:
    """The steps of one run.

    Args:
        store: Stores the results.
        threads: Calls sync functions.
    """

    def __init__(self, store: Store, threads: Threads) -> None:
        self._store = store
        self._threads = threads
        #: the attempt in which a step was last requested
        self._attempt = 0
        self._done: dict[str, StepRow] | None = None
        self._seen: Counter[str] = Counter()

    async def do(
        self,
        run: ActiveRun,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call *function*, unless an earlier attempt has done the step *name*; returns the result, through JSON.

        Args:
            run: The run; the same one in each call.
            name: Name of the step.
            function: An async function, or a sync one, which is called in a thread.
            args: Positional arguments of the function.
            kwargs: Keyword arguments of the function.

        Raises:
            BadStep: the result cannot be expressed as JSON, or something else has ended the run.
            Exception: whatever the function raised; the step is then not done.
        """
        if self._attempt != run.attempt:
            # the function starts again: count its steps from the beginning, and read again what is done
            self._attempt, self._done = run.attempt, None
            self._seen.clear()
        self._seen[name] += 1
        count = self._seen[name]
        key = name if count == 1 else f"{name}#{count}"
        origin = run.origin or run.id
        if self._done is None:
            self._done = {row.name: row for row in await self._store.get_steps(origin)}
        done = self._done.get(key)
        if done is not None:
            run.record(f"step {key!r} was done before", {"run": done.run})
            return json.loads(done.result)
        text = _encoded(key, await call_function(function, args, kwargs, self._threads))
        step = KeepStep(run=run.id, epoch=run.epoch, origin=origin, name=key, result=text, at=now())
        kept = await settle(self._store.write(step))
        if not kept:
            raise BadStep(f"step {key!r} is not remembered: run {run.id} was ended by somebody else")
        run.record(f"step {key!r} is done", {})
        return json.loads(text)


def _encoded(key: str, value: Any) -> str:
    text = as_json(value, RESULT_LIMIT)
    if isinstance(value, Secret) or f'"{REPR_KEY}"' in text or f'"{CUT_KEY}"' in text:
        raise BadStep(
            f"step {key!r} returned a value of type {type(value).__name__} that cannot be remembered",
            fix="return what JSON can carry, at most a megabyte: numbers, texts, lists, dicts, dataclasses, models",
        )
    return text
