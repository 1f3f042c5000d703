"""What this process is to the file: its owner, with the thread that writes, or a client of the owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from binp.store.contract import Change, Health, Retention, Role

from ._care import Care
from ._client import Client, Gone
from ._connect import check_place, connect_writer
from ._delivery import Delivery
from ._guard import leak
from ._ids import Ids
from ._migrate import migrate, shipped
from ._nodes import Node
from ._outbox import Outbox
from ._owner import OwnerLock, owned_error
from ._receipt import Awaited
from ._server import Server
from ._writer import Writer

__all__ = ["Engine"]

#: seconds for which a file that changes hands is tried to be claimed
_CHANGE_OF_HANDS = 0.3

#: seconds for which a process waits for an owner of its group to listen: it may be migrating
_SIBLING = 60.0


class Engine:
    """Takes the role that is to be had, and the other one when that becomes free.

    Args:
        path: The database file.
        node: This process.
        outbox: What is to be written.
        ids: Told where to begin.
        group: Processes that share the file; None to have it alone.
        synchronous: As in SQLite.
        clock: Microseconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        node: Node,
        outbox: Outbox,
        ids: Ids,
        *,
        group: str | None,
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
        self._synchronous = synchronous
        self._clock = clock
        self._lock = OwnerLock(path)
        self._delivery: Delivery | None = None
        self._writer: Writer | None = None
        self._server: Server | None = None
        self._client: Client | None = None
        self._care: Care | None = None
        self._changing = threading.Lock()

    @property
    def commits(self) -> int:
        """Transactions of this process so far."""
        return 0 if self._writer is None else self._writer.commits

    def start(self, delivery: Delivery) -> None:
        """Take the role of the owner if it is free, else become a client of the owner. Blocks.

        Raises:
            StoreOwned: another process has the file, and does not share it with this one.
            StoreError: it cannot be opened.
        """
        check_place(self._path)
        self._delivery = delivery
        self._outbox.open()
        began = time.monotonic()
        while not self._lock.take():
            if self._become_client():
                return
            owner = self._lock.read()
            is_sibling = self._group is not None and owner.get("group") in {self._group, None}
            if time.monotonic() - began > (_SIBLING if is_sibling else _CHANGE_OF_HANDS):
                raise owned_error(self._path, owner)
            time.sleep(0.02)
        self._become_owner()

    def retain(self, retention: Retention) -> None:
        """Take care of the file from here on, if this process owns it."""
        if self._care is not None:
            self._care.set(retention)
        elif self._writer is not None:
            self._care = Care(self._path, self._outbox, retention)
            self._care.start()

    @property
    def problem(self) -> str | None:
        """Why what is old cannot be erased, as far as this process knows."""
        return None if self._care is None else self._care.problem

    def rest(self) -> None:
        """Take care of the file no more. Blocks until what is being done is done."""
        if self._care is not None:
            self._care.stop()
            self._care = None

    def stop(self) -> None:
        """Wait until everything is committed after the outbox was closed, and let go of all. Blocks."""
        if self._client is not None:
            # it may take the role of the owner on its way out
            self._client.join()
        with self._changing:
            if self._writer is not None:
                self._writer.join()
            if self._server is not None:
                self._server.stop()
            self._lock.release()

    def forked(self) -> None:
        """In a forked child: close what would keep the parent's things alive, and touch nothing else."""
        self._lock.abandon()
        if self._care is not None:
            self._care.abandon()
        if self._writer is not None:
            leak(self._writer.connection)
        if self._server is not None:
            self._server.abandon()
        if self._client is not None:
            self._client.abandon()

    def take_over(self) -> bool:
        """Take the role of the owner if it has become free; called by the thread of the client."""
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
        """Where the owner listens, if it takes in processes of this group."""
        if self._group is None:
            return None
        note = self._lock.read()
        return note.get("socket") if note.get("group") == self._group else None

    def follow(self, feed: str, slot: int, newest: int) -> None:
        """The client found an owner, for the first time or another one."""
        self._ids.start(slot, newest)
        if feed != self.feed:
            is_first = not self.feed
            self.feed = feed
            if self._delivery is not None and not is_first:
                self._delivery.reset()

    def _become_client(self) -> bool:
        assert self._delivery is not None  # noqa: S101 - set by start
        place = self.owner_socket()
        if place is None:
            return False
        client = Client(self._node, self._outbox, self._delivery, self)
        try:
            client.start(place)
        except Gone:
            return False
        self.role = Role.CLIENT
        self._client = client
        return True

    def _become_owner(self) -> None:
        try:
            connection = connect_writer(self._path, self._synchronous)
            try:
                migrate(connection, self._path, shipped())
                writer = Writer(self._path, connection, self._outbox, self._node, self._clock)
                slot, numbered, refused = writer.enter(self._lock.last_sign)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._writer = writer
        self._ids.start(slot, writer.newest)
        self.feed = writer.feed
        assert self._delivery is not None  # noqa: S101 - set by start
        if self._client is not None:
            self._delivery.post_health(Health())
            self._client.give_back(numbered, refused)
            self._delivery.reset()
        socket = None
        if self._group is not None:
            self._server = Server(self._path, self._outbox, writer.feed)
            socket = self._server.start()
        self._lock.note(self._node, self._group, socket)
        self.role = Role.OWNER
        writer.start(self._post, self._delivery.mark, self._tell_health, self._lock.touch)

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
