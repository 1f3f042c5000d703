"""Values that are made in great numbers: frozen for type checkers, quick to make at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    import dataclasses

    def value(**given):
        """``dataclasses.dataclass``; what is declared as frozen can be hashed, and is not guarded.

        A frozen dataclass goes around its own guard for each field when it is made, which takes two to three times as
        long. There are at least five writes to each journaled call.
        """
        given["unsafe_hash"] = given.pop("frozen")
        return dataclasses.dataclass(**given)
