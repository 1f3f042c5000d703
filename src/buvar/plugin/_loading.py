"""Track which plugins are being loaded, and which loads wait for each other."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Final

#: Seconds of loading after which a message says what is being loaded; repeated after twice as long, and so on.
SLOW: Final = 10.0

_log = logging.getLogger("buvar.plugin")


class Loading:
    """The loading of one plugin: in progress, done, or failed.

    Args:
        name: Name of the plugin.
        asking: The loading that requested it; None if there is none.
    """

    def __init__(self, name: str, asking: Loading | None) -> None:
        self.name = name
        #: Set when it has ended.
        self.ended = asyncio.Event()
        #: Why it failed; None also if it was cancelled, so that a load that waits for it tries again.
        self.error: Exception | None = None
        #: The loadings that it is waiting for, and how many of its tasks wait for each.
        self._needs: Counter[Loading] = Counter()
        #: The loading that requested it.
        self.asking = asking

    def above(self) -> Iterator[Loading]:
        """This loading and those that requested it, nearest first."""
        loading: Loading | None = self
        while loading is not None:
            yield loading
            loading = loading.asking

    def way_to(self, other: Loading) -> list[str]:
        """The names from here to *other* along the waiting loads; empty if there is no such path."""
        if self is other:
            return [self.name]
        for needed in self._needs:
            way = needed.way_to(other)
            if way:
                return [self.name, *way]
        return []

    @contextlib.contextmanager
    def needing(self, other: Loading) -> Iterator[None]:
        """Inside the block, this one waits for *other*."""
        self._needs[other] += 1
        try:
            yield
        finally:
            self._needs[other] -= 1
            if not self._needs[other]:
                del self._needs[other]

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Inside the block, this plugin is being loaded; if that takes long, it is logged, because it may hang."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def tell(seconds: float) -> None:
            nonlocal timer
            if not self._needs:
                names = [loading.name for loading in self.above()]
                _log.warning("Still loading plugins after %g seconds: %s", seconds, " -> ".join(reversed(names)))
            timer = loop.call_later(seconds, tell, 2 * seconds)

        timer = loop.call_later(SLOW, tell, SLOW)
        token = _current.set(self)
        try:
            with self.asking.needing(self) if self.asking is not None else contextlib.nullcontext():
                yield
        except Exception as error:
            self.error = error
            raise
        finally:
            _current.reset(token)
            timer.cancel()
            self.ended.set()

    async def wait(self) -> None:
        """Wait until it has ended.

        Does not wait if this loading in turn waits for the caller: for such a cycle there is no right order.

        Raises:
            Exception: it failed.
        """
        asking = current()
        way = [] if asking is None or self.ended.is_set() else self.way_to(asking)
        if way:
            if asking is not None and self not in asking.above():
                # nested loads always happen in the same order; concurrent ones do not
                circle = " -> ".join([*way, self.name])
                _log.warning("Plugins that are loaded at once need each other, %s: %s does not wait", circle, way[-1])
            return
        with asking.needing(self) if asking is not None else contextlib.nullcontext():
            await self.ended.wait()
        if self.error is not None:
            raise self.error


#: The loading that the running code is part of.
_current: contextvars.ContextVar[Loading | None] = contextvars.ContextVar("buvar.plugin.loading", default=None)


def current() -> Loading | None:
    """The loading that the running code is part of; None if there is none, or it has ended."""
    loading = _current.get()
    return None if loading is None or loading.ended.is_set() else loading
