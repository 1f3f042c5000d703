"""Which plugins are being loaded, by whom, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Iterator
from typing import Final

#: Seconds of loading after which it is told what is being loaded; then after twice as long, and so on.
SLOW: Final = 10.0

_log = logging.getLogger("buvar.plugin")


class Loading:
    """The loading of one plugin: under way, done, or failed.

    Args:
        name: Name of the plugin.
        asking: What is being loaded that asks for it; None where nothing is.
    """

    def __init__(self, name: str, asking: Loading | None) -> None:
        self.name = name
        #: Set when it is over.
        self.ended = asyncio.Event()
        #: Why it failed; None also where it was cancelled, so that who waits for it tries it again.
        self.error: Exception | None = None
        #: Which others it waits for right now.
        self._needs: set[Loading] = set()
        #: What is being loaded that asks for it.
        self.asking = asking

    def above(self) -> Iterator[Loading]:
        """This and those that ask for it, the nearest first."""
        loading: Loading | None = self
        while loading is not None:
            yield loading
            loading = loading.asking

    def way_to(self, other: Loading) -> list[str]:
        """The names from here to *other*, following who waits for whom; empty when there is no way."""
        if self is other:
            return [self.name]
        for needed in self._needs:
            way = needed.way_to(other)
            if way:
                return [self.name, *way]
        return []

    @contextlib.contextmanager
    def needing(self, other: Loading) -> Iterator[None]:
        """Inside the block, this waits for *other*."""
        self._needs.add(other)
        try:
            yield
        finally:
            self._needs.discard(other)

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Inside the block, this is being loaded; it is told when that takes long, for it may wait for ever."""
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
        """Until it is over.

        A plugin that this one waits for in turn does not wait: for such a circle there is no right order.

        Raises:
            Exception: it failed.
        """
        asking = current()
        way = [] if asking is None or self.ended.is_set() else self.way_to(asking)
        if way:
            if asking is not None and self not in asking.above():
                # one inside the other they come in the same order each time; side by side they do not
                circle = " -> ".join([*way, self.name])
                _log.warning("Plugins that are loaded at once need each other, %s: %s does not wait", circle, way[-1])
            return
        with asking.needing(self) if asking is not None else contextlib.nullcontext():
            await self.ended.wait()
        if self.error is not None:
            raise self.error


#: What the running code is part of loading.
_current: contextvars.ContextVar[Loading | None] = contextvars.ContextVar("buvar.plugin.loading", default=None)


def current() -> Loading | None:
    """What the running code is part of loading; None when that is over."""
    loading = _current.get()
    return None if loading is None or loading.ended.is_set() else loading
