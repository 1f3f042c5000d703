"""The root of all errors of the kernel, and the format of an error: what happened, where, and how to fix it."""

from __future__ import annotations

__all__ = ["BuvarError", "Explained"]


class Explained(Exception):
    """An error in three parts: what went wrong, where, and how to fix it.

    ``args`` is ``(what, *details)``, so an error keeps the objects that it is about; `where` and `fix` are attributes.
    ``str(error)`` is the text for people::

        nobody provides Pool
          where: Handler -> Service -> Pool
          fix:   register an adapter that returns Pool

    Args:
        what: One sentence, without a full stop.
        details: Further objects to keep in ``args``.
        where: The place: a path, a file and line, a tree. Further lines are indented.
        fix: What the reader can do about it.
    """

    where: str | None
    fix: str | None

    def __init__(self, what: str = "", *details: object, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what, *details)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append("  where: " + self.where.replace("\n", "\n         "))
        if self.fix:
            lines.append("  fix:   " + self.fix.replace("\n", "\n         "))
        return "\n".join(lines)


class BuvarError(Explained):
    """The root of all errors that the kernel raises on purpose; its subclasses say what went wrong."""
