"""The root of every error of the platform; each says what, where and how to mend it."""

from __future__ import annotations

from buvar.errors import Explained

__all__ = ["BinpError", "UsageError"]


class BinpError(Explained):
    """Root of everything that the platform raises on purpose.

    Attributes:
        what: The one sentence that names the problem.
        where: The place it concerns (a file, a parameter, a setting), if there is one.
        fix: What to do about it, if that can be said.
    """


class UsageError(BinpError):
    """A wrong use that the person at the keyboard can mend: the command line prints it and exits with status 2."""
