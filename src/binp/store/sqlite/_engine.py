"""The role of this process for the file: its owner, with the writing thread, or a client of the owner."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from binp.store.contract import Change, Health, Retention, Role, StoreClosed, StoreError

from ._care import Care
from ._client import Client
from ._connect import check_place, connect_writer
from ._delivery import Delivery
from ._ids import Ids
from ._migrate import migrate, shipped
from ._nodes import Node
from ._outbox import Outbox
from ._owner import HeirLock, OwnerLock, owned_error
from ._receipt import Awaited
from ._retry import Retries
from ._server import Server
from ._succession import Gone
from ._writer import Writer

__all__ = ["Engine"]

_logger = logging.getLogger("binp.store")

#: seconds to retry while the file changes hands
_CHANGE_OF_HANDS = 0.3

#: the same if the lock's holder is not noted yet, or the note is that of a dead process
_TAKING = 10.0

#: seconds to wait until an owner of the same group listens: it may be migrating
_SIBLING = 60.0

#: polling interval for processes that wait for the role, in seconds
_LOOK = 0.1

#: the same if handing the role over fails repeatedly
_LONGEST_LOOK = 10.0

#: seconds for which a process that gave the role up leaves it to others of its group
_WAY = 0.3


class Engine:
    """Takes the available role, and changes it when the other role becomes available.

    Args:
        path: The database file.
        node: This process.
        outbox: The queued writes.
        ids: The generator of ids.
        group: The group of processes that share the file; None for this process alone.
        is_guest: Write through the owner of the file, and never own it.
        synchronous: As in SQLite.
        clock: Returns microseconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        node: Node,
        outbox: Outbox,
        ids: Ids,
        *,
        group: str | None,
        is_guest: bool,
        synchronous: str,
        clock: Callable[[], int],
    ) -> None:
        self.role = Role.OWNER
        self.feed = ""
        self._path = path
        self._node = node
        self._outbox = outbox
        self._ids = ids
        self._group = group
        self._is_guest = is_guest
        self._synchronous = synchronous
        self._clock = clock
        self._lock = OwnerLock(path)
        self._delivery: Delivery | None = None
        self._writer: Writer | None = None
        self._server: Server | None = None
        self._client: Client | None = None
        self._care: Care | None = None
        self._caring = threading.Lock()
        #: the address at which the server listens
        self._place: str | None = None
        self._changing = threading.Lock()
        #: this process will end, and owns the file only until another one wants to
        self._is_leaving = False
        #: it does not take the role before this time, in monotonic seconds
        self._gives_way_until = 0.0
        #: the shutdown has begun: no more changes of role, and no waiting
        self._is_ending = threading.Event()
        self._looking: threading.Thread | None = None
        #: why the owner does not admit this process
        self._refusal: StoreError | None = None
        self._joining = Retries("the owner of the database says what makes no sense", first=_LOOK, most=_LOOK)

    @property
    def commits(self) -> int:
        """Number of transactions of this process so far."""
        return 0 if self._writer is None else self._writer.commits

    @property
    def in_flight(self) -> int:
        """Writes that were sent to the owner, and not heard of yet."""
        return 0 if self._client is None else self._client.in_flight

    def start(self, delivery: Delivery) -> None:
        """Become the owner if the role is free, otherwise a client of the owner. Blocks.

        Raises:
            StoreOwned: another process has the file, and does not share it with this one.
            StoreClosed: it was told to give up while it waited for the file.
            StoreError: it cannot be opened.
        """
        check_place(self._path)
        self._delivery = delivery
        self._outbox.open()
        began = time.monotonic()
        heir = HeirLock(self._path)
        is_told = False
        try:
            while self._is_guest or not self._lock.take():
                if self._become_client():
                    return
                owner = self._lock.read()
                if owner.get("leaving") and not self._is_guest:
                    # its lock tells the owner that it waits, and is still alive
                    is_told = is_told or self._tell_wait(owner)
                    heir.hold()
                    began = time.monotonic()
                if time.monotonic() - began > self._patience_with(owner):
                    # finding the holder can take long; the lock may have been released meanwhile
                    if not self._is_guest and self._lock.take():
                        break
                    raise self._refusal or owned_error(self._path, owner)
                if self._is_ending.wait(0.02):
                    raise StoreClosed("this process was told to end while it waited for the database")
            self._become_owner()
        finally:
            heir.release()

    def _patience_with(self, owner: dict[str, Any]) -> float:
        """Seconds to wait for the file; *owner* is the note of its holder."""
        if self._is_guest or (self._group is not None and owner.get("group") in {self._group, None}):
            return _SIBLING
        return _CHANGE_OF_HANDS if self._lock.is_of_holder(owner, self._node.boot) else _TAKING

    def give_up(self) -> None:
        """Stop waiting for the file."""
        self._is_ending.set()

    def admit(self) -> None:
        """Admit guests, even if this process shares the file with no others."""
        with self._changing:
            if self.role is Role.OWNER and self._server is None:
                server = Server(self._path, self._outbox, self.feed)
                self._place = server.start()
                self._server = server
                self._note()

    def expect_heir(self) -> None:
        """This process will end: processes that open the file from now on wait for it instead of being refused."""
        with self._changing:
            self._is_leaving = True
            if self.role is Role.OWNER:
                self._note()

    def hand_over(self) -> None:
        """Hand the role of the owner over to the next process that opens the file, and continue as its client.

        Until one comes, this process remains the owner; it becomes the owner again if the other one ends first.
        """
        self.expect_heir()
        if self._looking is None:
            self._looking = threading.Thread(target=self._look_for_heirs, name="binp-store-heir", daemon=True)
            self._looking.start()

    def retain(self, retention: Retention) -> None:
        """Maintain the file from now on, if this process owns it."""
        with self._caring:
            if self._care is not None:
                self._care.set(retention)
            elif self._writer is not None and self.role is Role.OWNER:
                self._care = Care(self._path, self._outbox, retention, self._writer.carry)
                self._care.start()

    @property
    def problem(self) -> str | None:
        """Why the file is larger than it should be, as far as this process knows."""
        if self._writer is None or self.role is not Role.OWNER:
            return None
        return self._writer.problem or (None if self._care is None else self._care.problem)

    def rest(self) -> None:
        """Stop maintaining the file. Blocks until the current step is done."""
        with self._caring:
            care, self._care = self._care, None
        if care is not None:
            care.stop()

    def stop(self) -> None:
        """Wait until everything is committed after the outbox was closed, and release everything. Blocks."""
        self._is_ending.set()
        if self._looking is not None:
            self._looking.join()
        if self._client is not None:
            # it may still become the owner
            self._client.join()
        with self._changing:
            if self._writer is not None:
                self._writer.join()
            if self._server is not None:
                self._server.stop()
            if self._writer is not None and self.role is Role.OWNER:
                HeirLock(self._path).tidy()
            self._lock.release()

    def forked(self) -> None:
        """In a forked child: close its copies of what would keep the parent's objects alive, and touch nothing else."""
        self._lock.abandon()
        if self._care is not None:
            self._care.abandon()
        if self._writer is not None:
            self._writer.abandon()
        if self._server is not None:
            self._server.abandon()
        if self._client is not None:
            self._client.abandon()

    def take_over(self) -> bool:
        """Become the owner if the role is free; called by the thread of the client."""
        # processes that wait for the role have precedence, and others of the group if this process is ending
        if self._is_guest or time.monotonic() < self._gives_way_until or HeirLock(self._path).is_held():
            return False
        with self._changing:
            if not self._lock.take():
                return False
            try:
                self._become_owner()
            except BaseException:
                self._lock.release()
                raise
        if self._delivery is not None:
            self._delivery.post_role(Role.OWNER)
        return True

    def owner_socket(self) -> str | None:
        """The address of the owner, if it admits this process; None otherwise."""
        is_welcome_anywhere = self._is_guest or self._is_leaving
        if self._group is None and not is_welcome_anywhere:
            return None
        note = self._lock.read()
        return note.get("socket") if is_welcome_anywhere or note.get("group") == self._group else None

    def follow(self, feed: str | None, slot: int, newest: int) -> None:
        """The client has connected to an owner: the first one, another one, or the same again."""
        self._ids.start(slot, newest)
        if feed is not None:
            is_first = not self.feed
            self.feed = feed
            if self._delivery is not None and not is_first:
                self._delivery.reset()

    def _become_client(self) -> bool:
        assert self._delivery is not None  # noqa: S101 - set by start
        place = self.owner_socket()
        if place is None:
            return False
        # set before it starts: the client becomes the owner itself if the owner ends at this very moment
        self.role = Role.CLIENT
        self._client = Client(self._node, self._outbox, self._delivery, self)
        try:
            self._client.start(place)
        except BaseException as error:
            self.role, self._client = Role.OWNER, None
            if not isinstance(error, Gone):
                raise
            if error.nonsense is not None:
                self._joining.complain(error.nonsense)
            self._refusal = error.refusal
            return False
        return True

    def _become_owner(self) -> None:
        assert self._delivery is not None  # noqa: S101 - set by start
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            connection = connect_writer(self._path, self._synchronous)
            undo.callback(connection.close)
            migrate(connection, self._path, shipped())
            writer = Writer(self._path, connection, self._outbox, self._node, self._clock)
            slot, numbered, refused = writer.enter(self._lock.last_sign)
            undo.callback(writer.cancel)
            server = place = None
            # clients may exist even without a group: processes that are ending, and still have runs
            if self._group is not None or writer.has_company:
                server = Server(self._path, self._outbox, writer.feed)
                place = server.start()
                undo.callback(server.stop)
            self._ids.start(slot, writer.newest)
            self.feed = writer.feed
            if self._client is not None:
                self._delivery.post_health(Health())
                self._client.give_back(numbered, refused)
                self._delivery.reset()
            undo.callback(self._take_back, self.role)
            self.role, self._writer, self._server, self._place = Role.OWNER, writer, server, place
            self._note()
            writer.start(self._post, self._delivery.mark, self._tell_health, self._lock.touch)
            undo.pop_all()

    def _take_back(self, role: Role) -> None:
        """Undo a failed attempt to become the owner."""
        self.role, self._writer, self._server, self._place = role, None, None, None

    def _note(self) -> None:
        self._lock.note(self._node, self._group, self._place, is_leaving=self._is_leaving)

    def _tell_wait(self, owner: dict[str, Any]) -> bool:
        _logger.info("process %s ends and hands the database over: waiting for it", owner.get("pid"))
        return True

    def _look_for_heirs(self) -> None:
        """Step down whenever a process waits for the role, and once for the others of this group."""
        heir = HeirLock(self._path)
        failing = Retries("the role of the owner could not be handed over", first=_LOOK, most=_LONGEST_LOOK)
        is_first = True
        pause = 0.0
        while not self._is_ending.wait(pause):
            pause = _LOOK
            server = self._server
            try:
                if self.role is Role.OWNER and (
                    heir.is_held() or (is_first and server is not None and server.has_guests)
                ):
                    self._step_down()
                failing.succeeded()
                is_first = False
            except Exception as error:  # noqa: BLE001 - logged and retried; a process is waiting for the role
                failing.complain(error)
                pause = failing.failed()

    def _step_down(self) -> None:
        """Change from the owner to a client of the next owner."""
        assert self._delivery is not None  # noqa: S101 - set by start
        self.rest()
        with self._changing:
            if self._writer is None or self._is_ending.is_set():
                return
            if self._server is not None:
                # first: what clients have sent is committed, or will be sent again
                self._server.stop()
            self._writer.leave()
            self._server = None
            self._gives_way_until = time.monotonic() + _WAY
            self._client = Client(self._node, self._outbox, self._delivery, self, self._client)
            self.role = Role.CLIENT
            try:
                self._lock.release()
            finally:
                # in any case: somebody has to take the queued writes
                self._client.seek()
        # maintenance may have been started meanwhile, and only an owner can do it
        self.rest()

    def _post(self, awaited: Sequence[Awaited], changes: Sequence[Change]) -> None:
        if self._delivery is not None:
            self._delivery.post(awaited, changes)
        if self._server is not None:
            self._server.publish(changes)

    def _tell_health(self, health: Health) -> None:
        if self._delivery is not None:
            self._delivery.post_health(health)
        if self._server is not None:
            self._server.tell_health(health)
