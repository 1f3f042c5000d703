"""Execute writes that need a transaction of their own: joining and leaving, imports, and maintenance of the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from binp.store.contract import Change, Import, StoreError

from ._commit import Committer
from ._file import File
from ._import import take_in
from ._nodes import Join, Leave, Silence
from ._people import People
from ._receipt import Failure, Receipt
from ._tend import TENDING, tend

__all__ = ["ALONE", "OWN", "Alone"]

#: the kinds of these writes
ALONE = frozenset({Join.kind, Leave.kind, Silence.kind, Import.kind}) | TENDING
#: those that only an owner sends to itself, never another process
OWN = ALONE - {Import.kind}


class Alone:
    """Executes one write at a time.

    Args:
        file: The file; no transaction is open.
        people: The processes that write.
        committer: Commits all other writes.
        notice: Called with the reason if one of them failed.
    """

    def __init__(self, file: File, people: People, committer: Committer, notice: Callable[[StoreError], None]) -> None:
        self._file = file
        self._people = people
        self._committer = committer
        self._notice = notice

    def do(self, receipt: Receipt, seq: int) -> tuple[Any, list[Change]]:
        """Execute the write of *receipt*.

        Args:
            receipt: The write.
            seq: Number of the last change so far.

        Returns:
            The result or :class:`Failure` of the write, and its changes.
        """
        kind = receipt.write.kind
        try:
            if kind in TENDING:
                return tend(self._file, receipt.write), []
            return self._take_in(receipt, seq) if kind == Import.kind else self._come_or_go(receipt, seq)
        except Exception as error:  # noqa: BLE001 - becomes the failure of the write
            self._committer.roll_back()
            explained = self._committer.explain(error)
            self._notice(explained)
            return Failure(explained), []

    def _come_or_go(self, receipt: Receipt, seq: int) -> tuple[Any, list[Change]]:
        write = receipt.write
        outcome: Any = None
        changes: list[Change] = []
        self._file.begin()
        if isinstance(write, Join):
            self._committer.has_guests = True
            outcome = (*self._people.join(write.node, write.at, write.at), seq, self._file.newest)
        elif isinstance(write, Leave):
            if write.name is not None:
                self._people.leave(write.name, write.at)
            changes = self._people.interrupt_gone(seq, write.at)
        elif isinstance(write, Silence):
            changes = self._people.interrupt_silent(write.name, write.at, seq)
        self._file.commit()
        return outcome, changes

    def _take_in(self, receipt: Receipt, seq: int) -> tuple[Any, list[Change]]:
        self._file.begin()
        outcome, changes = take_in(self._file, getattr(receipt.write, "lines", ()), seq)
        self._committer.finish([receipt], [outcome], changes)
        return outcome, changes
