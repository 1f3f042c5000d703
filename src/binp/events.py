"""Broadcast changes to listeners: a bounded ring, and an emitter for compatibility."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from binp._loop import running_loop

__all__ = ["Emitter", "Reading", "Ring", "Sequenced"]

T = TypeVar("T")
Handler = TypeVar("Handler", bound=Callable[..., Any])

_logger = logging.getLogger("binp.events")

#: maximum number of events that a subscriber may be behind
_CAPACITY = 1024


class Emitter(Generic[T]):
    """Broadcasts events to all listeners in this process, in the order of the calls of :meth:`emit`.

    Used as a decorator, it calls a sync or async function for each event, one at a time; exceptions are logged. No
    listener can block it: one that is more than *capacity* events behind loses the oldest ones, with a warning.
    Creating an emitter and decorating with it need no running event loop.

    Args:
        capacity: Maximum number of events that a listener may be behind.
        context: Context variables for decorated functions, copied for each burst of events. Default: an empty context,
            never that of the caller of :meth:`emit`.
    """

    def __init__(self, *, capacity: int = _CAPACITY, context: contextvars.Context | None = None) -> None:
        self._capacity = capacity
        self._context = context
        self._sinks: list[_Sink[T]] = []

    def emit(self, event: T) -> None:
        """Broadcast *event*. Returns immediately; may be called from any thread."""
        for sink in tuple(self._sinks):
            sink.put(event)

    @contextlib.contextmanager
    def subscribe(self, own_queue: asyncio.Queue[T] | None = None) -> Iterator[asyncio.Queue[T]]:
        """Inside the block, every event is put into a queue: *own_queue*, or a new one.

        A full queue loses its oldest event, with a warning.
        """
        queue: asyncio.Queue[T] = asyncio.Queue(self._capacity) if own_queue is None else own_queue
        sink = _QueueSink(queue)
        self._sinks.append(sink)
        try:
            yield queue
        finally:
            self._sinks.remove(sink)

    def __call__(self, handler: Handler) -> Handler:
        """Call *handler* for every event from now on, including those emitted before an event loop runs."""
        self._sinks.append(_HandlerSink(handler, self._capacity, self._context))
        return handler

    def relay(self, other: Emitter[T]) -> None:
        """Forward every event to the listeners of *other* as well, from now on."""
        self._sinks.append(_RelaySink(other))

    async def settle(self) -> None:
        """Wait until the decorated functions have handled all events emitted so far."""
        tasks = [sink.task for sink in self._sinks if isinstance(sink, _HandlerSink) and sink.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop calling decorated functions; a running call is cancelled."""
        tasks = [sink.close() for sink in self._sinks if isinstance(sink, _HandlerSink)]
        self._sinks = [sink for sink in self._sinks if not isinstance(sink, _HandlerSink)]
        running = [task for task in tasks if task is not None]
        if running:
            await asyncio.wait(running)


class _Sink(Generic[T]):
    """Receives the events of an emitter, on the event loop of the listener."""

    def __init__(self) -> None:
        self.loop = running_loop()
        self._warned = False

    def put(self, event: T) -> None:
        """Receive *event*, from any thread."""
        here = running_loop()
        if self.loop is not None and self.loop is not here and self.loop.is_running():
            # another thread: the listener must be woken on its own event loop
            with contextlib.suppress(RuntimeError):  # the loop was just closed, so nobody waits on it
                self.loop.call_soon_threadsafe(self.take, event)
        else:
            if here is not None:
                self.loop = here
            self.take(event)

    def take(self, event: T) -> None:
        """Receive *event*, on the event loop."""
        raise NotImplementedError

    def overflow(self, who: object) -> None:
        """Log, once, that events are lost."""
        if not self._warned:
            self._warned = True
            _logger.warning("%r is so far behind that it loses events, the oldest first", who)


class _RelaySink(_Sink[T]):
    def __init__(self, emitter: Emitter[T]) -> None:
        super().__init__()
        self._emitter = emitter

    def put(self, event: T) -> None:
        self._emitter.emit(event)


class _QueueSink(_Sink[T]):
    def __init__(self, queue: asyncio.Queue[T]) -> None:
        super().__init__()
        self._queue = queue

    def take(self, event: T) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.overflow(self._queue)
        self._queue.put_nowait(event)


class _HandlerSink(_Sink[T]):
    """Queues events for a function; a task calls it while there are any, and then ends."""

    def __init__(self, handler: Callable[[T], Any], capacity: int, context: contextvars.Context | None) -> None:
        super().__init__()
        self.task: asyncio.Task[None] | None = None
        self._handler = handler
        self._events: collections.deque[T] = collections.deque(maxlen=capacity)
        self._context = context
        self._closed = False

    def take(self, event: T) -> None:
        if self._closed:
            return
        if len(self._events) == self._events.maxlen:
            self.overflow(self._handler)
        self._events.append(event)
        loop = running_loop()
        if loop is None:
            # no event loop yet: the first event emitted inside a loop starts the task for all of them
            return
        if self.task is None or self.task.done() or self.task.get_loop() is not loop:
            context = contextvars.Context() if self._context is None else self._context.copy()
            name = f"binp events to {getattr(self._handler, '__qualname__', self._handler)!s}"
            self.task = loop.create_task(self._work(), name=name, context=context)

    def close(self) -> asyncio.Task[None] | None:
        """Stop receiving; returns the task that was cancelled, if one was running."""
        self._closed = True
        self._events.clear()
        if self.task is None or self.task.done():
            return None
        self.task.cancel()
        return self.task

    async def _work(self) -> None:
        while self._events:
            event = self._events.popleft()
            try:
                result = self._handler(event)
                if inspect.isawaitable(result):
                    await result
            except Exception:  # an exception of a listener concerns neither the emitter nor later events
                _logger.exception("%r failed on the event %r", self._handler, event)


class Sequenced(Protocol):
    """An item with a sequence number."""

    @property
    def seq(self) -> int:
        """The sequence number, strictly increasing within one feed."""


S = TypeVar("S", bound=Sequenced)


@dataclass(frozen=True, slots=True)
class Reading(Generic[S]):
    """What a reader gets at its cursor."""

    #: the items after the cursor, in order; empty after a gap
    items: Sequence[S]
    #: the next cursor
    cursor: int
    #: items after the cursor are lost, or the cursor belongs to another feed: the reader has to read the state itself
    is_gap: bool = False


class Ring(Generic[S]):
    """The latest changes, for any number of readers with a cursor each.

    It never grows beyond *capacity* and never waits for a reader: one that is too far behind gets a gap. It is closed
    until :meth:`open`, and can be opened again.

    Args:
        capacity: Maximum number of changes to keep.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        #: identity of the present feed; cursors of other feeds are invalid
        self.feed = ""
        self._capacity = capacity
        self._items: collections.deque[S] = collections.deque()
        #: number of the newest change that was dropped; 0 if none was since it was opened
        self._lost = 0
        self._last = 0
        self._is_open = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether changes may still come."""
        return self._is_open

    @property
    def last(self) -> int:
        """Number of the newest change: the cursor of a reader that only wants later ones. 0 before the first."""
        return self._last

    @property
    def waiting(self) -> int:
        """Number of waiting readers."""
        return len(self._waiting)

    def open(self, feed: str) -> None:
        """Take changes of *feed* from now on, and drop all earlier ones."""
        self.feed = feed
        self._items.clear()
        self._lost = self._last = 0
        self._is_open = True
        # readers that wait at a cursor of an earlier feed get a gap
        self._wake()

    def publish(self, changes: Sequence[S]) -> None:
        """Add *changes*, in order, and wake the readers. Must be called on the event loop."""
        if not self._is_open or not changes:
            return
        items = self._items
        items.extend(changes)
        self._last = changes[-1].seq
        while len(items) > self._capacity:
            self._lost = items.popleft().seq
        self._wake()

    def after(self, cursor: int) -> Reading[S]:
        """The changes after *cursor*, which is the number of a change, or an earlier value of ``last``."""
        if cursor == self._last:
            return Reading((), cursor)
        if cursor > self._last or cursor < self._lost or not self._covers(cursor):
            return Reading((), self._last, is_gap=True)
        found: list[S] = []
        for item in reversed(self._items):
            if item.seq <= cursor:
                break
            found.append(item)
        found.reverse()
        return Reading(found, self._last)

    async def wait(self, cursor: int) -> bool:
        """Wait until there is something after *cursor*. False if there is nothing and the ring was closed."""
        while self._is_open and cursor == self._last:
            with self.waiter() as waiter:
                await waiter
        return cursor != self._last

    @contextlib.contextmanager
    def waiter(self) -> Iterator[asyncio.Future[None]]:
        """A future that is done at the next change, or when the ring is closed; its holder may resolve it earlier."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            yield future
        finally:
            self._waiting.discard(future)

    def close(self) -> None:
        """No more changes: wake all waiting readers. Idempotent."""
        self._is_open = False
        self._wake()

    def _covers(self, cursor: int) -> bool:
        """Whether no change between *cursor* and the oldest kept change is missing."""
        # 0 means the moment of opening; any other number before the first change is from an earlier opening
        return cursor == 0 or (bool(self._items) and cursor >= self._items[0].seq - 1)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)
