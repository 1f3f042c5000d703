"""What is said of a service where it is defined."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, overload

from binp.errors import BinpError
from binp.operations import Operation, check_numbers, is_async, with_known_options

from ._policy import Check, Policy, restart_of

__all__ = ["Defining", "check_needs"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Defining(abc.ABC):
    """The decorator of services."""

    @abc.abstractmethod
    def _add(
        self, function: Callable[..., Any], name: str | None, description: str | None, policy: Policy
    ) -> Callable[..., Any]: ...

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
        ready: bool = False,
        start_timeout: float = 60,
        health: Check | None = None,
        health_every: float = 30,
        health_failures: int = 3,
        after: str | Sequence[str] = (),
        enabled: bool | Callable[[], bool] = True,
    ) -> Callable[[Function], Function]: ...

    @with_known_options("@binp.service")
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
        ready: bool = False,
        start_timeout: float = 60,
        health: Check | None = None,
        health_every: float = 30,
        health_failures: int = 3,
        after: str | Sequence[str] = (),
        enabled: bool | Callable[[], bool] = True,
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
            ready: It calls :meth:`~binp.Service.ready` when it is ready, and is ``starting`` until then; else it is
                ``running`` at once.
            start_timeout: Seconds from its call until it must be ready, otherwise it is cancelled, which counts as a
                failure; 0 for ever. Only with *ready*.
            health: An async function without parameters that is called while it is ready, and says that it is not
                well by raising, by giving False, or by not returning within *health_every*.
            health_every: Seconds between two checks.
            health_failures: After so many checks in a row that failed it is cancelled, which counts as a failure.
            after: Names of services that are ready before it is started, and are stopped after it.
            enabled: False, or a function that gives False when services are started: it is listed, and can be started
                by hand. It is not waited for.

        Raises:
            BinpError: it is no function, or a generator function, or an option makes no sense, or it would come after
                itself.
            UnknownOption: there is no such option.
        """
        check_numbers(
            restart_delay=restart_delay,
            max_delay=max_delay,
            max_restarts=max_restarts,
            window=window,
            stop_timeout=stop_timeout,
            start_timeout=start_timeout,
            health_every=health_every,
            health_failures=health_failures,
        )
        policy = Policy(
            autostart=autostart,
            restart=restart_of(restart),
            max_restarts=max_restarts,
            window=window,
            delay=restart_delay,
            max_delay=max_delay,
            patience=stop_timeout,
            ready=ready,
            start_timeout=start_timeout,
            health=None if health is None else _check_of(health),
            health_every=health_every,
            health_failures=health_failures,
            after=(after,) if isinstance(after, str) else tuple(after),
            enabled=enabled,
        )
        _refuse_nonsense(policy)
        if function is None:
            return lambda given: self._add(given, name, description, policy)
        return self._add(function, name, description, policy)


def check_needs(operation: Operation) -> None:
    """Look whether a service gets all that its function needs.

    Raises:
        BinpError: a parameter is neither injected, nor has a default.
        FormError: the annotations cannot be read.
    """
    needed = [name for name in _needed(operation.function) if name not in operation.form.injected]
    if needed:
        raise BinpError(
            f"service {operation.name!r} is called without {', '.join(needed)}",
            where=operation.where,
            fix=f"write {needed[0]}: Inject[...] for a dependency, or give it a default",
        )


def _needed(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters that have to be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # what has no signature says nothing of its parameters
        return []
    return [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _check_of(health: Any) -> Check:
    fix = "write `async def healthy() -> bool: ...`"
    if not callable(health) or not is_async(health):
        raise BinpError(f"health={health!r} is not an async function", fix=fix)
    if needed := _needed(health):
        raise BinpError(f"the check of health= is called without {', '.join(needed)}", fix=fix)
    check: Check = health
    return check


def _refuse_nonsense(policy: Policy) -> None:
    if policy.health_every <= 0:
        raise BinpError(f"health_every={policy.health_every:g} is not a time", fix="give seconds above 0")
    if policy.health_failures < 1:
        raise BinpError(f"health_failures={policy.health_failures} is never reached", fix="give 1 or more")
    if policy.start_timeout < 0:
        raise BinpError(f"start_timeout={policy.start_timeout:g} is not a time", fix="give seconds, or 0 for ever")
