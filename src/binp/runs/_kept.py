"""Acknowledgements of what a run says of itself."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

from binp.store.contract import Ack, StoreError

from ._quiet import quietly

__all__ = ["Acknowledged", "Kept"]

_logger = logging.getLogger("Journals")


class Acknowledged:
    """The acknowledgement of something that needed no write; may be awaited or ignored."""

    __slots__ = ("_value",)

    def __init__(self, value: Any = False) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._value

    def wait(self, timeout: float | None = None) -> Any:
        """The value, immediately."""
        return self._value


class Kept:
    """The acknowledgement of a write of a run; may be awaited or ignored. It never raises.

    A failure to write history must not break the function: the result is then False, and a warning gives the reason.
    """

    __slots__ = ("_ack",)

    def __init__(self, ack: Ack[Any]) -> None:
        self._ack = ack

    def __await__(self) -> Generator[Any, None, bool]:
        try:
            return bool((yield from self._ack.__await__()))
        except StoreError as error:
            return self._lost(error)

    def wait(self, timeout: float | None = None) -> bool:
        """Like awaiting it, from a thread; False after *timeout* seconds."""
        try:
            return bool(self._ack.wait(timeout))
        except (StoreError, TimeoutError) as error:
            return self._lost(error)

    def _lost(self, error: Exception) -> bool:
        with quietly():
            _logger.warning("something that a run said is missing in the history: %s", error)
        return False
