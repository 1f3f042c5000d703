"""The decorator that defines a service, and the checks of its options."""

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
        """Register a function as a service.

        Args:
            function: An async function, or a sync one, which is called in a thread and cannot be stopped until it
                returns.
            name: The name in lists. Default: the qualified name of the function. A later service of the same name
                replaces the earlier one.
            description: The description in lists. Default: the docstring.
            restart: When to call it again after it ended: True or ``always`` in every case, ``on-failure`` when it
                raised, False or ``never`` not at all.
            autostart: Start it automatically.
            restart_delay: Seconds before a restart; doubles with each consecutive failure.
            max_delay: Upper limit of that delay, in seconds.
            max_restarts: Number of restarts within *window* after which it is given up as ``failed``, until somebody
                starts it; 0 for no limit.
            window: Seconds over which restarts are counted.
            stop_timeout: Seconds it may take to stop; after that it is ``stuck``.
            ready: True: it is ``starting`` until it calls :meth:`~binp.Service.ready`. False: it is ``running`` at
                once.
            start_timeout: Seconds in which it must become ready. After that it is cancelled, which counts as a
                failure; 0 for no limit. Only with *ready*.
            health: An async function without parameters, called regularly while the service is ready. The check fails
                if it raises, returns False, or does not return within *health_every*.
            health_every: Seconds between two checks.
            health_failures: Number of consecutive failed checks after which the service is cancelled, which counts as
                a failure.
            after: Names of services that must be ready before this one is started. They are stopped after it.
            enabled: False, or a function that returns False when services are started: the service is listed, but only
                started by hand, and services that come after it do not wait for it.

        Raises:
            BinpError: *function* is not a function, or is a generator function, or an option has an invalid value, or
                the service comes after itself.
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
    """Check that all parameters of a service's function are supplied.

    Raises:
        BinpError: a parameter is not injected and has no default.
        FormError: the annotations cannot be evaluated.
    """
    needed = [name for name in _needed(operation.function) if name not in operation.form.injected]
    if needed:
        raise BinpError(
            f"service {operation.name!r} is called without {', '.join(needed)}",
            where=operation.where,
            fix=f"write {needed[0]}: Inject[...] for a dependency, or give it a default",
        )


def _needed(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # without a signature there is nothing to check
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
