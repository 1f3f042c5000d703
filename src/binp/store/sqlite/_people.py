"""Keep the table of processes, and end the runs of dead ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from binp.store.contract import Change, State, StoreError

from ._file import File
from ._ids import SLOTS
from ._nodes import Node
from ._open_run import CODES
from ._receipt import Failure, Receipt, Sender
from ._wire import encode_failure

__all__ = ["People"]


class People:
    """The table of processes, for the writer; every method needs an open transaction."""

    def __init__(self, file: File) -> None:
        self._file = file

    def join(self, node: Node, now: int, sign: int) -> tuple[int, int, list[Any]]:
        """Add *node*, or note that it has come again.

        Args:
            node: The process.
            now: The time.
            sign: As for :meth:`interrupt_gone`.

        Returns:
            Its slot, the number of its last committed write, and those writes that were not acknowledged with True.

        Raises:
            StoreError: there are too many processes.
        """
        taken = set()
        for name, slot, host, boot, pid, started, seen in self._here(sign):
            if (host, boot, pid, started) == (node.host, node.boot, node.pid, node.started):
                # a process opens the file only once: this is an earlier opening that was not ended properly
                self.leave(name, seen)
            else:
                taken.add(slot)
        free = next((slot for slot in range(SLOTS) if slot not in taken), None)
        if free is None:
            raise StoreError(f"{SLOTS} processes have the database open", fix="start fewer worker processes")
        row = {"host": node.host, "boot": node.boot, "pid": node.pid, "started": node.started}
        slot, numbered, refused = self._file.one("join_node", {"name": node.name, "slot": free, "now": now, **row})
        return slot, numbered, orjson.loads(refused)

    def leave(self, name: str, now: int) -> None:
        """The process *name* is gone."""
        self._file.run("leave_node", {"name": name, "now": now})

    def see(self, name: str, now: int) -> None:
        """Note a heartbeat of the process *name*."""
        self._file.run("see_node", {"name": name, "now": now})

    def count(self, batch: Sequence[Receipt], outcomes: Sequence[Any], now: int) -> None:
        """Store with the batch itself which numbered writes it contains, so that none is applied twice."""
        first: dict[Sender, int] = {}
        last: dict[Sender, int] = {}
        refused: dict[Sender, list[list[Any]]] = {}
        for receipt, outcome in zip(batch, outcomes, strict=True):
            sender = receipt.sender
            if sender is not None:
                first.setdefault(sender, receipt.number)
                last[sender] = receipt.number
                if isinstance(outcome, Failure):
                    refused.setdefault(sender, []).append([receipt.number, encode_failure(outcome.error), None])
                elif outcome is not True:
                    refused.setdefault(sender, []).append([receipt.number, None, outcome])
        for sender, number in last.items():
            kept = orjson.dumps(sender.remember(first[sender], refused.get(sender, []))).decode()
            self._file.run("count_node", {"name": sender.node, "numbered": number, "refused": kept, "now": now})

    def interrupt_gone(self, seq: int, sign: int) -> list[Change]:
        """End the running runs of dead processes; returns the changes, numbered after *seq*.

        Their queued runs stay queued: another process may take them.

        Args:
            seq: Number of the last change.
            sign: Until when processes that are found dead now were alive at least.
        """
        here = {row[0] for row in self._here(sign)}
        last: dict[str, int] = {}
        ended: list[tuple[int, int, str]] = []
        told = _Told(seq)
        for run, name, journaled, rev, state, slot in self._file.run("open_runs").fetchall():
            if name in here:
                continue
            if state == CODES[State.QUEUED]:
                told.tell("queue", run, rev, journaled)
                continue
            if name not in last:
                seen = self._file.one("last_seen", (name,))
                last[name] = seen[0] if seen else 0
            ended.append((run, last[name], "interrupted: its process ended"))
            told.end(run, rev, journaled, slot)
        if ended:
            self._file.bulk("interrupt_runs", ended)
        return told.changes

    def interrupt_silent(self, name: str, heard: int, seq: int) -> list[Change]:
        """End the running runs of the process *name*, which was last heard at *heard*; returns the changes.

        If it answers again, it is told to cancel them, and its writes to them are rejected.
        """
        ended: list[tuple[int, int, str]] = []
        told = _Told(seq)
        for run, holder, journaled, rev, state, slot in self._file.run("open_runs").fetchall():
            if holder == name and state == CODES[State.RUNNING]:
                ended.append((run, heard, "interrupted: its process did not answer any more"))
                told.end(run, rev, journaled, slot)
                told.tell("cancel", run, rev + 1, journaled)
        if ended:
            self._file.bulk("interrupt_runs", ended)
        return told.changes

    def is_company(self, name: str) -> bool:
        """Whether other processes than *name* are noted as present."""
        return any(row[0] != name for row in self._file.run("here_nodes").fetchall())

    def _here(self, sign: int) -> list[Any]:
        """The present processes; dead ones are noted as gone."""
        here = []
        for row in self._file.run("here_nodes").fetchall():
            name, _, host, boot, pid, started, seen = row
            if Node(name=name, host=host, boot=boot, pid=pid, started=started).is_alive():
                here.append(row)
            else:
                self.leave(name, max(seen, sign))
        return here


class _Told:
    """Collects numbered changes."""

    def __init__(self, seq: int) -> None:
        self._seq = seq
        self.changes: list[Change] = []

    def tell(self, topic: str, id: int | str, rev: int, journaled: object = False) -> None:  # noqa: A002 - fields of Change
        self.changes.append(Change(self._seq + len(self.changes) + 1, topic, id, rev, bool(journaled)))

    def end(self, run: int, rev: int, journaled: object, slot: str | None) -> None:
        """A run has ended, and its slot has a free place."""
        self.tell("run", run, rev + 1, journaled)
        if slot is not None:
            self.tell("slot", slot, rev + 1)
