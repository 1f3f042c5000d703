"""What owner and clients say to each other: frames of JSON over a unix socket."""

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

#: bytes before each frame that say how long it is
HEAD = struct.Struct(">I")

#: a version beyond those that a key can have
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
    """*content* with its length before it."""
    return HEAD.pack(len(content)) + content


def size_of(head: bytes) -> int:
    """How long the frame behind *head* is."""
    (size,) = HEAD.unpack(head)
    return int(size)


def receive(connection: socket.socket) -> Any:
    """The next message; None at the end, also where that comes in the middle of one. Blocks.

    Raises:
        OSError: the connection broke, or its timeout is over.
        ValueError: it is not JSON.
    """
    head = _exactly(connection, HEAD.size)
    content = None if head is None else _exactly(connection, size_of(head))
    return None if content is None else orjson.loads(content)


def encode_write(number: int, write: Write) -> bytes:
    """A numbered write.

    Raises:
        StoreClosed: only the owner itself makes anything of it, and this process was one.
        TypeError: something in it is of a type that it does not say.
    """
    if write.kind not in _KINDS:
        raise StoreClosed(f"another process owns the database by now, and does this by itself: {write.kind}")
    try:
        return orjson.dumps([number, write.kind, write])
    except TypeError:
        # half of a surrogate pair cannot be encoded, and no number beyond 64 bits; whatever else it is fails for good
        return orjson.dumps([number, write.kind, _cleaned(write)])


def decode_write(kind: str, content: dict[str, Any]) -> Write:
    """The write of *kind* that :func:`encode_write` made *content* of.

    Raises:
        KeyError: there is no such kind.
        TypeError: its fields are not those of the kind.
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
    """What *write* was acknowledged with, as it came over the wire."""
    return Written(**outcome) if isinstance(write, PutKey) and isinstance(outcome, dict) else outcome


def encode_failure(error: StoreError) -> list[Any]:
    """Why a write failed."""
    if isinstance(error, BadLine):
        return ["line", error.what, error.line, error.fix]
    return ["", error.what, error.where, error.fix]


def decode_failure(content: list[Any]) -> StoreError:
    """The error that *content* tells of."""
    kind, what, place, fix = content
    return BadLine(what, place, fix=fix) if kind == "line" else StoreError(what, where=place, fix=fix)


def encode_health(health: Health) -> dict[str, Any]:
    """Whether the database takes writes."""
    return asdict(health)


def health_of(content: dict[str, Any]) -> Health:
    """What *content* tells of the database."""
    return Health(**content)


def encode_node(node: Node) -> dict[str, Any]:
    """A process."""
    return asdict(node)


def node_of(content: dict[str, Any]) -> Node:
    """The process that *content* tells of."""
    return Node(**content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What the owner says to a process that it lets in."""

    #: identity of the changes
    feed: str
    #: this process's place in what makes ids
    slot: int
    #: number of the last write of this process that was committed
    numbered: int
    #: [number, failure, outcome] of those up to there that were not acknowledged with True
    refused: list[tuple[int, Any, Any]]
    #: number of the last change that it does not tell of
    seq: int
    #: the newest run
    newest: int
    health: Health


class Refused(ConnectionError):
    """The owner does not let this process in.

    Attributes:
        error: Why.
    """

    def __init__(self, what: str, fix: str | None) -> None:
        super().__init__(what)
        self.error = StoreError(what, fix=fix)


def decode_welcome(content: Any) -> Welcome:
    """What *content* says to a process that is let in.

    Raises:
        Refused: it is not let in.
        ConnectionError: the owner went away.
        ValueError: it makes no sense, whatever it is.
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
    """A change."""
    return [change.seq, change.topic, change.id, change.rev, change.journal]


def decode_changes(rows: Iterable[list[Any]]) -> tuple[Change, ...]:
    """The changes that *rows* tell of."""
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
        # no key is in either version: to whoever expects a number beyond them the answer is the same
        changed["expected"] = max(-1, min(write.expected, _NO_VERSION))
    cleaned: Write = replace(write, **changed)
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, State):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(_clean(part) for part in value)
    return value
