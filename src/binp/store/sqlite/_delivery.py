"""Deliver results and changes to the event loop, and make the loop yield the GIL to a thread that commits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from binp.store.contract import Change, Health, Listener, Role, StoreDamaged

from ._clock import wall_clock
from ._outbox import Outbox
from ._receipt import Awaited, resolve

__all__ = ["Delivery"]

T = TypeVar("T")

_logger = logging.getLogger("binp.store")

#: seconds after which a commit is assumed to wait for the GIL
_LATE = 0.001
#: maximum number of undelivered changes; above it, the busy loop is only told that there were some
_MOST_CHANGES = 100_000
#: polling interval of the loop's load while it is not busy, in seconds
_LOOK = 0.005
#: seconds for which the loop yields the GIL; and between two times, at first and later
_PAUSE, _SOON, _LATER = 0.0001, 0.0002, 0.002


class Delivery:
    """The part of a store that runs on its event loop.

    An event loop that is never idle starves all other threads of the GIL: its own ``select`` releases the GIL for too
    short a time. So while a commit is late, the loop sleeps for a tenth of a millisecond now and then.

    Args:
        outbox: The queue of writes.
        renew: Called on the loop if changes could not be delivered: the feed gets a new identity.
    """

    def __init__(self, outbox: Outbox, renew: Callable[[], None]) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._outbox = outbox
        self._listeners: list[Listener] = []
        self._role_callbacks: list[Callable[[Role], None]] = []
        self._health_callbacks: list[Callable[[Health], None]] = []
        #: whether the database accepts writes, and the damage that this process has found
        self._writes = Health()
        self._damage: Health | None = None
        self._renew = renew
        self._posting = threading.Lock()
        #: what is on its way to the event loop
        self._awaited: list[Awaited] = []
        self._changes: list[Change] = []
        #: changes were lost; and whether the reason is that the event loop was too busy
        self._is_torn = self._has_gap = False
        self._is_posted = False
        self._nudges = 0
        self._since = 0.0
        #: how often the loop had waited at the last poll
        self._waits = -1
        #: whether the loop polls already, so that `expect` need not be called
        self.is_looking = False

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for *loop*; must be called in its thread."""
        self._loop = loop
        self._thread = threading.get_ident()
        # what was on its way to another loop, which is gone, never arrives
        self._awaited, self._changes = [], []
        self.is_looking = self._is_posted = self._is_torn = self._has_gap = False
        self._writes = Health()
        self._damage = None

    @property
    def health(self) -> Health:
        """The health of the database, as far as this process knows. Damage is remembered until the store is closed."""
        return self._damage if self._damage is not None and self._writes.reason is None else self._writes

    def mark(self, since: float) -> None:
        """Set when the current commit has started, in monotonic seconds; 0 if there is none."""
        self._since = since

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* with the changes of each commit. Returns a function that ends it."""
        return _add(self._listeners, listener)

    def on_role(self, callback: Callable[[Role], None]) -> Callable[[], None]:
        """Call *callback* when this process becomes the owner. Returns a function that ends it."""
        return _add(self._role_callbacks, callback)

    def on_health(self, callback: Callable[[Health], None]) -> Callable[[], None]:
        """Call *callback* when the database stops accepting writes, or recovers. Returns a function that ends it."""
        return _add(self._health_callbacks, callback)

    def post(self, awaited: Sequence[Awaited], changes: Sequence[Change]) -> None:
        """Deliver *changes* to listeners, then results to those who have *awaited*. Called by the committing thread."""
        mine = self._loop
        own = [pair for pair in awaited if pair[0].get_loop() is mine]
        if len(own) < len(awaited):
            for pair in awaited:
                loop = pair[0].get_loop()
                if loop is not mine:
                    # awaited in the event loop of another thread
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(resolve, [pair])
        with self._posting:
            self._awaited += own
            if changes and self._listeners:
                self._changes += changes
                if len(self._changes) > _MOST_CHANGES:
                    self._changes, self._is_torn, self._has_gap = [], True, True
            is_known, self._is_posted = self._is_posted, bool(self._awaited or self._changes or self._is_torn)
        if self._is_posted and not is_known:
            self._call(self._arrive)

    def reset(self) -> None:
        """Report to the listeners that the feed is a different one from now on."""
        with self._posting:
            self._changes, self._is_torn = [], True
            is_known, self._is_posted = self._is_posted, True
        if not is_known:
            self._call(self._arrive)

    def post_role(self, role: Role) -> None:
        """Report the new role of this process."""
        self._call(_tell, self._role_callbacks, role, "store's role")

    def post_health(self, health: Health) -> None:
        """Report whether the database accepts writes."""
        self._writes = health
        self._call(_tell, self._health_callbacks, self.health, "store's health")

    def post_damage(self, error: StoreDamaged) -> None:
        """Report, once, that part of the database cannot be read. May be called from any thread."""
        damage = Health(reason=error.what, fix=error.fix, since=wall_clock(), is_damaged=True)
        with self._posting:
            known, self._damage = self._damage, self._damage or damage
        if known is None:
            _logger.error("some of the database cannot be read: %s", error)
            self._call(_tell, self._health_callbacks, self.health, "store's health")

    def expect(self) -> None:
        """A write was queued: make sure that it is committed soon. Not needed while :attr:`is_looking`."""
        self.is_looking = True
        if threading.get_ident() == self._thread:
            self._nudge_in(_LATE)
        else:
            self._call(self._nudge_in, _LATE)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if self._loop is not None:
            # with a closed event loop, nobody is waiting
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *arguments)

    def _nudge_in(self, seconds: float) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_later(seconds, self._nudge)

    def _arrive(self) -> None:
        with self._posting:
            awaited, self._awaited = self._awaited, []
            changes, self._changes = self._changes, []
            is_torn, has_gap = self._is_torn, self._has_gap
            self._is_torn = self._has_gap = self._is_posted = False
        if has_gap:
            self._renew()
        if is_torn:
            _tell(self._listeners, (), "store")
        if changes:
            _tell(self._listeners, changes, "store")
        resolve(awaited)

    def _nudge(self) -> None:
        since = self._since
        if not since and not self._outbox:
            self.is_looking = False
            self._nudges = 0
            return
        is_busy = self._is_busy()
        if is_busy and (self._outbox.is_pressing or (since and time.monotonic() - since > _LATE)):
            time.sleep(_PAUSE)
            # the sleep counts as a wait, but not as one of the loop
            self._waits = _waits()
            self._nudges += 1
            # a commit that is still not done waits for the disk, for which more sleeping does not help
            self._nudge_in(_SOON if self._nudges < 50 else _LATER)
        else:
            self._nudges = 0
            self._nudge_in(_LATE if is_busy else _LOOK)

    def _is_busy(self) -> bool:
        """Whether the event loop has not waited since the last poll."""
        before, self._waits = self._waits, _waits()
        return before == self._waits


def _counter() -> Callable[[], int]:
    """A function that returns how often its thread has waited so far; constant if the system does not tell."""
    try:
        import resource

        thread = resource.RUSAGE_THREAD
    except (ImportError, AttributeError):
        return lambda: 0
    return lambda: resource.getrusage(thread).ru_nvcsw


_waits = _counter()


def _tell(listeners: Sequence[Callable[[T], object]], news: T, subject: str) -> None:
    """Call all *listeners*, even if some raise."""
    for listener in tuple(listeners):
        try:
            listener(news)
        except Exception:
            _logger.exception("a listener of the %s failed: %r", subject, listener)


def _add(callbacks: list[T], callback: T) -> Callable[[], None]:
    """Add *callback*; returns a function that removes it again."""
    callbacks.append(callback)

    def end() -> None:
        with contextlib.suppress(ValueError):
            callbacks.remove(callback)

    return end
