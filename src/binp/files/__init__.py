"""Files that actions take and return: type, accepted kinds, and storage."""

from __future__ import annotations

from ._accept import Accept
from ._file import MARK, UPLOAD, File
from ._handed import finder, give_back, hand_over, place_of, take_back
from ._inside import PLAIN, described_in, files_in
from ._shelf import Draft, FileGone, FilesFull, FileTooLarge, Limits, Shelf

__all__ = [
    "MARK",
    "PLAIN",
    "UPLOAD",
    "Accept",
    "Draft",
    "File",
    "FileGone",
    "FileTooLarge",
    "FilesFull",
    "Limits",
    "Shelf",
    "described_in",
    "files_in",
    "finder",
    "give_back",
    "hand_over",
    "place_of",
    "take_back",
]
