"""What the parts of one BINP share, and its life: open, attach, shut down in order."""

from __future__ import annotations

from ._home import DifferentDatabases, Home, Part
from ._stores import HomeClosed

__all__ = ["DifferentDatabases", "Home", "HomeClosed", "Part"]
