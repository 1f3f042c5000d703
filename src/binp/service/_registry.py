"""Register services, list them, start and stop them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from binp.events import Emitter
from binp.home import Home
from binp.operations import Operation, Operations, check_callable, default_description, default_name
from binp.runs import now
from binp.store.contract import Change, Role, SetDesired, SetObserved, StoreError

from ._life import begin_life
from ._status import Status
from ._supervisor import Policy, Supervisor

if TYPE_CHECKING:
    from ._models import Info

__all__ = ["Service"]

Function = TypeVar("Function", bound=Callable[..., Any])

_logger = logging.getLogger("Service")


class Service:
    """The background services of one BINP.

    ``@binp.service`` registers a function and returns it unchanged. It runs as a task of the platform: from the start
    of the app on, in one process of all that serve it; without an app, at once where a loop is running. When it ends,
    however that was, it is called again after a delay. It is stopped and awaited when the app shuts down.
    """

    def __init__(self) -> None:
        #: what a service is, at each change of its state
        self.service_changed: Emitter[Info] = Emitter()
        self._home: Home | None = None
        self._operations = Operations()
        self._supervisors: dict[str, Supervisor] = {}
        self._leads = False
        self._obeying: asyncio.Task[None] | None = None
        self._told: set[str] = set()

    def bind(self, home: Home) -> None:
        """Share *home*; what was registered before comes along."""
        for operation in self._operations.all("service"):
            home.operations.add(operation, logger=_logger)
        self._operations = home.operations
        self._home = home

    def adopt(self, other: Service) -> None:
        """Take over the services of *other*, which becomes a second name for this registry."""
        for operation in other._operations.all("service"):
            supervisor = other._supervisors[operation.name]
            supervisor.stop()
            self._add(operation.function, operation.name, operation.description, supervisor.policy)
        other.__dict__ = self.__dict__

    @overload
    def __call__(self, function: Function, /) -> Function: ...

    @overload
    def __call__(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        restart: bool = True,
        autostart: bool = True,
        restart_delay: float = 3,
        max_delay: float = 60,
    ) -> Callable[[Function], Function]: ...

    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        restart: bool = True,
        autostart: bool = True,
        restart_delay: float = 3,
        max_delay: float = 60,
    ) -> Any:
        """Make a service of a function.

        Args:
            function: Async, or sync: that is called in a thread, and cannot be stopped before it returns.
            name: What it is listed as; the qualified name of the function by default. The latest of a name wins.
            description: What it says of itself; the docstring by default.
            restart: Call it again when it ends, also when it just returned.
            autostart: Start it without being asked.
            restart_delay: Seconds before it is called again; doubles with each failure in a row.
            max_delay: Seconds that the delay grows to.

        Raises:
            BinpError: it is no function, or a generator function.
        """
        policy = Policy(autostart=autostart, restart=restart, delay=restart_delay, max_delay=max_delay)
        if function is None:
            return lambda given: self._add(given, name, description, policy)
        return self._add(function, name, description, policy)

    def _add(
        self, function: Callable[..., Any], name: str | None, description: str | None, policy: Policy
    ) -> Callable[..., Any]:
        check_callable(function, "@binp.service")
        operation = Operation(
            kind="service",
            name=name or default_name(function),
            function=function,
            description=default_description(function) if description is None else description,
        )
        self._operations.add(operation, logger=_logger)
        old = self._supervisors.get(operation.name)
        new = Supervisor(
            operation,
            policy,
            live=lambda: begin_life(operation, self._home),
            context=self._context,
            changed=self._state_changed,
        )
        self._supervisors[operation.name] = new
        if old is not None and old.is_alive:
            # the new one is started when the old one has really ended: never two copies at once
            old.stop()
        elif policy.autostart:
            self._start_early(new)
        return function

    # -- look and command ----------------------------------------------------------------------------------------

    @property
    def services(self) -> list[Info]:
        """A new list of the services as they are in this process, in the order of their definition."""
        return [_info(supervisor) for supervisor in self._supervisors.values()]

    async def snapshot(self) -> list[Info]:
        """The services as they are in the process that runs them."""
        if self._home is None or not self._home.is_open or self._is_here:
            return self.services
        from ._models import Info

        seen = {row.name: row.status for row in await self._home.store.get_services()}
        return [Info.model_validate_json(status) if (status := seen.get(info.name)) else info for info in self.services]

    def start(self, name: str) -> None:
        """Start a service; nothing happens if it is unknown or not stopped. Needs a running loop."""
        self._command(name, running=True)

    def stop(self, name: str) -> None:
        """Stop a service; nothing happens if it is unknown or stopped. It is ``stopped`` when it has really ended."""
        self._command(name, running=False)

    def _command(self, name: str, *, running: bool) -> None:
        supervisor = self._supervisors.get(name)
        if supervisor is None:
            return
        if not self._is_here and self._home is not None:
            self._home.store.write(SetDesired(name=name, running=running, at=now()))
        elif running:
            supervisor.start()
        else:
            supervisor.stop()

    @property
    def _is_here(self) -> bool:
        """Whether services run in this process."""
        return self._leads or self._home is None or not self._home.is_serving or self._home.store.role is Role.OWNER

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The store is open; nothing is started before this process leads."""

    def lead(self) -> None:
        """Start what shall run without being asked."""
        if self._leads:
            return
        self._leads = True
        for supervisor in self._supervisors.values():
            if supervisor.policy.autostart:
                supervisor.start()
            else:
                self._observe(supervisor)

    def changed(self, changes: Sequence[Change]) -> None:
        """Obey what was commanded from anywhere."""
        told = {str(change.id) for change in changes if change.topic == "desired"}
        if not told or not self._is_here:
            return
        self._told |= told
        if self._obeying is None and self._home is not None:
            loop = asyncio.get_running_loop()
            self._obeying = loop.create_task(self._obey(), name="binp services obey", context=self._context())

    async def shut_down(self, timeout: float) -> None:
        """Stop every service, the last defined first, and wait *timeout* seconds for their ends."""
        alive = [supervisor for supervisor in reversed(self._supervisors.values()) if supervisor.is_alive]
        deadline = asyncio.get_running_loop().time() + timeout
        for supervisor in alive:
            supervisor.stop()
            left = max(0.1, deadline - asyncio.get_running_loop().time())
            if not await supervisor.stopped(left):
                _logger.error(
                    "service %r did not stop within %.1f seconds; it ends with the process",
                    supervisor.operation.name,
                    timeout,
                )

    async def _obey(self) -> None:
        try:
            while self._told and self._home is not None and self._home.is_open:
                told, self._told = self._told, set()
                for row in await self._home.store.get_services():
                    supervisor = self._supervisors.get(row.name)
                    if row.name in told and supervisor is not None and row.desired is not None:
                        supervisor.start() if row.desired else supervisor.stop()
        except StoreError:
            _logger.exception("a command for a service could not be read")
        finally:
            self._obeying = None

    # -- inside --------------------------------------------------------------------------------------------------

    def _start_early(self, supervisor: Supervisor) -> None:
        """Start at decoration, where a loop is running and no app will do it."""
        if self._leads:
            supervisor.start()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._home is None:
            supervisor.start()
            return
        # a server may be importing this file inside its loop: then the app is asked for right after the import
        loop.call_soon(self._start_unless_served, supervisor)

    def _start_unless_served(self, supervisor: Supervisor) -> None:
        if self._home is not None and self._home.has_app and not self._leads:
            return
        if self._supervisors.get(supervisor.operation.name) is supervisor:
            supervisor.start()

    def _context(self) -> contextvars.Context:
        return contextvars.copy_context() if self._home is None else self._home.context()

    def _state_changed(self, supervisor: Supervisor) -> None:
        name = supervisor.operation.name
        current = self._supervisors.get(name)
        if current is not supervisor:
            if supervisor.status is Status.STOPPED and current is not None and current.policy.autostart:
                current.start()
            return
        self._observe(supervisor)
        self.service_changed.emit(_info(supervisor))

    def _observe(self, supervisor: Supervisor) -> None:
        if self._home is None or not self._home.is_open:
            return
        store = self._home.store
        status = _info(supervisor).model_dump_json()
        store.write(SetObserved(name=supervisor.operation.name, status=status, node=store.node, at=now()))


def _info(supervisor: Supervisor) -> Info:
    from ._models import Info

    return Info(
        name=supervisor.operation.name,
        description=supervisor.operation.description,
        status=supervisor.status,
        autostart=supervisor.policy.autostart,
        restart=supervisor.policy.restart,
        restart_delay=supervisor.policy.delay,
        error=supervisor.error,
        restarts=supervisor.restarts,
    )
