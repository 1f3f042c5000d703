"""Forked workers on shared sockets, supervised by their parent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Any

from buvar.components import Components
from buvar.names import absolute_name
from buvar.plugin import CANCEL_TIMEOUT, LoopRunningError, Signals

from ._cpus import usable_cpus
from ._errors import ForkError, SocketNotUsableError, SocketUriError, ThreadsRunningError, WorkersFailed
from ._fork import Booting, Fork, check, is_leader
from ._policy import Supervision
from ._sockets import Socket, Sockets, stop_accepting
from ._turn import Kept, Turn
from ._uri import Uri

__all__ = [
    "Booting",
    "Fork",
    "ForkError",
    "Kept",
    "Socket",
    "SocketNotUsableError",
    "SocketUriError",
    "Sockets",
    "Supervision",
    "ThreadsRunningError",
    "Turn",
    "Uri",
    "WorkersFailed",
    "is_leader",
    "rerun",
    "stage",
    "stop_accepting",
    "usable_cpus",
]

#: Seconds that the parent waits longer than the tasks of a worker may take.
_MARGIN = 5.0


def stage(
    *plugins: Any,
    components: Components | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    forks: int = 0,
    sockets: str | Iterable[str] | None = None,
    signals: type[Signals] | None = None,
    cancel_timeout: float = CANCEL_TIMEOUT,
    fail_fast: bool = False,
    reload: Callable[[], object] | None = None,
    supervision: Supervision | None = None,
) -> list[Any]:
    """Run plugins like `buvar.plugin.stage`, in several processes that share sockets.

    The sockets are bound and listening before anything is forked; plugins find each as a `Socket` component named by
    its URI. This process supervises the workers. A worker that dies is restarted, after a delay that grows while it
    keeps dying; a worker whose tasks have ended is not. INT and TERM end all workers, a second one immediately. HUP
    replaces them one by one without refusing a connection, with the configuration read again, unless *signals* handles
    it; other signals that it handles are passed on. With one worker nothing is forked: HUP reads the configuration
    again in this process, which notifies its watchers, and replaces nothing.

    Args:
        plugins: Dotted names, modules or functions.
        components: Layers on top of the current context.
        loop: The event loop to use; several workers each create a new one of the same type.
        forks: Number of workers; 0 for one per usable processor.
        sockets: One or several URIs: ``tcp://host:port``, ``tcp://:port``, ``tcp://[::1]:port``, ``unix:///path``,
            ``fd://number``.
            Sockets passed by systemd are used as well, and instead of a new one with the same URI.
        signals: The class that handles the signals of a worker, instead of `Signals`.
        cancel_timeout: Seconds for tasks that watch `Cancel` to end by themselves.
        fail_fast: Whether the first task that fails ends its worker, which is then restarted.
        reload: Called in this process on HUP, when the configuration was read again, before workers are replaced; if it
            raises, they are kept, and the configuration stays as it was. With one worker it runs in its event loop.
        supervision: The rules for restarts and replacements.

    Returns:
        With one worker the results of the tasks; otherwise the exit status of each worker.

    Raises:
        LoopRunningError: an event loop is running in this thread.
        ForkError: workers cannot be forked here: other threads are running, or this is not the main thread.
        SocketUriError: a URI is invalid; a `TypeError`.
        SocketNotUsableError: a socket cannot be bound; an `OSError`.
        WorkersFailed: workers could not be started (status 3), or failed for good (their status); a `SystemExit`.
        Exception: with one worker, whatever `buvar.plugin.stage` raises.
    """
    from ._program import Program

    package = sys._getframe(1).f_globals.get("__package__")  # noqa: SLF001 - documented in CPython
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the documented way raises
        raise LoopRunningError("fork.stage")
    fork = Fork(forks, supervision)
    if fork.number > 1:
        check("fork.stage")
    with Sockets(*((sockets,) if isinstance(sockets, str) else sockets or ())).bind() as bound:
        program = Program.on(
            bound.names(),
            components,
            fork,
            # relative names must be resolved here: in a worker, the caller's frame is not on the stack
            plugins=tuple(absolute_name(plugin, package) for plugin in plugins),
            loop=loop,
            signals=signals,
            cancel_timeout=cancel_timeout,
            fail_fast=fail_fast,
        )
        if fork.number == 1:
            return program.alone(fork, reload)
        from ._reload import Reload
        from ._supervise import Supervisor

        return Supervisor(
            fork,
            lambda seat: program.worker(fork, seat),
            cancel_timeout + _MARGIN,
            handled=(signals or Signals).handled(),
            reload=Reload(program.components, reload),
            # once the workers have closed their own, clients are refused and the next program can use the address
            on_stop=bound.close,
        ).run()


def rerun(enter: Callable[[Turn], int], *, meanwhile: Callable[[Turn], int] | None = None) -> int:
    """Call a function in a child process, and again in a new one whenever a watched file changes.

    The child is asked to end first; the next one starts when it is gone. All children inherit what the parent has
    imported; what they import themselves is imported anew each time. A child that ends by itself, or cannot be
    started, is followed by the next one when a file changes. The first INT, TERM or HUP asks the child to end, the
    second one hurries it, a third kills it. If the parent is killed, the child ends.

    Args:
        enter: The function that each child runs; returns the exit status.
        meanwhile: Runs in a child of its own while there is no other one, if sockets are kept; it may answer on them.
            TERM ends it.

    Returns:
        The exit status of the last child after a signal asked it to end; 128 + the signal if the third one killed it.

    Raises:
        LoopRunningError: an event loop is running in this thread.
        ForkError: this system cannot fork, other threads are running, or this is not the main thread.
    """
    check("fork.rerun")
    from ._rerun import Rerun

    return Rerun(enter, meanwhile).run()
