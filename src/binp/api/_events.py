"""The stream of changes: one connection for everything that a page shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from binp.auth import Problem, send_problem
from binp.events import Reading, Ring
from binp.store.contract import Change

from ._strict import not_known
from ._watch import Ended, Watch

__all__ = ["EventStream"]

#: maximum number of streams of one process
LIMIT = 500
#: seconds between two heartbeats
HEARTBEAT = 15.0
#: seconds that a client may leave data unread
PATIENCE = 30.0
#: milliseconds after which a client reconnects
RETRY = 1000

_TOPICS = ("run", "record", "kv", "service", "schedule", "desired", "cancel")
_DEFAULT_TOPICS = ("run", "record", "kv", "service", "schedule")


class EventStream:
    """``GET /events?topics=run,record:17``: server-sent events, as raw ASGI.

    Each event says that something has changed: ``{"topic", "id", "rev"}``; the client then reads it again. Changes that
    accumulate while a client is busy are sent together, only the latest of each object. The id of an event is
    ``feed-seq``; with ``Last-Event-ID`` a client continues from there. If that is impossible, the event ``reset`` tells
    it to read everything again.

    Args:
        ring: The source of changes. The stream ends when it is closed.
        limit: Maximum number of concurrent streams.
        heartbeat: Seconds between two heartbeats.
    """

    def __init__(self, ring: Ring[Change], *, limit: int = LIMIT, heartbeat: float = HEARTBEAT) -> None:
        self.open_streams = 0
        self._ring = ring
        self._limit = limit
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        wanted = self._wanted(scope)
        if isinstance(wanted, Problem):
            headers = [(b"retry-after", b"1")] if wanted.status == 503 else []
            await send_problem(wanted, scope, receive, send, headers=headers)
            return
        self.open_streams += 1
        try:
            # a client that is gone, or does not read, is not an error
            with suppress(OSError, TimeoutError):
                await self._stream(wanted, scope, receive, send)
        finally:
            self.open_streams -= 1

    def _wanted(self, scope: Scope) -> _Wanted | Problem:
        if scope["method"] not in ("GET", "HEAD"):
            return Problem(status=405, code="refused", detail="events are read with GET")
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        misspelt = next((name for name in query if name != "topics"), None)
        if misspelt is not None:
            what = f"query.{misspelt}: {not_known(misspelt, ('topics',))}"
            return Problem(status=422, code="invalid-request", detail=what)
        names = [name for value in query.get("topics", ()) for name in value.split(",") if name]
        wanted = _Wanted(names or _DEFAULT_TOPICS)
        unknown = wanted.topics - set(_TOPICS)
        if unknown:
            return Problem(
                status=422,
                code="invalid-request",
                detail=f"there is no topic {min(unknown)!r}",
                fix=f"known: {', '.join(_TOPICS)}",
            )
        if not self._ring.is_open:
            return Problem(status=503, code="unavailable", detail="the server is not ready, or is shutting down")
        if self.open_streams >= self._limit:
            return Problem(status=503, code="unavailable", detail=f"{self._limit} streams are open already")
        return wanted

    async def _stream(self, wanted: _Wanted, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        headers.append((b"x-accel-buffering", b"no"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        cursor, is_lost = self._start(scope)
        first = b"retry: %d\n\n" % RETRY + (self._reset() if is_lost else self._place(cursor))
        async with Watch(self._ring, cursor, receive) as watch:
            await _write(send, first)
            while True:
                news = await watch.next(self._heartbeat)
                if news is Ended.GONE:
                    return
                if isinstance(news, Ended):
                    break
                data = b": \n\n" + self._place(watch.cursor) if news is None else self._encode(news, wanted)
                if data:
                    await _write(send, data)
        await _write(send, b"retry: %d\n\n" % RETRY, more=False)

    def _start(self, scope: Scope) -> tuple[int, bool]:
        """The start cursor, and whether the client has lost earlier changes."""
        given = next((value for name, value in scope["headers"] if name == b"last-event-id"), None)
        if not given:
            return self._ring.last, False
        feed, _, place = given.decode("latin-1").rpartition("-")
        if feed != self._ring.feed or not (place.isascii() and place.isdigit() and len(place) < 20):
            return self._ring.last, True
        # a cursor that is too old gives a gap at the first read
        return int(place), False

    def _encode(self, news: Reading[Change], wanted: _Wanted) -> bytes:
        if news.is_gap:
            return self._reset()
        return b"".join(
            b"id: %b-%d\ndata: %b\n\n"
            % (
                self._ring.feed.encode(),
                change.seq,
                orjson.dumps({"topic": change.topic, "id": change.id, "rev": change.rev}),
            )
            for change in _latest(news.items)
            if wanted.covers(change)
        )

    def _place(self, cursor: int) -> bytes:
        """Send the present cursor without an event. Before the first change there is none."""
        return b"id: %b-%d\n\n" % (self._ring.feed.encode(), cursor) if cursor else b""

    def _reset(self) -> bytes:
        return b"event: reset\nid: %b-%d\ndata: {}\n\n" % (self._ring.feed.encode(), self._ring.last)


class _Wanted:
    """Topics: all of their changes, or only those of certain ids."""

    def __init__(self, names: Sequence[str]) -> None:
        self._whole = {name for name in names if ":" not in name}
        self._single = {name for name in names if ":" in name}
        self.topics = self._whole | {name.partition(":")[0] for name in self._single}

    def covers(self, change: Change) -> bool:
        return change.topic in self._whole or (bool(self._single) and f"{change.topic}:{change.id}" in self._single)


def _latest(changes: Sequence[Change]) -> list[Change]:
    """The latest change of each object, in order."""
    if len(changes) == 1:
        return list(changes)
    found: dict[tuple[str, int | str], Change] = {}
    for change in changes:
        found.pop((change.topic, change.id), None)
        found[change.topic, change.id] = change
    return list(found.values())


async def _write(send: Send, data: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(PATIENCE):
        await send({"type": "http.response.body", "body": data, "more_body": more})
