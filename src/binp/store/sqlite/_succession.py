"""What a client needs of its process, which may become the owner."""

from __future__ import annotations

from typing import Protocol

from binp.store.contract import StoreError

__all__ = ["Gone", "Succession"]


class Gone(Exception):
    """The owner cannot be reached.

    Attributes:
        nonsense: The error that its answer led to, if the answer was invalid.
        refusal: Why it does not admit this process, if it said so.
    """

    def __init__(self, reason: str, nonsense: Exception | None = None, *, refusal: StoreError | None = None) -> None:
        super().__init__(reason)
        self.nonsense = nonsense
        self.refusal = refusal


class Succession(Protocol):
    """Decides about the role of this process."""

    def take_over(self) -> bool:
        """Become the owner if the role is free and no other process has precedence."""

    def owner_socket(self) -> str | None:
        """The address of the owner; None if there is none for this process."""

    def follow(self, feed: str | None, slot: int, newest: int) -> None:
        """The client has connected to an owner: the first one, another one, or the same again.

        Args:
            feed: Identity of the changes from here on; None if none was missed since the last received ones.
            slot: The slot of this process for generating ids.
            newest: The largest id so far.
        """
