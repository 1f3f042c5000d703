"""Before workers are replaced, the configuration is read again; it is kept only if they can start with it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from buvar.components import Components
from buvar.config import Changes, ConfigError, ConfigSource

_log = logging.getLogger("buvar.fork")


class Reload:
    """Reads the configuration again in the parent, so that the workers that it forks from then on have it.

    Args:
        components: Where its sources are.
        extra: Called besides.
    """

    def __init__(self, components: Components | None = None, extra: Callable[[], object] | None = None) -> None:
        self._components = components
        self._extra = extra
        self._changed: list[Changes] = []

    def begin(self) -> bool:
        """Read everything again; whether it could be read. If not, it stays as it was."""
        self.undo()
        sources = [] if self._components is None else self._components.find(ConfigSource).values()
        try:
            for source in sources:
                self._changed.append(source.reload())
            if self._extra is not None:
                self._extra()
        except Exception as error:  # noqa: BLE001 - a broken file must not end what runs
            # what is wrong with the configuration is said in the message; where it was noticed helps nobody
            complaint, details = (f": {error}", None) if isinstance(error, ConfigError) else ("", error)
            _log.error("The configuration could not be read again; it stays as it was%s", complaint, exc_info=details)
            self.undo()
            return False
        names = sorted({change.section or "the root" for changes in self._changed for change in changes})
        if names:
            _log.info("The configuration was read again; changed: %s", ", ".join(names))
        return True

    def keep(self) -> None:
        """All workers have started with it."""
        self._changed.clear()

    def undo(self) -> None:
        """Go back to what was there before `begin`, unless it was kept."""
        while self._changed:
            self._changed.pop().undo()
