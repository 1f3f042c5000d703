"""What is kept of runs besides what their functions say by themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from binp.settings import LEVELS, TraceSettings

__all__ = ["Tracing"]


@dataclass(frozen=True)
class Tracing:
    """The settings of one BINP, made ready to be asked for each line and each variable."""

    settings: TraceSettings = field(default_factory=TraceSettings)

    @cached_property
    def names(self) -> re.Pattern[str]:
        """Found in the names of variables and fields whose values are masked."""
        # a pattern that is found nowhere, where nothing is to be masked
        return re.compile("|".join(f"(?:{each})" for each in self.settings.redact) or r"(?!)", re.IGNORECASE)

    @cached_property
    def level(self) -> int:
        """Number of the lowest level of log lines that become records."""
        return LEVELS[self.settings.logs.lower()]

    @cached_property
    def lines(self) -> int:
        """Lines of output and logging that are kept of one run."""
        return self.settings.lines
