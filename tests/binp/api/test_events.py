"""The stream of changes: resumes, says when it cannot, never grows, and ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from binp.api._events import EventStream
from binp.events import Ring
from binp.store.contract import Change


def parse(text: str) -> list[dict[str, Any]]:
    """The events in a part of a stream, those without data left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.split("\n") if line)
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def change(seq: int, topic: str = "run", thing: int | str = 7, rev: int = 1) -> Change:
    return Change(seq, topic, thing, rev)


def publish(served: Any, *changes: Change) -> None:
    served.binp.home.ring.publish(changes)


@pytest.fixture
def last(served: Any) -> int:
    """Place of the newest change."""
    publish(served, change(100, "kv", "default/x"))
    return 100


async def test_headers(served: Any, last: int) -> None:
    """A stream begins with how to come back and where it is; nothing keeps it for itself on the way."""
    stream = await served.stream()

    headers = dict(stream.start["headers"])
    assert (stream.start["status"], headers[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-store", b"no")
    assert await stream.text() == f"retry: 1000\n\nid: {served.binp.home.ring.feed}-100\n\n"


async def test_needs_credentials(served: Any) -> None:
    """N-18: the stream is behind the door."""
    answer = await served.http.get("/internal/events", headers={"authorization": ""})

    assert answer.status_code == 401


async def test_tells_what_happens(served: Any) -> None:
    """Every change that is committed is told: begin and end of a run, labels, records, keys (N-14)."""
    stream = await served.stream()
    await stream.text()

    @served.binp.journal
    async def work() -> None:
        await served.binp.journal.record("x")
        await served.binp.journal.labels("x")
        await served.binp.kv.set(x=1)

    await work()
    seen: list[tuple[str, int]] = []
    async with asyncio.timeout(60):
        while len(seen) < 5:
            seen += [(event["data"]["topic"], event["data"]["rev"]) for event in parse(await stream.text())]

    assert seen == [("run", 1), ("record", 1), ("run", 2), ("kv", 1), ("run", 3)]


async def test_what_piles_up_is_sent_at_once(served: Any, last: int) -> None:
    """What piled up is one write, the latest of each thing, in order."""
    stream = await served.stream()
    await stream.text()

    publish(served, change(101), change(102, "record"), change(103, rev=2))
    publish(served, change(104, "service", "s"), change(105, rev=3))

    feed = served.binp.home.ring.feed
    assert [(event["id"], event["data"]) for event in parse(await stream.text())] == [
        (f"{feed}-102", {"topic": "record", "id": 7, "rev": 1}),
        (f"{feed}-104", {"topic": "service", "id": "s", "rev": 1}),
        (f"{feed}-105", {"topic": "run", "id": 7, "rev": 3}),
    ]


@pytest.mark.parametrize(
    ("topics", "places"),
    [
        ("topics=run", [101, 104]),
        ("topics=run,kv", [101, 103, 104]),
        ("topics=run&topics=kv", [101, 103, 104]),
        ("topics=run:9", [104]),
        ("topics=record:8,run:9", [102, 104]),
        ("topics=cancel", [105]),
        ("topics=kv:default/a,b", None),
        ("", [101, 102, 103, 104]),
    ],
)
async def test_topics(served: Any, last: int, topics: str, places: list[int] | None) -> None:
    """A stream tells of the topics that were asked for, each as a whole or for one thing."""
    if places is None:
        answer = await served.http.get(f"/internal/events?{topics}")
        assert (answer.status_code, answer.json()["detail"]) == (422, "there is no topic 'b'")
        return
    stream = await served.stream(topics)
    await stream.text()

    publish(served, change(101), change(102, "record", 8), change(103, "kv", "default/a"), change(104, "run", 9))
    publish(served, change(105, "cancel"))

    assert [int(event["id"].rpartition("-")[2]) for event in parse(await stream.text())] == places


async def test_goes_on_where_it_was(served: Any, last: int) -> None:
    """Last-Event-ID goes on right behind that event."""
    publish(served, *(change(place, thing=place) for place in range(101, 241)))
    stream = await served.stream(last_event_id=f"{served.binp.home.ring.feed}-230")
    await stream.text()

    assert [event["data"]["id"] for event in parse(await stream.text())] == list(range(231, 241))


@pytest.mark.parametrize(
    "given",
    ["{feed}-50", "{feed}-999999", "other-230", "{feed}-x", "{feed}-", "nonsense", "{feed}-" + "9" * 5000, "\xff-1"],
)
async def test_reset(served: Any, last: int, given: str) -> None:
    """Where it cannot go on, be it too far behind or of another feed, the client is told to read everything anew."""
    publish(served, *(change(place, thing=place) for place in range(101, 1300)))
    feed = served.binp.home.ring.feed
    stream = await served.stream(last_event_id=given.format(feed=feed))

    text = await stream.text()
    if not parse(text):
        text = await stream.text()
    publish(served, change(1300))

    assert [(event["event"], event["id"]) for event in parse(text)] == [("reset", f"{feed}-1299")]
    assert [event["id"] for event in parse(await stream.text())] == [f"{feed}-1300"]


async def test_client_that_does_not_read(served: Any, last: int) -> None:
    """A client that reads nothing holds nobody up, and is told to read everything anew when it reads again."""
    slow, healthy = await served.stream(), await served.stream()
    await slow.text()
    await healthy.text()
    slow.reads.clear()
    for place in range(101, 3000):
        publish(served, change(place, thing=place))
        if place % 500 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    slow.reads.set()

    events = parse(await slow.text()) + parse(await slow.text())
    seen: list[int] = []
    while not healthy.sent.empty():
        seen += [event["data"]["id"] for event in parse(await healthy.text())]

    assert [event.get("event") for event in events].count("reset") == 1
    assert seen == list(range(101, 3000))
    assert slow.sent.empty()


async def test_heartbeat(served: Any) -> None:
    """A stream shows that it lives, and where it is, when nothing happens."""
    ring: Ring[Change] = Ring()
    ring.open("feed")
    ring.publish([change(3)])
    parts: list[bytes] = []
    enough = asyncio.Event()

    async def send(message: Any) -> None:
        parts.append(message.get("body", b""))
        if len(parts) == 4:
            enough.set()

    async def receive() -> Any:
        await enough.wait()
        return {"type": "http.disconnect"}

    stream = EventStream(ring, heartbeat=0.01)
    async with asyncio.timeout(60):
        await stream({"type": "http", "method": "GET", "query_string": b"", "headers": []}, receive, send)

    assert parts[2:4] == [b": \n\nid: feed-3\n\n"] * 2


async def test_ends_when_the_server_shuts_down(served: Any, last: int) -> None:
    """Closing the ring ends every stream at once and cleanly, after what was still to be told."""
    streams = [await served.stream() for _ in range(3)]
    for stream in streams:
        await stream.text()

    publish(served, change(101))
    served.binp.home.ring.close()

    for stream in streams:
        assert [event["data"]["rev"] for event in parse(await stream.text())] == [1]
        final = await stream.next()
        assert (final["body"], final["more_body"]) == (b"retry: 1000\n\n", False)
        async with asyncio.timeout(60):
            await stream.task
    assert (await served.http.get("/internal/events")).status_code == 503


async def test_gone_clients_leave_nothing(served: Any, last: int, until: Any) -> None:
    """A client that goes away is noticed at once, without any event (N-11)."""
    before = asyncio.all_tasks()
    streams = [await served.stream() for _ in range(25)]
    for stream in streams:
        await stream.text()
    await until(lambda: served.binp.home.ring.waiting >= 25)

    for stream in streams:
        await stream.leave()

    assert (served.binp.home.ring.waiting, asyncio.all_tasks() - before) == (0, set())


async def test_number_of_streams_is_bounded(served: Any) -> None:
    """There are so many streams at a time; one more is asked to come back later."""
    limited = EventStream(served.binp.home.ring, limit=2)
    first, _ = await served.stream(through=limited), await served.stream(through=limited)

    refused = await served.stream(through=limited)
    await first.leave()
    third = await served.stream(through=limited)

    assert refused.start["status"] == 503
    assert (b"retry-after", b"1") in refused.start["headers"]
    assert third.start["status"] == 200


async def test_head(served: Any) -> None:
    """Asking for the headers alone opens no stream."""
    answer = await served.http.head("/internal/events")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert served.binp.home.ring.waiting == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_is_read_with_get(served: Any, method: str) -> None:
    """A stream is read with GET alone."""
    assert (await served.http.request(method, "/internal/events")).status_code == 405
