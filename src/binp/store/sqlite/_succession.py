"""What a client needs of the process that it is in, which may take the place of the owner."""

from __future__ import annotations

from typing import Protocol

from binp.store.contract import StoreError

__all__ = ["Gone", "Succession"]


class Gone(Exception):
    """The owner cannot be reached.

    Attributes:
        nonsense: What came of that which it said, if it made no sense.
        refusal: Why it does not let this process in, if it said so.
    """

    def __init__(self, reason: str, nonsense: Exception | None = None, *, refusal: StoreError | None = None) -> None:
        super().__init__(reason)
        self.nonsense = nonsense
        self.refusal = refusal


class Succession(Protocol):
    """What decides on the role of this process."""

    def take_over(self) -> bool:
        """Take the role of the owner if it has become free, and nobody else is to have it."""

    def owner_socket(self) -> str | None:
        """Where the owner listens, if there is one for this process."""

    def follow(self, feed: str | None, slot: int, newest: int) -> None:
        """The client found an owner: the first one, another one, or the same again.

        Args:
            feed: Identity of the changes from here on; None if none was missed since those that came last.
            slot: The place of this process in what makes ids.
            newest: The largest id so far.
        """
