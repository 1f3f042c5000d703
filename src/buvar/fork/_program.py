"""The program of a worker: a stage that reports when it is ready, its heartbeat, and why it ended."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from buvar import context
from buvar.components import Components
from buvar.config import ConfigError
from buvar.plugin import Signals, Stage, TeardownError

from ._fork import Fork, is_leader
from ._policy import BOOT_FAILED
from ._reload import AloneSignals
from ._seat import Manager, Report, Reporter, Seat, orphaned
from ._sockets import Socket
from ._systemd import Notifier

_log = logging.getLogger("buvar.fork")

#: the result of the reporting task, which is not a result of the program
_OURS = object()


class WorkerStage(Stage):
    """A stage that remembers whether it was asked to end, and speaks for all workers where it leads them."""

    was_asked = False
    on_stop: Callable[[], None] | None = None
    on_reload: Callable[[], object] | None = None

    def interrupt(self) -> None:
        """Start the shutdown because of a signal."""
        self.was_asked = True
        if self.on_stop is not None:
            self.on_stop()
        super().interrupt()

    def check_settings(self) -> None:
        """Warn about settings that are most likely misspelt, once for all workers."""
        if is_leader():
            super().check_settings()


class Life:
    """The first and the last plugin, around those of the program: they report on it.

    Args:
        stage: The stage.
        fork: Knows what holds the report back.
        report: Receives the reports.
        beat: Seconds between two heartbeats.
    """

    def __init__(self, stage: WorkerStage, fork: Fork, report: Reporter, beat: float) -> None:
        self.stage = stage
        self.fork = fork
        self.report = report
        self.interval = beat
        #: whether it has reported that this worker is ready
        self.is_ready = False
        #: why a block that had to succeed did not
        self.error: BaseException | None = None
        self._started = False
        fork.progress = self._progress
        fork.abort = self._abort

    async def begin(self) -> None:
        """The first plugin: the signal handlers are installed, the event loop is running."""
        self._beat(asyncio.get_running_loop())

    async def end(self) -> AsyncIterator[Awaitable[Any]]:
        """The last plugin: all others are loaded, and its task starts last."""
        yield self._start()

    async def _start(self) -> object:
        self._started = True
        self._progress()
        return _OURS

    def _progress(self) -> None:
        if self._started and not self.fork.holds and not self.is_ready:
            self.is_ready = True
            self.report(Report.READY)

    def _abort(self, error: BaseException) -> None:
        self.error = error
        self.stage.interrupt()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.report(Report.BEAT):
            loop.call_later(self.interval, self._beat, loop)
        else:
            orphaned()


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What every worker runs."""

    #: without relative names
    plugins: tuple[Any, ...]
    #: the components of all plugins, including the sockets
    components: Components
    loop: asyncio.AbstractEventLoop | None
    signals: type[Signals] | None
    cancel_timeout: float
    fail_fast: bool

    @classmethod
    def on(cls, sockets: Mapping[str, Socket], components: Components | None, fork: Fork, **rest: Any) -> Program:
        """A program whose components are the sockets and *fork*, on top of the given ones."""
        base = context.current_context()
        own = (base if components is None else components.over(base)).push()
        for name, sock in sockets.items():
            own.add(sock, name=name)
        own.add(fork)
        return cls(components=own, **rest)

    def alone(self, fork: Fork, reload: Callable[[], object] | None) -> list[Any]:
        """Run it in this process; see `buvar.plugin.stage`. On HUP, *reload* is called as well."""
        notifier = Notifier()
        # without workers to replace, HUP only reloads the configuration in this process
        stage = self._stage(self.loop, AloneSignals.on(self.signals))
        stage.on_reload = reload
        beat = fork.supervision.beat if notifier.interval is None else notifier.interval
        life = Life(stage, fork, Manager(notifier), beat)

        stage.on_stop = notifier.stopping
        results = stage.run(life.begin, *self.plugins, life.end)
        if life.error is not None:
            raise life.error
        return [result for result in results if result is not _OURS]

    def worker(self, fork: Fork, seat: Seat) -> int:
        """Run it as a worker.

        Returns:
            Exit status: 0; 1 if a task or the teardown failed; 3 if it could not be started.
        """
        fork.take(seat)
        # an event loop belongs to one process: each worker creates a new one of the same type
        stage = self._stage(None if self.loop is None else type(self.loop)(), self.signals)
        life = Life(stage, fork, seat.report, seat.beat)

        async def begin() -> None:
            seat.unblock()
            await life.begin()

        try:
            stage.run(begin, *self.plugins, life.end)
        except TeardownError:
            return 1 if life.is_ready else BOOT_FAILED
        except Exception as error:
            if life.is_ready:
                raise
            # the message of a configuration error is enough; its traceback would not help
            complaint, details = (f": {error}", None) if isinstance(error, ConfigError) else ("", error)
            _log.critical("Worker %d could not be started%s", seat.slot, complaint, exc_info=details)
            return BOOT_FAILED
        if life.error is not None:
            return BOOT_FAILED
        if stage.failed:
            return 1
        if not stage.was_asked:
            seat.report(Report.DONE)
        return 0

    def _stage(self, loop: asyncio.AbstractEventLoop | None, signals: type[Signals] | None) -> WorkerStage:
        return WorkerStage(self.components, loop, signals, self.cancel_timeout, fail_fast=self.fail_fast)
