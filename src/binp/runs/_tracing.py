"""What is recorded of runs automatically."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from binp.settings import LEVELS, TraceSettings

__all__ = ["Tracing"]


@dataclass(frozen=True)
class Tracing:
    """The trace settings of one BINP, prepared for fast checks of each line and variable."""

    settings: TraceSettings = field(default_factory=TraceSettings)

    @cached_property
    def names(self) -> re.Pattern[str]:
        """Matches the names of variables and fields whose values are masked."""
        # with nothing to mask, a pattern that never matches
        return re.compile("|".join(f"(?:{each})" for each in self.settings.redact) or r"(?!)", re.IGNORECASE)

    @cached_property
    def level(self) -> int:
        """Number of the lowest level of log lines that become records."""
        return LEVELS[self.settings.logs.lower()]

    @cached_property
    def lines(self) -> int:
        """Maximum number of recorded lines of output and logging per run."""
        return self.settings.lines
