"""The root of all errors of the platform; each says what happened, where, and how to fix it."""

from __future__ import annotations

from buvar.errors import Explained

__all__ = ["BinpError", "UsageError"]


class BinpError(Explained):
    """Root of all errors that the platform raises on purpose.

    Attributes:
        what: The problem, in one sentence.
        where: The place it concerns (a file, a parameter, a setting); None if there is none.
        fix: What to do about it; None if unknown.
    """


class UsageError(BinpError):
    """A usage error that the user can fix: the command line prints it and exits with status 2."""
