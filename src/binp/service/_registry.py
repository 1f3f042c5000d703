"""Register services, list them, start and stop them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from binp.errors import BinpError
from binp.events import Emitter
from binp.home import Home
from binp.operations import Operation, Operations, check_callable, default_description, default_name
from binp.runs import now
from binp.store.contract import Ack, Change, Role, ServiceRow, SetDesired, SetObserved, StoreError, Write

from ._define import Defining, check_needs
from ._hearing import Hearing
from ._inside import Inside
from ._life import begin_life
from ._obey import Obeying
from ._order import check_circle, check_known, in_order
from ._policy import Policy
from ._shown import info_of
from ._stop import stop_all
from ._supervisor import Supervisor
from ._wishes import Commanded, Wishes

if TYPE_CHECKING:
    from ._models import Info

__all__ = ["Service"]

_logger = logging.getLogger("Service")


class Service(Defining, Inside):
    """The background services of one BINP.

    ``@binp.service`` registers a function and returns it unchanged. It runs as a task of the platform: as long as the
    app is served, in one of all processes that serve it; without an app, at once if an event loop is running. When it
    ends, for whatever reason, it is called again after a delay. When the app shuts down, it is stopped and awaited.
    """

    def __init__(self) -> None:
        #: emits the new description of a service at each change of its state
        self.service_changed: Emitter[Info] = Emitter()
        self._home: Home | None = None
        #: all registries that share this one's state
        self._names: list[Service] = [self]
        self._operations = Operations()
        self._supervisors: dict[str, Supervisor] = {}
        #: services to start in the next iteration of the event loop, unless an app will start them
        self._early: set[str] = set()
        self._shut = False
        self._hearing = Hearing(self._read_rows)
        self._forget()

    def _forget(self) -> None:
        """Reset the state of serving."""
        self._leads = False
        #: another process was the leader when this one opened the database
        self._joined = False
        self._wishes = Wishes()
        self._obeying = Obeying(self._read_rows, lambda: tuple(self._supervisors), self._heed)

    def bind(self, home: Home) -> None:
        """Share *home*, and move the services registered so far into it."""
        for operation in self._operations.all("service"):
            home.operations.add(operation, logger=_logger)
        self._operations = home.operations
        self._home = home

    def adopt(self, other: Service) -> None:
        """Take over the services of *other*, which becomes an alias of this registry."""
        for operation in other._operations.all("service"):
            former = other._supervisors[operation.name]
            former.stop()
            self._add(operation.function, operation.name, operation.description, former.policy, former)
        # listeners of `other` hear of all services from here on
        self.service_changed.relay(other.service_changed)
        self._names.extend(other._names)
        for name in tuple(other._names):
            name.__dict__ = self.__dict__

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
        check_circle(operation.name, {**self._after(), operation.name: policy.after})
        self._operations.add(operation, logger=_logger)
        supervisor = self._supervisors.get(operation.name)
        if supervisor is None:
            supervisor = self._supervisors[operation.name] = Supervisor(
                operation,
                policy,
                live=lambda latest: begin_life(latest, self._home),
                context=self._context,
                changed=self._state_changed,
                ahead=self._not_ready,
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
        """The services as they are in this process, in the order of their definition; a new list."""
        return [info_of(supervisor) for supervisor in self._supervisors.values()]

    async def snapshot(self) -> list[Info]:
        """The services as they are in the process that runs them."""
        if self._home is None or not self._home.is_open or self._is_here:
            return self.services
        from ._models import Info

        seen = {row.name: row.status for row in await self._home.store.get_services()}
        return [Info.model_validate_json(status) if (status := seen.get(info.name)) else info for info in self.services]

    def start(self, name: str, *, actor: str | None = None) -> Commanded:
        """Start a service. Does nothing if it is unknown or not stopped. Needs a running event loop.

        Args:
            name: The name of the service.
            actor: Who starts it, if known.

        Returns:
            The command has been given already; await the result to have it committed, so that it survives a crash.

        Raises:
            BinpError: it comes after a name that is not a service.
        """
        return self._command(name, running=True, actor=actor)

    def stop(self, name: str, *, actor: str | None = None) -> Commanded:
        """Stop a service. Does nothing if it is unknown or stopped. Arguments and result as in :meth:`start`.

        The service is cancelled. It is ``stopped`` when its function has ended, and ``stuck`` if that takes longer than
        its stop timeout. Another stop cancels it again.
        """
        return self._command(name, running=False, actor=actor)

    async def obeyed(self, name: str, *, timeout: float = 5.0) -> bool:
        """Wait until the last command for a service is committed, and obeyed by the process that runs the services.

        The effect of the command may take longer: a service that was told to stop can go on for a while.

        Args:
            name: The name of the service.
            timeout: Maximum time to wait, in seconds.

        Returns:
            False if that did not happen in time.

        Raises:
            StoreError: the command could not be stored.
        """
        if self._home is not None and self._home.is_open and not self._is_here:
            return await self._hearing.obeyed(name, timeout)
        await self._wishes.kept()
        return True

    def _command(self, name: str, *, running: bool, actor: str | None) -> Commanded:
        supervisor = self._supervisors.get(name)
        if supervisor is None:
            return Commanded(None)
        if running:
            check_known([name], self._after())
        if self._home is not None and not self._is_here:
            wish = SetDesired(name=name, running=running, actor=actor, at=now())
            return self._wishes.sent(self._home.store.write(wish))
        self._apply(supervisor, running)
        is_served = self._home is not None and self._home.is_serving
        return self._keep_wish(name, running, actor) if is_served else Commanded(None)

    def _apply(self, supervisor: Supervisor, running: bool, *, insist: bool = True) -> None:
        if running:
            self._start(supervisor)
        else:
            self._early.discard(supervisor.operation.name)
            supervisor.stop(insist=insist)

    def _start(self, supervisor: Supervisor) -> None:
        if not self._is_closing:
            supervisor.start()

    def _keep_wish(self, name: str, running: bool, actor: str | None = None) -> Commanded:
        """Store a command that was obeyed here, for the process that takes over."""
        wish = self._wishes.give(name, running)
        given = SetDesired(name=name, running=running, actor=actor, at=now(), wish=wish, obeyed=True)
        return self._wishes.sent(self._write(given))

    @property
    def _is_here(self) -> bool:
        """Whether services run in this process."""
        home = self._home
        # a process that was started for a single function runs none
        is_elsewhere = home is not None and (home.is_guest or (home.is_serving and home.store.role is not Role.OWNER))
        return self._leads or not is_elsewhere

    @property
    def _obeys(self) -> bool:
        """Whether this process obeys commands from others; if it is about to lead, it reads them when it does."""
        home = self._home
        is_alone = home is not None and not home.is_serving and self._is_here and home.store.role is Role.OWNER
        return self._leads or is_alone

    @property
    def _is_closing(self) -> bool:
        """Whether services are shutting down or shut down: nothing is started until the home is opened again."""
        return self._shut and (self._home is None or self._home.is_open)

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The store is open. Nothing is started before this process leads."""
        self._shut = False
        self._joined = self._home is not None and self._home.store.role is not Role.OWNER

    def check(self) -> None:
        """Check that all services can be started.

        Raises:
            BinpError: a service comes after a name that is not a service, or a parameter of its function is not
                supplied.
        """
        after = self._after()
        for name, supervisor in self._supervisors.items():
            check_needs(supervisor.operation)
            try:
                check_known([name], after)
            except BinpError as error:
                error.where = supervisor.operation.where
                raise

    def lead(self) -> None:
        """Start the automatic services; after a takeover, those that ran before or were started meanwhile.

        Raises:
            BinpError: a service comes after a name that is not a service. Nothing was started.
        """
        if self._leads:
            return
        if not self._joined:
            self.check()
        self._leads = True
        wanted = {name: self._decide(supervisor) for name, supervisor in self._supervisors.items()}
        if self._joined:
            self._obeying.take_over(self._context())
            return
        for name, supervisor in self._supervisors.items():
            # older commands are obsolete now, also for a process that takes over from here
            self._keep_wish(name, wanted[name])
            self._lead_one(supervisor, wanted[name])

    def _lead_one(self, supervisor: Supervisor, running: bool) -> None:
        if running:
            self._start(supervisor)
        else:
            self._observe(supervisor)

    def changed(self, changes: Sequence[Change]) -> None:
        """Obey commands from other processes."""
        self._hearing.tell(changes)
        told = {str(change.id) for change in changes if change.topic == "desired"}
        if not changes and self._leads:
            # the list of changes was lost: any service may have been commanded
            told.update(self._supervisors)
        if told and self._obeys and not self._is_closing:
            self._obeying.tell(told, self._context())

    async def _read_rows(self) -> dict[str, ServiceRow]:
        if self._home is None:
            return {}
        # include the commands given here, otherwise a service might be started just to be stopped again
        await self._wishes.settled()
        return {row.name: row for row in await self._home.store.get_services()}

    def _heed(self, name: str, row: ServiceRow | None, is_takeover: bool) -> None:
        supervisor = self._supervisors[name]
        if row is None or row.desired is None:
            if is_takeover:
                self._lead_one(supervisor, supervisor.policy.autostart and supervisor.is_enabled)
            return
        news = self._wishes.news(row)
        if is_takeover and news:
            if not row.desired:
                supervisor.stop()
            self._lead_one(supervisor, row.desired)
        elif not is_takeover:
            for running in news:
                # several commands at once: whether it was started in between is unknown, so this is no repeated stop
                self._apply(supervisor, running, insist=len(news) == 1 or not row.desired)
        # other processes wait for this status, or still see the one from a process that is gone
        self._observe(supervisor)

    async def shut_down(self, timeout: float) -> None:
        """Stop all services: each before those that it comes after, otherwise the last defined first.

        Waits for their ends, *timeout* seconds in all. Each service gets its share of the time before the next one is
        told to stop; the rest of the time is shared by all that are still stopping.
        """
        self._shut = True
        try:
            await self._obeying.end()
            latest = [self._supervisors[name] for name in reversed(in_order(self._after()))]
            known = [one for supervisor in latest for one in (supervisor, *supervisor.formers)]
            await stop_all([supervisor for supervisor in known if supervisor.is_alive], timeout)
        finally:
            self._shut = self._home is not None
            self._forget()

    # -- inside --------------------------------------------------------------------------------------------------

    def _start_early(self, supervisor: Supervisor) -> None:
        """Start a service when it is defined, if an event loop is running and no app will start it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._leads or self._home is None or supervisor.is_alive:
            if self._decide(supervisor):
                self._start(supervisor)
            return
        # a server may be importing this module inside its event loop: it asks for the app right after the import
        self._early.add(supervisor.operation.name)
        loop.call_soon(self._start_unless_served, supervisor)

    def _start_unless_served(self, supervisor: Supervisor) -> None:
        name = supervisor.operation.name
        is_wanted = name in self._early and self._supervisors.get(name) is supervisor
        self._early.discard(name)
        is_here = self._leads or self._home is None or not self._home.has_app
        if is_wanted and is_here and self._decide(supervisor):
            self._start(supervisor)

    def _decide(self, supervisor: Supervisor) -> bool:
        """Whether a service is started automatically."""
        is_wanted = supervisor.decide()
        if supervisor.is_passed_over:
            self._meet(supervisor)
        return is_wanted

    def _after(self) -> dict[str, tuple[str, ...]]:
        return {name: supervisor.policy.after for name, supervisor in self._supervisors.items()}

    def _not_ready(self, names: Sequence[str]) -> list[str]:
        """Those of *names* to wait for. A service that is not started here at all is not waited for."""
        found = [(name, self._supervisors.get(name)) for name in names]
        return [name for name, one in found if one is None or not (one.is_ready or one.is_passed_over)]

    def _context(self) -> contextvars.Context:
        return contextvars.copy_context() if self._home is None else self._home.context()

    def _state_changed(self, supervisor: Supervisor) -> None:
        if self._supervisors.get(supervisor.operation.name) is supervisor:
            self._observe(supervisor)
            self.service_changed.emit(info_of(supervisor))
            if supervisor.is_ready:
                self._meet(supervisor)

    def _meet(self, ready: Supervisor) -> None:
        """Tell the other services that this one need not be waited for any more."""
        for supervisor in self._supervisors.values():
            supervisor.meet(ready.operation.name)

    def _observe(self, supervisor: Supervisor) -> None:
        # after a shutdown another process may run the service, and reports its status
        if self._home is None or not self._home.is_open or (self._shut and not self._leads):
            return
        status = info_of(supervisor).model_dump_json()
        node = self._home.store.node
        name = supervisor.operation.name
        self._write(SetObserved(name=name, status=status, node=node, at=now(), obeyed=self._wishes.obeyed(name)))

    def _write(self, write: Write) -> Ack[Any] | StoreError | None:
        """Store *write* if possible: services go on without the store. Returns why it failed."""
        try:
            return None if self._home is None else self._home.store.write(write)
        except StoreError as error:
            _logger.warning("%r was not kept: %s", write, error.what)
            return error
