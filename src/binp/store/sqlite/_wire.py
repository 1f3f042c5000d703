"""The protocol between the owner and its clients: frames of JSON over a Unix socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import orjson

from binp.store import contract
from binp.store.contract import BadLine, Change, Health, PutKey, State, StoreClosed, StoreError, Write, Written

from ._nodes import Node
from ._text import clean

__all__ = [
    "HEAD",
    "Refused",
    "Welcome",
    "decode_changes",
    "decode_failure",
    "decode_outcome",
    "decode_welcome",
    "decode_write",
    "encode_change",
    "encode_failure",
    "encode_health",
    "encode_node",
    "encode_write",
    "frame",
    "health_of",
    "node_of",
    "receive",
    "size_of",
]

#: length of the following frame
HEAD = struct.Struct(">I")

#: larger than any version of a key
_NO_VERSION = 2**63

_KINDS: dict[str, type[Write]] = {
    kind.kind: kind
    for kind in (
        contract.BeginRun,
        contract.TakeRun,
        contract.AddRecord,
        contract.AddLabels,
        contract.SetProgress,
        contract.EndRun,
        contract.KeepStep,
        contract.RequestCancel,
        contract.SetKeys,
        contract.PutKey,
        contract.RemoveKeys,
        contract.SetDesired,
        contract.SetObserved,
        contract.PauseSchedule,
        contract.MoveSchedule,
        contract.Once,
        contract.Import,
    )
}


def frame(content: bytes) -> bytes:
    """*content*, preceded by its length."""
    return HEAD.pack(len(content)) + content


def size_of(head: bytes) -> int:
    """The length of the frame after *head*."""
    (size,) = HEAD.unpack(head)
    return int(size)


def receive(connection: socket.socket) -> Any:
    """The next message; None at the end of the stream, even in the middle of a message. Blocks.

    Raises:
        OSError: the connection broke, or timed out.
        ValueError: it is not JSON.
    """
    head = _exactly(connection, HEAD.size)
    content = None if head is None else _exactly(connection, size_of(head))
    return None if content is None else orjson.loads(content)


def encode_write(number: int, write: Write) -> bytes:
    """Encode a numbered write.

    Raises:
        StoreClosed: only the owner itself executes such writes, and this process no longer is the owner.
        TypeError: it contains a value of the wrong type.
    """
    if write.kind not in _KINDS:
        raise StoreClosed(f"another process owns the database by now, and does this by itself: {write.kind}")
    try:
        return orjson.dumps([number, write.kind, write])
    except TypeError:
        # lone surrogates and numbers beyond 64 bits can be cleaned; any other problem raises again
        return orjson.dumps([number, write.kind, _cleaned(write)])


def decode_write(kind: str, content: dict[str, Any]) -> Write:
    """Decode a write of *kind* from the *content* that :func:`encode_write` has made.

    Raises:
        KeyError: there is no such kind.
        TypeError: its fields are wrong.
    """
    for name in ("labels", "keys", "lines"):
        if name in content:
            content[name] = tuple(content[name])
    if "items" in content:
        content["items"] = tuple((key, value) for key, value in content["items"])
    if "state" in content:
        content["state"] = State(content["state"])
    return _KINDS[kind](**content)


def decode_outcome(write: Write, outcome: Any) -> Any:
    """Decode the result of *write*."""
    return Written(**outcome) if isinstance(write, PutKey) and isinstance(outcome, dict) else outcome


def encode_failure(error: StoreError) -> list[Any]:
    """Encode why a write failed."""
    if isinstance(error, BadLine):
        return ["line", error.what, error.line, error.fix]
    return ["", error.what, error.where, error.fix]


def decode_failure(content: list[Any]) -> StoreError:
    """Decode the error of a failed write."""
    kind, what, place, fix = content
    return BadLine(what, place, fix=fix) if kind == "line" else StoreError(what, where=place, fix=fix)


def encode_health(health: Health) -> dict[str, Any]:
    """Encode the health of the database."""
    return asdict(health)


def health_of(content: dict[str, Any]) -> Health:
    """Decode the health of the database."""
    return Health(**content)


def encode_node(node: Node) -> dict[str, Any]:
    """Encode a process."""
    return asdict(node)


def node_of(content: dict[str, Any]) -> Node:
    """Decode a process."""
    return Node(**content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The owner's answer to a process that it admits."""

    #: identity of the change feed
    feed: str
    #: slot of this process for generating ids
    slot: int
    #: number of the last committed write of this process
    numbered: int
    #: [number, failure, outcome] of committed writes that were not acknowledged with True
    refused: list[tuple[int, Any, Any]]
    #: number of the last change before those that it will send
    seq: int
    #: the newest run
    newest: int
    health: Health


class Refused(ConnectionError):
    """The owner does not admit this process.

    Attributes:
        error: Why not.
    """

    def __init__(self, what: str, fix: str | None) -> None:
        super().__init__(what)
        self.error = StoreError(what, fix=fix)


def decode_welcome(content: Any) -> Welcome:
    """Decode the owner's answer to a process that joins.

    Raises:
        Refused: the process is not admitted.
        ConnectionError: the owner went away.
        ValueError: the answer is invalid.
    """
    if content is None:
        raise ConnectionError("the owner went away")
    if isinstance(content, dict) and "error" in content:
        raise Refused(str(content["error"]), content.get("fix"))
    try:
        welcome = content["welcome"]
        return Welcome(
            feed=str(welcome["feed"]),
            slot=int(welcome["slot"]),
            numbered=int(welcome["numbered"]),
            refused=[(int(number), failure, outcome) for number, failure, outcome in welcome["refused"]],
            seq=int(welcome["seq"]),
            newest=int(welcome["newest"]),
            health=health_of(welcome["health"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"this is no welcome: {content!r:.200}") from error


def encode_change(change: Change) -> list[Any]:
    """Encode a change."""
    return [change.seq, change.topic, change.id, change.rev, change.journal]


def decode_changes(rows: Iterable[list[Any]]) -> tuple[Change, ...]:
    """Decode changes."""
    return tuple(Change(*row) for row in rows)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        part = connection.recv(min(size - len(content), 1 << 20))
        if not part:
            return None
        content += part
    return bytes(content)


def _cleaned(write: Any) -> Write:
    changed: dict[str, Any] = {}
    for field in fields(write):
        value = getattr(write, field.name)
        changed[field.name] = _clean(value)
    if isinstance(write, PutKey) and write.expected is not None:
        # no key can have such a version, so a clamped one gives the same result
        changed["expected"] = max(-1, min(write.expected, _NO_VERSION))
    cleaned: Write = replace(write, **changed)
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, State):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(_clean(part) for part in value)
    return value
