"""Before workers are replaced, the configuration is read again; it is kept only if they can start with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from buvar.components import Components
from buvar.config import ConfigSource

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
        self._before: list[tuple[ConfigSource, dict[str, Any], dict[str, Any]]] = []

    def begin(self) -> bool:
        """Read everything again; whether it could be read. If not, it stays as it was."""
        self.undo()
        sources = [] if self._components is None else self._components.find(ConfigSource).values()
        self._before = [(source, dict(source), dict(vars(source))) for source in sources]
        try:
            for source, _, _ in self._before:
                source.reload()
            if self._extra is not None:
                self._extra()
        except Exception:  # noqa: BLE001 - a broken file must not end what runs
            _log.exception("The configuration could not be read again; it stays as it was")
            self.undo()
            return False
        return True

    def keep(self) -> None:
        """All workers have started with it."""
        self._before.clear()

    def undo(self) -> None:
        """Go back to what was there before `begin`, unless it was kept."""
        for source, items, attributes in self._before:
            source.clear()
            source.update(items)
            vars(source).update(attributes)
        self._before.clear()
