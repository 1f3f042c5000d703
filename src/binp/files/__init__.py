"""Files that actions take and return: what they are, which are taken, and where they are kept."""

from __future__ import annotations

from ._accept import Accept
from ._file import MARK, UPLOAD, File
from ._shelf import Draft, FileGone, FilesFull, FileTooLarge, Limits, Shelf

__all__ = [
    "MARK",
    "UPLOAD",
    "Accept",
    "Draft",
    "File",
    "FileGone",
    "FileTooLarge",
    "FilesFull",
    "Limits",
    "Shelf",
]
