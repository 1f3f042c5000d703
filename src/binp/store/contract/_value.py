"""A decorator for values created in large numbers: frozen for type checkers, fast to create at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    import dataclasses

    def value(**given):
        """``dataclasses.dataclass``, but a frozen class is only hashable, and not protected against changes.

        A frozen dataclass has to bypass its own protection for each field when it is created, which takes two to three
        times as long. Each journaled call creates at least five writes.
        """
        given["unsafe_hash"] = given.pop("frozen")
        return dataclasses.dataclass(**given)
