"""Tell what stands in the configuration and is read by nobody, because it is misspelt."""

from __future__ import annotations

import logging
import sys

from buvar.components import Components

_log = logging.getLogger("buvar.plugin")


def tell_misspelt(components: Components, told: set[str]) -> None:
    """Warn about sections and keys that are most likely misspelt, in every `ConfigSource` among the components.

    Args:
        components: What the plugins see.
        told: What was told before; it is told once.
    """
    if "buvar.config" not in sys.modules:
        return  # there is no configuration, and nobody is to wait for its import
    from buvar.config import ConfigSource

    for source in components.find(ConfigSource).values():
        for problem in map(str, source.check_sections()):
            if problem not in told:
                told.add(problem)
                _log.warning("Unused setting: %s", problem)
