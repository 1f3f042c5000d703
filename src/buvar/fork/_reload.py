"""Read the configuration again before workers are replaced; it is kept only if they can start with it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from buvar.components import Components
from buvar.config import Changes, ConfigError, ConfigSource

_log = logging.getLogger("buvar.fork")


class Reload:
    """Reads the configuration again in the parent, so that workers forked from then on inherit it.

    Args:
        components: Contains the configuration sources.
        extra: Called as well.
    """

    def __init__(self, components: Components | None = None, extra: Callable[[], object] | None = None) -> None:
        self._components = components
        self._extra = extra
        self._changed: list[Changes] = []

    def begin(self) -> bool:
        """Read everything again; returns whether that succeeded. If not, nothing is changed."""
        self.undo()
        sources = [] if self._components is None else self._components.find(ConfigSource).values()
        try:
            for source in sources:
                self._changed.append(source.reload())
            if self._extra is not None:
                self._extra()
        except Exception as error:  # noqa: BLE001 - a broken file must not end what runs
            # the message of a configuration error is enough; its traceback would not help
            complaint, details = (f": {error}", None) if isinstance(error, ConfigError) else ("", error)
            _log.error("The configuration could not be read again; it stays as it was%s", complaint, exc_info=details)
            self.undo()
            return False
        names = sorted({change.section or "the root" for changes in self._changed for change in changes})
        if names:
            _log.info("The configuration was read again; changed: %s", ", ".join(names))
        return True

    def keep(self) -> None:
        """Keep it: all workers have started with it."""
        self._changed.clear()

    def undo(self) -> None:
        """Restore the state before `begin`, unless it was kept."""
        while self._changed:
            self._changed.pop().undo()
