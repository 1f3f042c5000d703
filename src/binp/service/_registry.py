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
        self._hearing = Hearing(self._read_rows)
        self._forget()

    def _forget(self) -> None:
        """Be as before anything was served."""
        self._leads = False
        #: another process led when this one opened the database
        self._joined = False
        self._wishes = Wishes()
        self._obeying = Obeying(self._read_rows, lambda: tuple(self._supervisors), self._heed)

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
        """A new list of the services as they are in this process, in the order of their definition."""
        return [info_of(supervisor) for supervisor in self._supervisors.values()]

    async def snapshot(self) -> list[Info]:
        """The services as they are in the process that runs them."""
        if self._home is None or not self._home.is_open or self._is_here:
            return self.services
        from ._models import Info

        seen = {row.name: row.status for row in await self._home.store.get_services()}
        return [Info.model_validate_json(status) if (status := seen.get(info.name)) else info for info in self.services]

    def start(self, name: str, *, actor: str | None = None) -> Commanded:
        """Start a service; nothing happens if it is unknown or not stopped. Needs a running loop.

        Args:
            name: Which one.
            actor: Who wants that, as far as is known.

        Returns:
            Await it to have the command committed, so that no crash undoes it; given it is already.

        Raises:
            BinpError: it comes after something that is no service.
        """
        return self._command(name, running=True, actor=actor)

    def stop(self, name: str, *, actor: str | None = None) -> Commanded:
        """Stop a service; nothing happens if it is unknown or stopped. Takes and gives what :meth:`start` does.

        It is cancelled, and ``stopped`` when it has really ended; ``stuck`` if that takes longer than its time. Told
        again, it is cancelled again.
        """
        return self._command(name, running=False, actor=actor)

    async def obeyed(self, name: str, *, timeout: float = 5.0) -> bool:
        """Wait until what was commanded here is kept, and the process that runs the services has obeyed it.

        What comes of it takes its time: a service that is told to stop may go on for a while.

        Args:
            name: Of which service.
            timeout: Seconds to wait for at most.

        Returns:
            False if it has not, as long as that.

        Raises:
            StoreError: the command could not be kept.
        """
        is_elsewhere = self._home is not None and self._home.is_open and not self._is_here
        if is_elsewhere:
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
        """Keep what is obeyed here for the process that takes over."""
        wish = self._wishes.give(name, running)
        return self._wishes.sent(self._write(SetDesired(name=name, running=running, actor=actor, at=now(), wish=wish)))

    @property
    def _is_here(self) -> bool:
        """Whether services run in this process."""
        home = self._home
        # a process that was started for a function runs none
        is_elsewhere = home is not None and (home.is_guest or (home.is_serving and home.store.role is not Role.OWNER))
        return self._leads or not is_elsewhere

    @property
    def _obeys(self) -> bool:
        """Whether commands of other processes are for this one; if it is about to lead, it will see to them then."""
        home = self._home
        is_alone = home is not None and not home.is_serving and self._is_here and home.store.role is Role.OWNER
        return self._leads or is_alone

    @property
    def _is_closing(self) -> bool:
        """Whether this home shuts its services down, or has: nothing is started any more until it is opened again."""
        return self._shut and (self._home is None or self._home.is_open)

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The store is open; nothing is started before this process leads."""
        self._shut = False
        self._joined = self._home is not None and self._home.store.role is not Role.OWNER

    def check(self) -> None:
        """Look whether all can be started that is to be.

        Raises:
            BinpError: a service comes after something that is no service, or its function needs what nobody gives it.
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
        """Start what shall run without being asked; after a takeover, what ran there or was wanted meanwhile.

        Raises:
            BinpError: a service comes after something that is no service. Nothing was started.
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
            # what was wanted before nobody served is over, also for those who take over from here
            self._keep_wish(name, wanted[name])
            self._lead_one(supervisor, wanted[name])

    def _lead_one(self, supervisor: Supervisor, running: bool) -> None:
        if running:
            self._start(supervisor)
        else:
            self._observe(supervisor)

    def changed(self, changes: Sequence[Change]) -> None:
        """Obey what was commanded from anywhere."""
        self._hearing.tell(changes)
        told = {str(change.id) for change in changes if change.topic == "desired"}
        if not changes and self._leads:
            # it is not known what has changed: then it may be any of them
            told.update(self._supervisors)
        if told and self._obeys and not self._is_closing:
            self._obeying.tell(told, self._context())

    async def _read_rows(self) -> dict[str, ServiceRow]:
        if self._home is None:
            return {}
        # what was commanded here is to be among it: else something is begun that is ended in a moment
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
                # whether it was started before it was stopped and started is not known: that is no second stop
                self._apply(supervisor, running, insist=len(news) == 1 or not row.desired)
        # those elsewhere wait for that, or have seen so far what it was in a process that is gone
        self._observe(supervisor)

    async def shut_down(self, timeout: float) -> None:
        """Stop every service before those that it comes after, else the last defined first.

        Their ends are waited for, *timeout* seconds in all.

        Each has its part of the time before the next one is told; what is left when all were told is for all of them.
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
        """Start at decoration, where a loop is running and no app will do it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._leads or self._home is None or supervisor.is_alive:
            if self._decide(supervisor):
                self._start(supervisor)
            return
        # a server may be importing this file inside its loop: then the app is asked for right after the import
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
        """Whether it is started without being asked."""
        is_wanted = supervisor.decide()
        if supervisor.is_passed_over:
            self._meet(supervisor)
        return is_wanted

    def _after(self) -> dict[str, tuple[str, ...]]:
        return {name: supervisor.policy.after for name, supervisor in self._supervisors.items()}

    def _not_ready(self, names: Sequence[str]) -> list[str]:
        """Those of *names* that are to be waited for: one that is not wanted here at all is not."""
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
        """Nobody needs to wait for it any more."""
        for supervisor in self._supervisors.values():
            supervisor.meet(ready.operation.name)

    def _observe(self, supervisor: Supervisor) -> None:
        # what ends behind the shutdown may run in another process by now, which tells what becomes of it
        if self._home is None or not self._home.is_open or (self._shut and not self._leads):
            return
        status = info_of(supervisor).model_dump_json()
        node = self._home.store.node
        name = supervisor.operation.name
        self._write(SetObserved(name=name, status=status, node=node, at=now(), obeyed=self._wishes.obeyed(name)))

    def _write(self, write: Write) -> Ack[Any] | StoreError | None:
        """Keep something if that is possible: services go on without. Gives why it is not."""
        try:
            return None if self._home is None else self._home.store.write(write)
        except StoreError as error:
            _logger.warning("%r was not kept: %s", write, error.what)
            return error
