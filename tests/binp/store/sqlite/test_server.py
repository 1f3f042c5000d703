"""The owner's side of the socket, told what a client tells it at its worst."""

import asyncio
import contextlib
import dataclasses
import secrets

import orjson
import pytest

from binp.store import open_store
from binp.store.contract import Once, SetKeys
from binp.store.sqlite import _server
from binp.store.sqlite._nodes import this_process
from binp.store.sqlite._wire import HEAD, encode_node, encode_write, frame, size_of


@pytest.fixture
async def owner(path):
    store = open_store(str(path), group="g", synchronous="OFF")
    await store.open()
    yield store
    await store.close()


class Wire:
    """A client by hand: what it sends and hears is up to the test."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def say(self, message):
        self.writer.write(frame(message if isinstance(message, bytes) else orjson.dumps(message)))

    def write(self, encoded):
        self.say(b'{"heard":0,"writes":[%s]}' % b",".join(encoded))

    def send(self, number, write):
        self.write([encode_write(number, write)])

    async def hear(self):
        async with asyncio.timeout(60):
            size = size_of(await self.reader.readexactly(HEAD.size))
            return orjson.loads(await self.reader.readexactly(size))

    async def results(self, count):
        found = []
        while len(found) < count:
            found += (await self.hear()).get("results", ())
        return found


@pytest.fixture
async def meet(path, owner):
    """Connect as a process of that name; returns its wire and its welcome."""
    place = orjson.loads(path.with_name("data.db.owner").read_bytes())["socket"]
    async with contextlib.AsyncExitStack() as stack:

        async def come(node):
            wire = Wire(*await asyncio.open_unix_connection(place))
            stack.callback(wire.writer.close)
            wire.say({"hello": encode_node(node)})
            return wire, (await wire.hear())["welcome"]

        yield come


@pytest.fixture
def node():
    # as another opening of this process, which is alive
    return dataclasses.replace(this_process(), name=f"other-{secrets.token_hex(3)}", started=0)


async def test_a_write_that_failed_alone_is_not_taken_for_one_that_was_done(owner, meet, node):
    """What the owner did not get to tell of a write that failed is told by the next one, whatever came behind it."""
    wire, _ = await meet(node)
    for number, write in ((1, Once(key="x", at="never")), (2, SetKeys(namespace="n", items=(("k", "1"),), at=1))):
        wire.send(number, write)
        await wire.results(1)

    _, welcome = await meet(node)

    assert welcome["numbered"] == 2
    assert [number for number, *_ in welcome["refused"]] == [1]


async def test_a_process_that_comes_again_is_not_heard_twice(owner, meet, node):
    """What a connection still holds is not read any more once its process has come again: it sends that again."""
    count = 60_000
    writes = [encode_write(number, SetKeys(namespace="n", items=(("k", "1"),), at=1)) for number in range(1, count + 1)]
    wire, _ = await meet(node)
    wire.write(writes)
    wire.send(count + 1, Once(key="z", at=1))

    again, welcome = await meet(node)
    again.write(writes[welcome["numbered"] :])
    again.send(count + 1, Once(key="z", at=1))

    *_, last = await again.results(count + 1 - welcome["numbered"])
    assert last == [count + 1, True, None]
    assert (await owner.get_key("n", "k")).version == count


async def test_a_process_that_does_not_read_is_cut_off_and_comes_again(owner, meet, node, monkeypatch, until):
    """What it was not told does not pile up; when it comes again it learns how much it has missed, and is heard."""
    monkeypatch.setattr(_server, "_PATIENCE", 10_000)
    wire, welcome = await meet(node)
    server = owner._engine._server
    many = tuple((f"k{number}", "1") for number in range(500))
    # far more than all that keeps some on the way takes
    for number in range(100):
        await owner.write(SetKeys(namespace=f"n{number}", items=many, at=1))

    await until(lambda: not server.has_guests)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        while True:
            await wire.hear()
    wire, again = await meet(node)
    assert again["feed"] == welcome["feed"]
    assert again["seq"] - welcome["seq"] >= 100 * 500
    wire.send(1, SetKeys(namespace="n", items=(("k", "1"),), at=1))
    assert await wire.results(1) == [[1, True, None]]
