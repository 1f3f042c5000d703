"""Register services, list them, start and stop them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from binp.events import Emitter
from binp.home import Home
from binp.operations import Operation, Operations, check_callable, default_description, default_name
from binp.runs import now
from binp.store.contract import Change, Role, ServiceRow, SetDesired, SetObserved, StoreError, Write

from ._life import begin_life
from ._policy import Policy, Restart, restart_of
from ._stop import stop_all
from ._supervisor import Supervisor
from ._wishes import Wishes

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
        #: all registries that are this one
        self._names: list[Service] = [self]
        self._operations = Operations()
        self._supervisors: dict[str, Supervisor] = {}
        #: to be started by the next step of the loop, unless an app will do it
        self._early: set[str] = set()
        self._shut = False
        self._forget()

    def _forget(self) -> None:
        """Be as before anything was served."""
        self._leads = False
        #: another process led when this one opened the database; and what ran there is about to be started here
        self._joined = self._taking_over = False
        self._wishes = Wishes()
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
            former = other._supervisors[operation.name]
            former.stop()
            self._add(operation.function, operation.name, operation.description, former.policy, former)
        # who listens to it hears of all services from here on
        self.service_changed.relay(other.service_changed)
        self._names.extend(other._names)
        for name in tuple(other._names):
            name.__dict__ = self.__dict__

    @overload
    def __call__(self, function: Function, /) -> Function: ...

    @overload
    def __call__(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        restart: bool | Literal["always", "on-failure", "never"] = True,
        autostart: bool = True,
        restart_delay: float = 3,
        max_delay: float = 60,
        max_restarts: int = 0,
        window: float = 300,
        stop_timeout: float = 10,
    ) -> Callable[[Function], Function]: ...

    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        restart: bool | Literal["always", "on-failure", "never"] = True,
        autostart: bool = True,
        restart_delay: float = 3,
        max_delay: float = 60,
        max_restarts: int = 0,
        window: float = 300,
        stop_timeout: float = 10,
    ) -> Any:
        """Make a service of a function.

        Args:
            function: Async, or sync: that is called in a thread, and cannot be stopped before it returns.
            name: What it is listed as; the qualified name of the function by default. The latest of a name wins.
            description: What it says of itself; the docstring by default.
            restart: Call it again when it ends: True or ``always`` also when it just returned, ``on-failure`` when it
                raised, False or ``never`` not at all.
            autostart: Start it without being asked.
            restart_delay: Seconds before it is called again; doubles with each failure in a row.
            max_delay: Seconds that the delay grows to.
            max_restarts: How often it is restarted within *window* before it is given up as ``failed``, until somebody
                starts it; 0 for ever.
            window: Seconds in which restarts are counted.
            stop_timeout: Seconds that it may take to stop before it is ``stuck``.

        Raises:
            BinpError: it is no function, or a generator function, or an option makes no sense.
        """
        policy = Policy(
            autostart=autostart,
            restart=restart_of(restart),
            max_restarts=max_restarts,
            window=window,
            delay=restart_delay,
            max_delay=max_delay,
            patience=stop_timeout,
        )
        if function is None:
            return lambda given: self._add(given, name, description, policy)
        return self._add(function, name, description, policy)

    def _add(
        self,
        function: Callable[..., Any],
        name: str | None,
        description: str | None,
        policy: Policy,
        former: Supervisor | None = None,
    ) -> Callable[..., Any]:
        check_callable(function, "@binp.service")
        operation = Operation(
            kind="service",
            name=name or default_name(function),
            function=function,
            description=default_description(function) if description is None else description,
        )
        self._operations.add(operation, logger=_logger)
        supervisor = self._supervisors.get(operation.name)
        if supervisor is None:
            supervisor = self._supervisors[operation.name] = Supervisor(
                operation,
                policy,
                live=lambda latest: begin_life(latest, self._home),
                context=self._context,
                changed=self._state_changed,
            )
        else:
            supervisor.redefine(operation, policy)
        if former is not None and former.is_alive:
            supervisor.formers.append(former)
        if policy.autostart:
            self._start_early(supervisor)
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

    def start(self, name: str, *, actor: str | None = None) -> None:
        """Start a service; nothing happens if it is unknown or not stopped. Needs a running loop.

        Args:
            name: Which one.
            actor: Who wants that, as far as is known.
        """
        self._command(name, running=True, actor=actor)

    def stop(self, name: str, *, actor: str | None = None) -> None:
        """Stop a service; nothing happens if it is unknown or stopped.

        It is cancelled, and ``stopped`` when it has really ended; ``stuck`` if that takes longer than its time. Told
        again, it is cancelled again.

        Args:
            name: Which one.
            actor: Who wants that, as far as is known.
        """
        self._command(name, running=False, actor=actor)

    def _command(self, name: str, *, running: bool, actor: str | None) -> None:
        supervisor = self._supervisors.get(name)
        if supervisor is None:
            return
        if self._home is not None and not self._is_here:
            self._home.store.write(SetDesired(name=name, running=running, actor=actor, at=now()))
            return
        self._apply(supervisor, running)
        if self._home is not None and self._home.is_serving:
            self._keep_wish(name, running, actor)

    def _apply(self, supervisor: Supervisor, running: bool) -> None:
        if running:
            self._start(supervisor)
        else:
            self._early.discard(supervisor.operation.name)
            supervisor.stop(insist=True)

    def _start(self, supervisor: Supervisor) -> None:
        if not self._is_closing:
            supervisor.start()

    def _keep_wish(self, name: str, running: bool, actor: str | None = None) -> None:
        """Keep what is obeyed here for the process that takes over."""
        self._write(SetDesired(name=name, running=running, actor=actor, at=self._wishes.give(name)))

    @property
    def _is_here(self) -> bool:
        """Whether services run in this process."""
        return self._leads or self._home is None or not self._home.is_serving or self._home.store.role is Role.OWNER

    @property
    def _is_closing(self) -> bool:
        """Whether this home shuts its services down, or has: nothing is started any more until it is opened again."""
        return self._shut and (self._home is None or self._home.is_open)

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The store is open; nothing is started before this process leads."""
        self._shut = False
        self._joined = self._home is not None and self._home.store.role is not Role.OWNER

    def lead(self) -> None:
        """Start what shall run without being asked; after a takeover, what ran there or was wanted meanwhile."""
        if self._leads:
            return
        self._leads = True
        if self._joined:
            self._taking_over = True
            self._begin_to_obey()
            return
        for supervisor in self._supervisors.values():
            # what was wanted before nobody served is over, also for those who take over from here
            self._keep_wish(supervisor.operation.name, supervisor.policy.autostart)
            self._lead_one(supervisor, supervisor.policy.autostart)

    def _lead_one(self, supervisor: Supervisor, running: bool) -> None:
        if running:
            self._start(supervisor)
        else:
            self._observe(supervisor)

    def changed(self, changes: Sequence[Change]) -> None:
        """Obey what was commanded from anywhere."""
        told = {str(change.id) for change in changes if change.topic == "desired"}
        if told and self._is_here and not self._is_closing:
            self._told |= told
            self._begin_to_obey()

    def _begin_to_obey(self) -> None:
        if self._obeying is None:
            loop = asyncio.get_running_loop()
            self._obeying = loop.create_task(self._obey(), name="binp services obey", context=self._context())

    async def _obey(self) -> None:
        try:
            while self._told or self._taking_over:
                told, self._told = self._told, set()
                is_takeover, self._taking_over = self._taking_over, False
                rows = await self._read_rows()
                for name, supervisor in tuple(self._supervisors.items()):
                    if is_takeover or name in told:
                        self._heed(supervisor, rows.get(name), is_takeover)
        finally:
            self._obeying = None

    async def _read_rows(self) -> dict[str, ServiceRow]:
        try:
            return {row.name: row for row in await self._home.store.get_services()} if self._home is not None else {}
        except StoreError:
            _logger.exception("what is wanted of services could not be read")
            return {}

    def _heed(self, supervisor: Supervisor, row: ServiceRow | None, is_takeover: bool) -> None:
        if row is None or row.desired is None:
            if is_takeover:
                self._lead_one(supervisor, supervisor.policy.autostart)
        elif self._wishes.is_news(row.name, row.desired_at):
            if is_takeover:
                self._lead_one(supervisor, row.desired)
            else:
                self._apply(supervisor, row.desired)

    async def shut_down(self, timeout: float) -> None:
        """Stop every service, the last defined first, and wait *timeout* seconds for their ends.

        Each has its part of the time before the next one is told; what is left when all were told is for all of them.
        """
        self._shut = True
        try:
            if self._obeying is not None:
                self._obeying.cancel()
                await asyncio.wait({self._obeying})
            known = [one for latest in reversed(self._supervisors.values()) for one in (latest, *latest.formers)]
            await stop_all([supervisor for supervisor in known if supervisor.is_alive], timeout)
        finally:
            self._shut = self._home is not None
            self._forget()

    # -- inside --------------------------------------------------------------------------------------------------

    def _start_early(self, supervisor: Supervisor) -> None:
        """Start at decoration, where a loop is running and no app will do it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._leads or self._home is None or supervisor.is_alive:
            self._start(supervisor)
            return
        # a server may be importing this file inside its loop: then the app is asked for right after the import
        self._early.add(supervisor.operation.name)
        loop.call_soon(self._start_unless_served, supervisor)

    def _start_unless_served(self, supervisor: Supervisor) -> None:
        name = supervisor.operation.name
        is_wanted = name in self._early and self._supervisors.get(name) is supervisor
        self._early.discard(name)
        if is_wanted and supervisor.policy.autostart and (self._leads or self._home is None or not self._home.has_app):
            self._start(supervisor)

    def _context(self) -> contextvars.Context:
        return contextvars.copy_context() if self._home is None else self._home.context()

    def _state_changed(self, supervisor: Supervisor) -> None:
        if self._supervisors.get(supervisor.operation.name) is supervisor:
            self._observe(supervisor)
            self.service_changed.emit(_info(supervisor))

    def _observe(self, supervisor: Supervisor) -> None:
        if self._home is None or not self._home.is_open:
            return
        status = _info(supervisor).model_dump_json()
        node = self._home.store.node
        self._write(SetObserved(name=supervisor.operation.name, status=status, node=node, at=now()))

    def _write(self, write: Write) -> None:
        """Keep something if that is possible: services go on without."""
        try:
            if self._home is not None:
                self._home.store.write(write)
        except StoreError as error:
            _logger.warning("%r was not kept: %s", write, error.what)


def _info(supervisor: Supervisor) -> Info:
    from ._models import Info

    return Info(
        name=supervisor.operation.name,
        description=supervisor.operation.description,
        status=supervisor.status,
        autostart=supervisor.policy.autostart,
        restart=supervisor.policy.restart is not Restart.NEVER,
        restart_delay=supervisor.policy.delay,
        error=supervisor.error,
        restarts=supervisor.restarts,
    )
