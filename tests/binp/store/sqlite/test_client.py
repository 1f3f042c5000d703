"""A process that writes through an owner which says what it is not to say."""

import asyncio
import contextlib
import dataclasses
import gc
import os
import socket
import threading

import orjson
import pytest

from binp.store import open_store
from binp.store.contract import AddRecord, Health, Role, SetKeys, StoreError, StoreOwned
from binp.store.sqlite import _client, _contact, _engine, _outbox, _people
from binp.store.sqlite._client import Client
from binp.store.sqlite._delivery import Delivery
from binp.store.sqlite._nodes import this_process
from binp.store.sqlite._outbox import Outbox
from binp.store.sqlite._owner import OwnerLock
from binp.store.sqlite._receipt import Failure, Receipt
from binp.store.sqlite._wire import HEAD, encode_node, frame, receive, size_of

WELCOME = {
    "feed": "f",
    "slot": 1,
    "numbered": 0,
    "refused": [],
    "seq": 0,
    "newest": 0,
    "health": {"reason": None, "fix": None, "since": None},
}
#: stands for the true result of a write
TRUE = object()


class FakeOwner:
    """Something that has the lock and the socket of an owner, and answers as it is told to.

    Args:
        path: The database.
        answers: What each connection is told after its welcome, when it has sent a write; TRUE tells it the truth.
        welcomes: What the first connections are told in place of a welcome, as bytes.
    """

    def __init__(self, path, answers=(), welcomes=()):
        self.path = path
        self.met = 0
        self.answers = list(answers)
        self.welcomes = list(welcomes)
        self.place = str(path.with_name("x.sock"))
        self.lock = OwnerLock(path)
        assert self.lock.take()
        self.lock.note(this_process(), "g", self.place)
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(self.place)
        self.listening.listen()
        self.numbered = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                self.met += 1
                try:
                    self.speak(connection)
                except (OSError, EOFError):
                    continue

    def speak(self, connection):
        self.read(connection)
        if self.welcomes:
            connection.sendall(self.welcomes.pop(0))
            return
        connection.sendall(frame(orjson.dumps({"welcome": {**WELCOME, "numbered": self.numbered}})))
        while True:
            message = self.read(connection)
            if message.get("bye"):
                return
            if not message["writes"]:
                continue
            answer = self.answers.pop(0) if self.answers else TRUE
            if answer is None:
                return
            if answer is TRUE:
                results = [[number, True, None] for number, _, _ in message["writes"]]
                self.numbered = message["writes"][-1][0]
                answer = orjson.dumps({"results": results, "changes": []})
            connection.sendall(frame(answer))

    def read(self, connection):
        content = b""
        size = HEAD.size
        while len(content) < size:
            part = connection.recv(size - len(content))
            if not part:
                raise EOFError
            content += part
            if size == HEAD.size == len(content):
                size += size_of(content)
        return orjson.loads(content[HEAD.size :])

    def close(self):
        self.lock.release()
        with contextlib.suppress(OSError):
            # wakes the thread that accepts
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


@pytest.fixture
def owner(path):
    made = []

    def make(**given):
        made.append(FakeOwner(path, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def quick(monkeypatch):
    """Things that take long take less."""
    monkeypatch.setattr(_client, "_LAST_TRY", 0.3)


@pytest.fixture
async def guest(path):
    """A store that writes through whoever is there; closed after the test."""
    store = open_store(str(path), is_guest=True, group="g")
    yield store
    await store.close()


@pytest.fixture
async def database(path):
    """The file of an owner that is none."""
    store = open_store(str(path))
    await store.open()
    await store.close()


def keep(key="k"):
    return SetKeys(namespace="n", items=((key, "1"),), at=1)


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"[]",
        b"5",
        b"nonsense",
        b'{"results":[[1]],"changes":[]}',
        b'{"results":[[7,true,null]],"changes":[]}',
        b'{"results":[[1,true,null],[2,true,null]],"changes":[]}',
        b'{"results":[[1,null,["a"]]],"changes":[]}',
        b'{"results":[[1,true,null]],"changes":[[1]]}',
        b'{"health":{"colour":"red"}}',
        None,
    ],
)
async def test_what_makes_no_sense_leaves_nobody_waiting(database, owner, guest, caplog, answer):
    """Whatever an owner says, a write that is awaited comes to its end: this process comes, and sends, again."""
    fake = owner(answers=[answer])
    await guest.open()

    assert await guest.write(keep()) is True
    assert await guest.write(keep()) is True
    said = [record.message for record in caplog.records if record.name == "binp.store"]
    assert len([text for text in said if "makes no sense" in text]) == (answer is not None)
    assert fake.met == 2


async def test_an_owner_that_never_makes_sense_is_told_of(database, owner, guest, quick, caplog, until):
    """It is tried again ever later, said once, told as the health of the store, and over when one makes sense."""
    fake = owner(answers=[b"{}"] * 5)
    await guest.open()
    heard = []
    guest.on_health(heard.append)

    assert await guest.write(keep()) is True

    assert fake.met == 6
    await until(lambda: len(heard) == 2)
    assert heard[0].reason == "the process that owns the database and this one do not understand each other"
    assert heard[1] == Health()
    said = [record.message for record in caplog.records if record.name == "binp.store"]
    assert len([text for text in said if "makes no sense" in text]) == 1


async def test_closing_does_not_wait_for_an_owner_that_makes_no_sense(database, owner, guest, quick):
    """The last writes fail instead of keeping the process that ends."""
    owner(answers=[None] * 1_000_000)
    await guest.open()
    ack = guest.write(keep())

    await guest.close()

    with pytest.raises(StoreError, match="the last writes may be lost"):
        await ack


async def test_closing_does_not_wait_for_an_owner_that_never_comes(database, owner, guest, quick, until):
    """A guest, which never owns the file, ends although its owner went before it."""
    fake = owner()
    await guest.open()
    assert await guest.write(keep()) is True
    fake.answers.append(None)
    fake.close()
    ack = guest.write(keep())
    await until(lambda: guest.health.is_degraded)

    await guest.close()

    with pytest.raises(StoreError, match="the last writes may be lost"):
        await ack


@pytest.mark.parametrize(
    "welcome",
    [
        frame(b"nonsense"),
        frame(b"[]"),
        frame(b"{}"),
        frame(b'{"welcome":5}'),
        frame(b'{"welcome":{}}'),
        frame(orjson.dumps({"welcome": {**WELCOME, "health": {"colour": "red"}}})),
        frame(orjson.dumps({"welcome": {**WELCOME, "refused": [5]}})),
        frame(b'{"error":"full"}'),
        b"\x00\x00",
        b"",
    ],
)
async def test_a_welcome_that_makes_no_sense_leaves_no_socket(database, owner, path, welcome, until):
    """Whatever comes in place of a welcome, the connection is closed, and the next one is another matter."""
    fake = owner(welcomes=[welcome])
    outbox = Outbox()
    client = Client(this_process(), outbox, Delivery(outbox, lambda: None), NoSuccession())
    # what others have left behind goes now, and not in between
    gc.collect()
    before = open_files()

    with pytest.raises(_client.Gone):
        client.start(fake.place)

    await until(lambda: open_files() == before)


REFUSAL = frame(b'{"error":"64 processes have the database open","fix":"start fewer worker processes"}')


async def test_who_is_not_let_in_is_told_why(database, owner, path, monkeypatch):
    """The reason is that of the owner, and not that there is one."""
    monkeypatch.setattr(_engine, "_SIBLING", 0.2)
    fake = owner(welcomes=[REFUSAL] * 10_000)

    with pytest.raises(StoreError, match="64 processes have the database open") as caught:
        await open_store(str(path), group="g").open()

    assert not isinstance(caught.value, StoreOwned)
    assert caught.value.fix == "start fewer worker processes"
    fake.welcomes.clear()


async def test_who_is_not_let_in_any_more_is_told_why(database, owner, guest, caplog):
    """The reason is logged once, and it is tried again until there is a place."""
    fake = owner(answers=[TRUE, None])
    await guest.open()
    assert await guest.write(keep()) is True
    fake.welcomes += [REFUSAL] * 3

    async with asyncio.timeout(60):
        assert await guest.write(keep("b")) is True
    said = [record for record in caplog.records if "64 processes have the database open" in record.getMessage()]
    assert len(said) == 1


async def test_there_are_as_many_processes_as_there_can_be(path, monkeypatch):
    """The owner says so to the next one that comes, and what helps."""
    monkeypatch.setattr(_people, "SLOTS", 1)
    store = open_store(str(path), group="g")
    await store.open()

    def ask():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path) + ".sock")
            node = encode_node(dataclasses.replace(this_process(), pid=os.getppid(), started=0))
            connection.sendall(frame(orjson.dumps({"hello": node})))
            return receive(connection)

    assert await asyncio.to_thread(ask) == {
        "error": "1 processes have the database open",
        "fix": "start fewer worker processes",
    }
    await store.close()


async def test_an_owner_that_cannot_be_followed_is_tried_again(database, owner, path, caplog, until):
    """What fails once a process was let in, as a thread that cannot be made, ends neither the process nor a write."""
    fake = owner()
    outbox = Outbox()
    outbox.open()
    client = Client(this_process(), outbox, Delivery(outbox, lambda: None), Unwilling(fake.place, 2))
    # what others have left behind goes now, and not in between
    gc.collect()
    before = open_files()

    receipt = Receipt(keep())
    outbox.put(receipt)
    client.seek()
    await until(lambda: fake.numbered == 1)

    outbox.close()
    await asyncio.to_thread(client.join)
    assert fake.met == 3
    assert "can't start new thread" in caplog.text
    await until(lambda: open_files() == before)


def test_what_is_on_its_way_counts_once(monkeypatch):
    """What is sent counts and is limited as on its way: neither twice, nor against what may still be queued."""
    monkeypatch.setattr(_outbox, "_MOST_CHARACTERS", 30)
    outbox = Outbox()
    outbox.open()
    client = Client(this_process(), outbox, Delivery(outbox, lambda: None), NoSuccession())
    flight = client._flight
    add = flight.add
    counts = []

    def count(receipt):
        add(receipt)
        counts.append(outbox.pending + client.in_flight)

    def record(seq):
        return Receipt(AddRecord(run=1, seq=seq, at=1, message=10 * "x"))

    monkeypatch.setattr(flight, "add", count)
    assert [outbox.put(record(seq)) for seq in range(3)] == [None] * 3
    batch = outbox.take(10)
    # it is not sent yet, and may come back
    assert outbox.pending == 3
    assert isinstance(outbox.put(record(3)), Failure)
    client._send(batch)

    assert counts == [1, 2, 3]
    assert outbox.pending == 0
    assert [outbox.put(record(seq)) for seq in range(3, 6)] == [None] * 3
    assert isinstance(outbox.put(record(6)), Failure)
    assert [receipt.number for receipt in flight] == [1, 2, 3]


class NoSuccession:
    """A process that is nothing else ever."""

    def take_over(self):
        return False

    def owner_socket(self):
        return None

    def follow(self, feed, slot, newest):
        pass


class Unwilling(NoSuccession):
    """A process that cannot go on with the owner at *place* the first times."""

    def __init__(self, place, times):
        self.place = place
        self.times = times

    def owner_socket(self):
        return self.place

    def follow(self, feed, slot, newest):
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("can't start new thread")


def open_files():
    """Sockets of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


def test_contact_waits_longer_each_time(monkeypatch):
    """An owner that is not understood is tried ever later; one that was once lets the waiting begin anew."""
    contact = _contact.Contact()
    waits = []
    for _ in range(8):
        contact.met()
        waits.append(contact.lost())
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    contact.met()
    contact.heard()
    assert contact.lost() == 0.0
    contact.met()
    assert contact.lost() == 0.05
    monkeypatch.setattr(_contact, "_LASTING", -1.0)
    contact.met()
    assert contact.lost() == 0.0
    assert not contact.is_strained


async def test_the_owner_cuts_off_who_makes_no_sense(path):
    """Whatever a process says to the owner, its connection ends, and the owner goes on."""
    store = open_store(str(path), group="g")
    await store.open()
    place = orjson.loads(path.with_name("data.db.owner").read_bytes())["socket"]
    hello = orjson.dumps({"hello": encode_node(this_process())})
    for said in (
        [b"[]"],
        [b"{}"],
        [b"nonsense"],
        [b'{"hello":{}}'],
        [hello, b"[]"],
        [hello, b'{"heard":0,"writes":[5]}'],
    ):
        reader, writer = await asyncio.open_unix_connection(place)
        writer.write(b"".join(map(frame, said)))
        # up to the end of the connection
        await asyncio.wait_for(reader.read(), 60)
        writer.close()

    assert store.role is Role.OWNER
    assert await store.write(keep()) is True
    await store.close()
