"""Read the configuration again on HUP; it is kept only if the workers that replace others can start with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from buvar.components import Components
from buvar.config import Change, Changes, ConfigError, ConfigSource
from buvar.plugin import ReloadSignals, Signals

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
        elif self._changed:
            _log.info("The configuration was read again; nothing changed")
        return True

    @property
    def unheard(self) -> list[Change]:
        """The changes since `begin` that nobody was notified of."""
        return [change for changes in self._changed for change in changes.unheard]

    def keep(self) -> None:
        """Keep it: all workers have started with it."""
        self._changed.clear()

    def undo(self) -> None:
        """Restore the state before `begin`, unless it was kept."""
        while self._changed:
            self._changed.pop().undo()


class AloneSignals(ReloadSignals):
    """HUP for a worker that has no parent to replace it: reads the configuration again in this process.

    Args:
        stage: The stage; its `on_reload` is called as well.
    """

    @classmethod
    def on(cls, signals: type[Signals] | None) -> type[Signals]:
        """This class on top of *signals*, unless that handles HUP itself."""
        if signals is None:
            return cls
        if callable(getattr(signals, "handle_hup", None)):
            return signals
        return cast("type[Signals]", type(signals.__name__, (cls, signals), {}))

    def _read_again(self) -> None:
        components, extra = self.stage.context, self.stage.on_reload
        if extra is None and not components.find(ConfigSource):
            _log.warning("There is no configuration to reload")
            return
        reload = Reload(components, extra)
        if reload.begin():
            self._tell_unheard(reload.unheard)
            reload.keep()
            self.stage.check_settings()
