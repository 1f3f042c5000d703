"""A process that writes through the owner, and takes its place when it goes."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from binp.store.contract import Health, StoreError

from ._contact import Contact
from ._delivery import Delivery
from ._nodes import BEAT, Node
from ._outbox import Outbox
from ._receipt import Awaited, Failure, Receipt
from ._retry import Retries
from ._wire import (
    decode_changes,
    decode_failure,
    decode_outcome,
    decode_welcome,
    encode_node,
    encode_write,
    frame,
    health_of,
    receive,
)

__all__ = ["Client", "Gone", "Succession"]

_logger = logging.getLogger("binp.store")

#: writes in one frame
_BATCH = 2048

#: writes on their way, and characters in them, above which no more are sent
_MOST_IN_FLIGHT = 16_384
_MOST_CHARACTERS = 64 * 1024 * 1024

#: seconds that an owner has to say welcome
_WELCOME = 10.0

#: seconds that a store which is being closed looks for an owner
_LAST_TRY = 10.0


class Gone(Exception):
    """The owner cannot be reached.

    Attributes:
        nonsense: What came of that which it said, if it made no sense.
    """

    def __init__(self, reason: str, nonsense: Exception | None = None) -> None:
        super().__init__(reason)
        self.nonsense = nonsense


class Succession(Protocol):
    """What decides on the role of this process."""

    def take_over(self) -> bool:
        """Take the role of the owner if it has become free, and nobody else is to have it."""

    def owner_socket(self) -> str | None:
        """Where the owner listens, if there is one for this process."""

    def follow(self, feed: str, slot: int, newest: int) -> None:
        """The client found an owner, for the first time or another one."""


class Client:
    """Two threads: one sends what is queued, and looks for the next owner; one receives results and changes.

    Writes are numbered. The owner commits the number of the last one with them, so that after it has gone it is known
    of each whether it was committed: what was not is sent again.

    Args:
        node: This process.
        outbox: What is to be written.
        delivery: Where results and changes go.
        succession: Decides on the role.
        before: What this process was as a client before: its writes are numbered on.
    """

    def __init__(
        self, node: Node, outbox: Outbox, delivery: Delivery, succession: Succession, before: Client | None = None
    ) -> None:
        self._node = node
        self._outbox = outbox
        self._delivery = delivery
        self._succession = succession
        self._socket: socket.socket | None = None
        self._flight: deque[Receipt] = deque()
        #: characters in it
        self._characters = 0
        self._landing = threading.Condition()
        self._number = 0 if before is None else before.sent
        self._heard = self._number
        self._is_lost = False
        self._contact = Contact()
        #: nothing can be written, and that was said
        self._is_told = False
        self._owners_health = Health()
        self._receiver: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="binp-store-send", daemon=True)

    @property
    def sent(self) -> int:
        """Number of the last write that was sent."""
        return self._number

    def start(self, place: str) -> None:
        """Connect to the owner that listens at *place*, and begin to send.

        Raises:
            Gone: nobody answers there.
        """
        self._connect(place)
        self._thread.start()

    def seek(self) -> None:
        """Begin without an owner: look for one, or become it."""
        self._is_lost = True
        self._outbox.interrupt()
        self._thread.start()

    def join(self) -> None:
        """Wait until everything is acknowledged after the outbox was closed, or this process has become the owner."""
        self._thread.join()

    def abandon(self) -> None:
        """In a forked child: close its copy of the socket, which is the parent's."""
        if self._socket is not None:
            self._socket.close()

    def give_back(self, numbered: int, refused: list[list[Any]]) -> None:
        """This process has become the owner: settle what is known to be committed, queue the rest again."""
        self._land_known(numbered, refused)
        rest, self._flight, self._characters = self._flight, deque(), 0
        self._outbox.put_back(rest)

    def _run(self) -> None:
        try:
            while self._step():
                if self._is_lost and self._regain():
                    return
            if not self._drain():
                self._say_goodbye()
        except Exception as error:
            _logger.exception("the store has lost its owner for good")
            self._give_up(error)

    def _step(self) -> bool:
        if self._is_told and not self._is_lost and self._contact.is_lasting:
            self._forgive()
        batch = self._outbox.take(_BATCH, BEAT)
        if batch is not None:
            self._send(batch)
        return batch is not None

    def _send(self, batch: Sequence[Receipt]) -> None:
        encoded = []
        for receipt in batch:
            try:
                encoded.append(encode_write(self._number + 1, receipt.write))
            except Exception as error:  # noqa: BLE001 - becomes the failure of the one who waits
                failure = Failure(StoreError(f"{type(error).__name__}: {error}"))
                self._delivery.post(receipt.settle(failure), ())
                continue
            self._number += 1
            receipt.number = self._number
            with self._landing:
                self._flight.append(receipt)
                self._characters += receipt.size
        if encoded:
            self._delivery.mark(time.monotonic())
        # without anything to write it is a sign of life
        self._transmit(encoded)
        while not self._has_room(BEAT):
            self._transmit([])

    def _has_room(self, timeout: float) -> bool:
        """Whether more may be sent, or the owner has gone, within *timeout* seconds."""
        with self._landing:
            return self._landing.wait_for(self._may_send, timeout)

    def _may_send(self) -> bool:
        has_room = len(self._flight) < _MOST_IN_FLIGHT and self._characters < _MOST_CHARACTERS
        return has_room or not self._flight or self._is_lost

    def _transmit(self, encoded: Sequence[bytes]) -> None:
        if not self._is_lost and self._socket is not None:
            content = b'{"heard":%d,"writes":[' % self._heard + b",".join(encoded) + b"]}"
            try:
                self._socket.sendall(frame(content))
            except OSError:
                self._lose()

    def _drain(self) -> bool:
        """Wait for the last results; True if this process became the owner meanwhile, whose thread does the rest."""
        while True:
            with self._landing:
                before = None
                while self._flight and not self._is_lost:
                    if before == len(self._flight):
                        raise StoreError("the owner of the store does not answer: the last writes may be lost")
                    before = len(self._flight)
                    self._landing.wait_for(lambda: not self._flight or self._is_lost, _LAST_TRY)
                if not self._flight:
                    return False
            if self._contact.is_strained and self._contact.alone_for > _LAST_TRY:
                raise StoreError("the owner of the store makes nothing of this process: the last writes may be lost")
            if self._regain(time.monotonic() + _LAST_TRY):
                return True

    def _say_goodbye(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendall(frame(b'{"bye":true}'))
                self._socket.shutdown(socket.SHUT_WR)
        self._disconnect()

    def _connect(self, place: str) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(_WELCOME)
            made.connect(place)
            made.sendall(frame(orjson.dumps({"hello": encode_node(self._node)})))
            welcome = decode_welcome(receive(made))
            made.settimeout(None)
            self._land_known(welcome.numbered, welcome.refused)
        except OSError as error:
            made.close()
            raise Gone(str(error)) from error
        except Exception as error:
            # what another version says: whatever it is, the next owner may be another one
            made.close()
            raise Gone(str(error), error) from error
        except BaseException:
            made.close()
            raise
        self._socket = made
        self._is_lost = False
        self._contact.met()
        self._succession.follow(welcome.feed, welcome.slot, welcome.newest)
        self._owners_health = welcome.health
        if not self._is_told:
            self._take_health(welcome.health)
        again = [encode_write(receipt.number, receipt.write) for receipt in self._flight]
        self._receiver = threading.Thread(target=self._receive, args=(made,), name="binp-store-receive", daemon=True)
        self._receiver.start()
        for start in range(0, len(again), _BATCH):
            self._transmit(again[start : start + _BATCH])

    def _disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._receiver is not None:
                self._receiver.join()
            self._socket.close()
            self._socket = self._receiver = None

    def _regain(self, deadline: float | None = None) -> bool:
        """Find another owner, or become it: True."""
        self._disconnect()
        not_before = time.monotonic() + self._contact.lost()
        failing = Retries("the role of the owner is free, and cannot be taken", first=0.1, most=5.0)
        while True:
            pause = 0.0
            try:
                if self._succession.take_over():
                    return True
            except StoreError as error:
                failing.complain(error)
                pause = failing.failed()
            place = None if time.monotonic() < not_before else self._succession.owner_socket()
            if place is not None:
                try:
                    self._connect(place)
                except Gone as gone:
                    if gone.nonsense is not None:
                        not_before = time.monotonic() + self._contact.refused(gone.nonsense)
                else:
                    return False
            if not self._is_told and self._contact.alone_for > _LAST_TRY:
                self._tell()
            if deadline is None and self._outbox.is_closed:
                deadline = time.monotonic() + _LAST_TRY
            if deadline is not None and time.monotonic() > deadline:
                raise StoreError("the owner of the store has gone: the last writes may be lost")
            # not all at the same moment
            time.sleep(pause + random.uniform(0.01, 0.05))  # noqa: S311 - spreads attempts, protects nothing

    def _tell(self) -> None:
        """Say that writes wait, and what for."""
        self._is_told = True
        health = self._contact.health()
        _logger.error("the store takes no writes: %s", health.reason)
        self._take_health(health)

    def _forgive(self) -> None:
        """There is an owner, and it has a mind to go on with this process: what it says of the database is true."""
        self._is_told = False
        self._take_health(self._owners_health)

    def _receive(self, connection: socket.socket) -> None:
        try:
            while (message := receive(connection)) is not None:
                if "health" in message:
                    self._owners_health = health_of(message["health"])
                    if not self._is_told:
                        self._take_health(self._owners_health)
                else:
                    self._land(message)
                self._contact.heard()
                if self._is_told:
                    self._forgive()
        except OSError:
            # the end of the connection, whatever it is called
            pass
        except Exception as error:  # noqa: BLE001 - logged; nobody who waits is left to a thread that is gone
            self._contact.erred(error)
        finally:
            self._lose()

    def _take_health(self, health: Health) -> None:
        if health != self._delivery.health:
            self._delivery.post_health(health)

    def _lose(self) -> None:
        with self._landing:
            self._is_lost = True
            self._landing.notify_all()
        self._outbox.interrupt()

    def _land(self, message: dict[str, Any]) -> None:
        changes = decode_changes(message["changes"])
        awaited: list[Awaited] = []
        try:
            with self._landing:
                for number, value, failure in message["results"]:
                    if not self._flight or self._flight[0].number != number:
                        raise ValueError(f"this is the result of write {number!r}, which is not the one that is due")
                    awaited += self._settle_first(failure, value)
                if message["results"]:
                    self._landing.notify_all()
                is_done = not self._flight
        except BaseException:
            # those that are settled have left the flight: nobody else would tell them
            self._delivery.post(awaited, ())
            raise
        if is_done:
            self._delivery.mark(0.0)
        self._delivery.post(awaited, changes)

    def _land_known(self, numbered: int, refused: Sequence[Sequence[Any]]) -> None:
        """Settle what an owner committed and could not tell."""
        not_true = {number: (failure, outcome) for number, failure, outcome in refused}
        awaited: list[Awaited] = []
        try:
            with self._landing:
                while self._flight and self._flight[0].number <= numbered:
                    awaited += self._settle_first(*not_true.get(self._flight[0].number, (None, True)))
                self._landing.notify_all()
        finally:
            self._delivery.post(awaited, ())

    def _settle_first(self, failure: Any, value: Any) -> Sequence[Awaited]:
        """Settle the first write in flight, which leaves it: not before it is known what is said of it."""
        receipt = self._flight[0]
        outcome = decode_outcome(receipt.write, value) if failure is None else Failure(decode_failure(failure))
        self._flight.popleft()
        self._characters -= receipt.size
        self._heard = receipt.number
        return receipt.settle(outcome)

    def _give_up(self, error: Exception) -> None:
        self._disconnect()
        failure = Failure(error if isinstance(error, StoreError) else StoreError(f"{type(error).__name__}: {error}"))
        with self._landing:
            left, self._flight, self._characters = list(self._flight), deque(), 0
        self._outbox.close()
        while (batch := self._outbox.take(_BATCH)) is not None:
            left += batch
        failure.count = len(left)
        awaited: list[Awaited] = []
        for receipt in left:
            awaited += receipt.settle(failure)
        self._delivery.post(awaited, ())
