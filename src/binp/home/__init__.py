"""The home that the parts of one BINP share, and its life cycle: open, attach, shut down in order."""

from __future__ import annotations

from ._home import DifferentDatabases, Home, Part
from ._retention import retention_of
from ._stores import HomeClosed

__all__ = ["DifferentDatabases", "Home", "HomeClosed", "Part", "retention_of"]
