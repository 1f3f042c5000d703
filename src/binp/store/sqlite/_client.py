"""A client: a process that writes through the owner, and takes over when the owner is gone."""

from __future__ import annotations

import contextlib
import logging
import random
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson

from binp.store.contract import Health, StoreError

from ._contact import Contact
from ._delivery import Delivery
from ._flight import Flight
from ._nodes import BEAT, Node
from ._outbox import Outbox
from ._patience import Patience, hand
from ._receipt import Awaited, Failure, Receipt
from ._retry import Retries
from ._succession import Gone, Succession
from ._wire import (
    Refused,
    Welcome,
    decode_changes,
    decode_welcome,
    encode_node,
    encode_write,
    frame,
    health_of,
    receive,
)

__all__ = ["Client"]

_logger = logging.getLogger("binp.store")

#: maximum number of writes per frame
_BATCH = 2048

#: seconds for an owner to answer a connection
_WELCOME = 10.0

#: seconds for which a store that is being closed looks for an owner
_LAST_TRY = 10.0

#: maximum seconds between two attempts to find an owner or to become it
_LONGEST = 5.0


class Client:
    """Two threads: one sends queued writes and looks for the next owner, the other one receives results and changes.

    Writes are numbered. The owner commits the number of the last write together with the writes. So after it is gone it
    is known which of them were committed; the others are sent again.

    Args:
        node: This process.
        outbox: The queued writes.
        delivery: Receives results and changes.
        succession: Decides about the role.
        before: The previous client of this process, whose numbering continues.
    """

    def __init__(
        self, node: Node, outbox: Outbox, delivery: Delivery, succession: Succession, before: Client | None = None
    ) -> None:
        self._node = node
        self._outbox = outbox
        self._delivery = delivery
        self._succession = succession
        self._socket: socket.socket | None = None
        self._flight = Flight(0 if before is None else before.sent)
        self._contact = Contact()
        #: no owner is tried before this time, in monotonic seconds
        self._not_before = 0.0
        #: nothing can be written, and that was reported
        self._is_told = False
        self._owners_health = Health()
        #: the feed of the last received changes, and the number of the last of them
        self._feed = ""
        self._seq = 0
        self._receiver: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="binp-store-send", daemon=True)

    @property
    def sent(self) -> int:
        """Number of the last sent write."""
        return self._flight.sent

    @property
    def in_flight(self) -> int:
        """Writes that were sent, and not heard of yet."""
        return len(self._flight)

    def start(self, place: str) -> None:
        """Connect to the owner that listens at *place*, and start sending.

        Raises:
            Gone: nobody answers there.
        """
        self._connect(place)
        self._thread.start()

    def seek(self) -> None:
        """Start without an owner: find one, or become it."""
        self._lose()
        self._thread.start()

    def join(self) -> None:
        """Wait until everything is acknowledged after the outbox was closed, or this process has become the owner."""
        self._thread.join()

    def abandon(self) -> None:
        """In a forked child: close its copy of the parent's socket."""
        if self._socket is not None:
            self._socket.close()

    def give_back(self, numbered: int, refused: list[list[Any]]) -> None:
        """This process has become the owner: settle the writes known to be committed, queue the others again."""
        self._land_known(numbered, refused)
        self._outbox.put_back(self._flight.take_back())

    def _run(self) -> None:
        try:
            while self._step():
                if self._flight.is_lost and self._regain():
                    return
            if not self._drain():
                self._say_goodbye()
        except Exception as error:
            _logger.exception("the store has lost its owner for good")
            self._give_up(error)

    def _step(self) -> bool:
        if self._is_told and not self._flight.is_lost and self._contact.is_lasting:
            self._forgive()
        batch = self._outbox.take(_BATCH, BEAT)
        if batch is not None:
            self._send(batch)
        return batch is not None

    def _send(self, batch: Sequence[Receipt]) -> None:
        encoded = []
        sent: list[Receipt] = []
        for receipt in batch:
            try:
                encoded.append(encode_write(self._flight.sent + len(sent) + 1, receipt.write))
            except Exception as error:  # noqa: BLE001 - becomes the failure of the write
                failure = Failure(_told(error))
                self._delivery.post(receipt.settle(failure), ())
                continue
            sent.append(receipt)
        # from here on they count in the flight, which has a limit of its own
        self._outbox.passed_on()
        for receipt in sent:
            self._flight.add(receipt)
        if encoded:
            self._delivery.mark(time.monotonic())
        # an empty frame is a heartbeat
        self._transmit(encoded)
        heard, patience = self._flight.heard, Patience(self._outbox, _LAST_TRY)
        while not self._flight.has_room(min(BEAT, _LAST_TRY)):
            if heard != self._flight.heard:
                heard = self._flight.heard
                patience.renew()
            patience.spend()
            self._transmit([])

    def _transmit(self, encoded: Sequence[bytes]) -> None:
        if not self._flight.is_lost and self._socket is not None:
            content = b'{"heard":%d,"writes":[' % self._flight.heard + b",".join(encoded) + b"]}"
            try:
                hand(self._socket, frame(content), Patience(self._outbox, _LAST_TRY), min(BEAT, _LAST_TRY))
            except OSError:
                self._lose()

    def _drain(self) -> bool:
        """Wait for the last results; True if this process has become the owner, whose thread does the rest."""
        while True:
            try:
                if self._flight.empty(_LAST_TRY):
                    return False
            except TimeoutError:
                raise Patience.over() from None
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
        """Continue through the owner that listens at *place*; on any exception there is no owner.

        Raises:
            Gone: nobody answers there, or the answer is invalid.
        """
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(_WELCOME)
            made.connect(place)
            made.sendall(frame(orjson.dumps({"hello": encode_node(self._node)})))
            welcome = decode_welcome(receive(made))
            made.settimeout(None)
            self._land_known(welcome.numbered, welcome.refused)
        except Refused as refused:
            made.close()
            raise Gone(str(refused), refusal=refused.error) from refused
        except OSError as error:
            made.close()
            raise Gone(str(error)) from error
        except Exception as error:
            # possibly an owner of another version; the next owner may be a different one
            made.close()
            raise Gone(str(error), error) from error
        except BaseException:
            made.close()
            raise
        self._socket = made
        self._flight.is_lost = False
        try:
            self._go_on(made, welcome)
        except BaseException:
            self._lose()
            self._disconnect()
            raise

    def _go_on(self, made: socket.socket, welcome: Welcome) -> None:
        self._contact.met()
        self._succession.follow(self._feed_of(welcome), welcome.slot, welcome.newest)
        self._owners_health = welcome.health
        if not self._is_told:
            self._take_health(welcome.health)
        again = [encode_write(receipt.number, receipt.write) for receipt in self._flight]
        receiver = threading.Thread(target=self._receive, args=(made,), name="binp-store-receive", daemon=True)
        receiver.start()
        self._receiver = receiver
        for start in range(0, len(again), _BATCH):
            self._transmit(again[start : start + _BATCH])

    def _feed_of(self, welcome: Welcome) -> str | None:
        """Identity of the changes from here on; None if they continue the received ones without a gap."""
        is_same = welcome.feed == self._feed
        has_missed = is_same and welcome.seq != self._seq
        self._feed, self._seq = welcome.feed, welcome.seq
        # changes were missed while this process was disconnected: listeners have to read the state again
        return secrets.token_hex(8) if has_missed else None if is_same else welcome.feed

    def _disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._receiver is not None:
                self._receiver.join()
            self._socket.close()
            self._socket = self._receiver = None

    def _regain(self, deadline: float | None = None) -> bool:
        """Find another owner, or become it (True). Errors are retried."""
        self._disconnect()
        self._not_before = time.monotonic() + self._contact.lost()
        failing = Retries("the role of the owner cannot be taken, and no owner be reached", first=0.1, most=_LONGEST)
        while True:
            pause = 0.0
            failed: Exception | None = None
            try:
                if self._succession.take_over():
                    return True
            except Exception as error:  # noqa: BLE001 - logged below; the waiting writes have nobody else
                failed = error
            # even if this process cannot become the owner, there may be one
            try:
                if self._reach():
                    return False
            except Exception as error:  # noqa: BLE001 - the same
                failed = failed or error
            if failed is not None:
                failing.complain(failed)
                pause = failing.failed()
            if not self._is_told and self._contact.alone_for > _LAST_TRY:
                self._tell(failed)
            if deadline is None and self._outbox.is_closed:
                deadline = time.monotonic() + _LAST_TRY
            if deadline is not None and time.monotonic() > deadline:
                raise StoreError("the owner of the store has gone: the last writes may be lost")
            # spread out, so that not all clients try at the same moment
            time.sleep(pause + random.uniform(0.01, 0.05))  # noqa: S311 - spreads attempts, protects nothing

    def _reach(self) -> bool:
        """Connect to the owner, if there is one that may be tried already."""
        place = None if time.monotonic() < self._not_before else self._succession.owner_socket()
        if place is None:
            return False
        try:
            self._connect(place)
        except Gone as gone:
            if gone.nonsense is not None:
                self._not_before = time.monotonic() + self._contact.refused(gone.nonsense)
            if gone.refusal is not None:
                raise gone.refusal from None
            return False
        return True

    def _tell(self, failed: Exception | None) -> None:
        """Report that writes are waiting, and why; *failed* is the error of the last attempt, if any."""
        self._is_told = True
        health = self._contact.health(failed)
        _logger.error("the store takes no writes: %s", health.reason)
        self._take_health(health)

    def _forgive(self) -> None:
        """There is an owner, and the connection lasts: use what it reports about the database."""
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
            # the connection has ended, for whatever reason
            pass
        except Exception as error:  # noqa: BLE001 - logged; no waiting write may depend on a dead thread
            self._contact.erred(error)
        finally:
            self._lose()

    def _take_health(self, health: Health) -> None:
        if health != self._delivery.health:
            self._delivery.post_health(health)

    def _lose(self) -> None:
        self._flight.lose()
        self._outbox.interrupt()

    def _land(self, message: dict[str, Any]) -> None:
        changes = decode_changes(message["changes"])
        awaited: list[Awaited] = []
        try:
            self._flight.land(message["results"], awaited)
        except BaseException:
            # settled writes are no longer in flight: nobody else would report them
            self._delivery.post(awaited, ())
            raise
        if changes:
            self._seq = changes[-1].seq
        if not self._flight:
            self._delivery.mark(0.0)
        self._delivery.post(awaited, changes)

    def _land_known(self, numbered: int, refused: Sequence[Sequence[Any]]) -> None:
        """Settle writes that an owner has committed but could not report."""
        awaited: list[Awaited] = []
        try:
            self._flight.land_known(numbered, refused, awaited)
        finally:
            self._delivery.post(awaited, ())

    def _give_up(self, error: Exception) -> None:
        self._disconnect()
        failure = Failure(_told(error))
        left = list(self._flight.take_back())
        self._outbox.close()
        while (batch := self._outbox.take(_BATCH)) is not None:
            left += batch
        failure.count = len(left)
        awaited: list[Awaited] = []
        for receipt in left:
            awaited += receipt.settle(failure)
        self._delivery.post(awaited, ())


def _told(error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"{type(error).__name__}: {error}")
