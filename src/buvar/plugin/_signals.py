"""Signals: how a stage reacts to them, and how the handlers are installed and restored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

if TYPE_CHECKING:
    from buvar.config import Change

#: Exit status of a process ended by signal n: 128 + n.
LEAVE: Final = 128
_THIRD: Final = 3

_log = logging.getLogger("buvar.plugin")


class Stoppable(Protocol):
    """The part of a stage that signals need."""

    def interrupt(self) -> None:
        """Start the shutdown."""

    def cancel_now(self) -> None:
        """Cancel everything immediately."""


class Signals:
    """Handles the signals of a process for a stage.

    Subclass it and define any of ``handle_int, handle_term, handle_hup, handle_quit, handle_abort, handle_winch,
    handle_usr1, handle_usr2``; they are called in the event loop. By default INT and TERM start the shutdown, the
    second one cancels everything immediately, and a third one exits with status 128 + signal, even if the loop hangs.

    Args:
        stage: The stage.
    """

    #: name of the method -> signal
    HANDLERS: ClassVar[dict[str, signal.Signals]] = {
        f"handle_{name}": getattr(signal, f"SIG{short}")
        for name, short in {
            "int": "INT",
            "term": "TERM",
            "hup": "HUP",
            "quit": "QUIT",
            "abort": "ABRT",
            "winch": "WINCH",
            "usr1": "USR1",
            "usr2": "USR2",
        }.items()
        if hasattr(signal, f"SIG{short}")
    }

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self._received = 0

    def handle_int(self) -> None:
        """Start the shutdown; the second time, cancel everything."""
        self._stop()

    def handle_term(self) -> None:
        """Start the shutdown; the second time, cancel everything."""
        self._stop()

    @classmethod
    def handled(cls) -> dict[signal.Signals, str]:
        """The handled signals, and the names of their methods."""
        return {number: name for name, number in cls.HANDLERS.items() if callable(getattr(cls, name, None))}

    @contextlib.contextmanager
    def installed(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Handle the signals inside the block, and restore the former handlers afterwards.

        Does nothing outside the main thread, where Python delivers no signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former: dict[signal.Signals, Any] = {}
        with _woken(loop):
            try:
                for number, name in self.handled().items():
                    former[number] = signal.signal(number, self._receiver(loop, name))
                yield
            finally:
                for number, handler in former.items():
                    # None means a handler that Python did not install and cannot restore
                    signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receiver(self, loop: asyncio.AbstractEventLoop, name: str) -> Callable[[int, FrameType | None], None]:
        # plain handlers instead of loop.add_signal_handler: they run even if the loop hangs, and can be restored
        is_default = getattr(type(self), name) in (Signals.handle_int, Signals.handle_term)

        def receive(number: int, _frame: FrameType | None) -> None:
            if is_default:
                self._received += 1
                if self._received >= _THIRD:
                    os._exit(LEAVE + number)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing left to stop
                loop.call_soon_threadsafe(getattr(self, name))

        return receive

    def _stop(self) -> None:
        stage: Stoppable = self.stage
        stage.interrupt()
        if self._received > 1:
            stage.cancel_now()


@contextlib.contextmanager
def _woken(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let every signal wake up *loop* inside the block.

    A Python signal handler runs between two bytecode instructions. Without this, a signal that arrives just before the
    loop blocks in the system, or in another thread, would only be handled when something else wakes up the loop.
    """
    reading, writing = socket.socketpair()
    with reading, writing:
        for end in (reading, writing):
            end.setblocking(False)
        former = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

        def woken() -> None:
            numbers = reading.recv(4096)
            if former != -1:
                with contextlib.suppress(OSError):  # it is closed, or its buffer is full
                    os.write(former, numbers)

        try:
            with contextlib.suppress(NotImplementedError):  # the event loop on Windows, which does all this itself
                loop.add_reader(reading, woken)
            yield
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError):  # it is closed
                loop.remove_reader(reading)
            current = signal.set_wakeup_fd(former)
            if current not in (-1, writing.fileno()):
                signal.set_wakeup_fd(current)  # somebody else installed one meanwhile: keep it


class ReloadSignals(Signals):
    """`Signals` with HUP reading the configuration again: ``stage(..., signals=ReloadSignals)``.

    Reloads the `ConfigSource` of the stage's context, which calls its watchers. If anything is wrong with the new
    configuration, the problem is logged and nothing changes. HUP from a terminal that is gone starts the shutdown.

    Args:
        stage: The stage.
    """

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._on_terminal = os.isatty(0)

    def handle_hup(self) -> None:
        """Read the configuration again."""
        if self._on_terminal and not os.isatty(0):
            self._stop()
        else:
            self._read_again()

    def _read_again(self) -> None:
        from buvar.config import ConfigError, ConfigSource  # imported only when the signal comes

        source: ConfigSource | None = self.stage.context.get(ConfigSource, default=None)
        if source is None:
            _log.warning("There is no configuration to reload")
            return
        try:
            changes = source.reload()
        except ConfigError as error:
            _log.error("The configuration stays as it was: %s", error)
            return
        changed = f"changed: {_sections(changes)}" if changes else "nothing changed"
        _log.info("The configuration was reloaded; %s", changed)
        self._tell_unheard(changes.unheard)
        self.stage.check_settings()

    def _tell_unheard(self, unheard: Collection[Change]) -> None:
        if unheard:
            names = _sections(unheard)
            _log.warning("Nobody follows changes of %s: what was loaded before keeps its values", names)


def _sections(changes: Iterable[Change]) -> str:
    return ", ".join(sorted({change.section or "the root" for change in changes}))
