"""Resolve plugins, supply their arguments, and collect their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import pkgutil
import sys
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from buvar import context, di
from buvar.components import Components
from buvar.names import absolute_name, did_you_mean, fqdn, resolve_dotted_name
from buvar.plugin._errors import PluginArgumentError, PluginFunctionError, PluginNotFoundError, PluginResultError
from buvar.plugin._loading import Loading, current
from buvar.plugin._tasks import Job, Watch, discard, watching

#: Name of the function to call if a plugin is a module.
PLUGIN_FUNCTION_NAME: Final = "prepare"

PluginFunction = Callable[..., Any]
#: means that nothing provides an argument; `Components.get` uses MISSING for "no default"
_ABSENT: Final = object()
#: A dotted name (``"module"``, ``"module:attribute"``, relative with leading dots), a module, or a function.
Plugin = str | types.ModuleType | PluginFunction


def resolve_plugin_func(
    plugin: Plugin, *, function_name: str = PLUGIN_FUNCTION_NAME, caller: int = 0
) -> PluginFunction:
    """Find the function of a plugin.

    Args:
        plugin: A dotted name, a module, or the function itself.
        function_name: Name of the function in a module.
        caller: Number of frames above the calling one that relative names refer to.

    Raises:
        PluginNotFoundError: there is no such module; a `ModuleNotFoundError`.
        ImportError: the module has no such attribute, or the name is relative and its caller is not in a package.
        ValueError: the name has more than one colon.
        PluginFunctionError: it is neither a coroutine function nor an async generator function.
    """
    try:
        found = resolve_dotted_name(plugin, caller=caller + 1)
    except Exception as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{str(plugin).partition(':')[0]}.".startswith(f"{missing}."):
            raise _not_found(str(plugin), missing) from None
        error.add_note(f"while importing the plugin {plugin}")
        raise
    func = getattr(found, function_name, None) if inspect.ismodule(found) else found
    if func is None:
        raise _without_function(plugin, found, function_name)
    if not _is_async(func):
        raise _no_plugin(plugin, func)
    return typing.cast("PluginFunction", func)


def _not_found(plugin: str, missing: str) -> PluginNotFoundError:
    """The error that says which part of a dotted name is not a module, and what exists instead."""
    if missing.endswith(".py"):
        return PluginNotFoundError(plugin, missing, fix=f"name the module, not its file: {missing.removesuffix('.py')}")
    above, _, last = missing.rpartition(".")
    places = getattr(sys.modules.get(above), "__path__", ()) if above else None
    near = did_you_mean(last, [module.name for module in pkgutil.iter_modules(places)])
    fix = "install it, or start the program where Python finds it"
    if near:
        fix = f"did you mean {'.'.join(filter(None, (above, near)))!r}?"
    return PluginNotFoundError(plugin, missing, fix=fix)


def _without_function(plugin: Plugin, module: types.ModuleType, name: str) -> PluginFunctionError:
    others = [
        other
        for other, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and _is_async(value)
    ]
    fix = f"write it as `async def {name}(...)`"
    if others:
        fix += f", or name another one: {module.__name__}:{did_you_mean(name, others) or others[0]}"
    return PluginFunctionError(plugin, f"the module {fqdn(module)} has no function {name!r}", fix=fix)


def _no_plugin(plugin: Plugin, found: Any) -> PluginFunctionError:
    """The error that says what was given instead of a plugin; closes it if it is a coroutine."""
    if inspect.iscoroutine(found) or inspect.isasyncgen(found):
        if inspect.iscoroutine(found):
            found.close()
        name = found.__qualname__
        return PluginFunctionError(plugin, f"the plugin {name} was called", fix=f"give the function itself: {name}")
    if isinstance(found, (list, tuple, set, frozenset)):
        kind = type(found).__name__
        return PluginFunctionError(plugin, f"a {kind} is not a plugin", fix="give each as an argument: *plugins")
    if not callable(found):
        return PluginFunctionError(
            plugin, f"{found!r} is not a plugin", fix="give a dotted name, a module or a function"
        )
    return PluginFunctionError(plugin, f"the plugin {plugin_name(found)} is not asynchronous")


def plugin_name(func: Any) -> str:
    """The name of a plugin in logs and errors: its module, and its function unless that is `prepare`."""
    while isinstance(func, functools.partial):
        func = func.func
    if not hasattr(func, "__qualname__"):
        return fqdn(type(func))
    module = getattr(func, "__module__", None) or "?"
    return module if func.__qualname__ == PLUGIN_FUNCTION_NAME else f"{module}:{func.__qualname__}"


def _is_async(func: Any) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    candidates = (func, getattr(func, "__call__", None))  # noqa: B004 - the method itself is looked at, not whether it is there
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in candidates)


async def collect_plugin_args(func: PluginFunction) -> dict[str, Any]:
    """Supply the arguments of a plugin from the current context, or by injection.

    An argument gets the component of its type and name, otherwise that of its type, otherwise what `di.nject` makes,
    otherwise its default. Without an annotation it gets the component of its name.

    Raises:
        PluginArgumentError: for an argument without annotation and default, there is no component of its name.
        ComponentLookupError, ResolveError: nothing provides the type, and there is no default.
    """
    arguments: dict[str, Any] = {}
    components = context.current_context()
    for name, parameter in inspect.signature(func).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = await _provide(func, parameter, components)
        if value is not _ABSENT:
            arguments[name] = value
    return arguments


async def _provide(func: PluginFunction, parameter: inspect.Parameter, components: Components) -> Any:
    name = parameter.name
    has_default = parameter.default is not parameter.empty
    if parameter.annotation is parameter.empty:
        value = components.get(object, name=name, default=_ABSENT)
        if value is _ABSENT and not has_default:
            raise PluginArgumentError(
                plugin_name(func), name, "has no annotation and no default", fix=f"annotate its type: {name}: Cancel"
            )
        return value
    wanted = _annotation(func, parameter)
    bare, is_optional = _without_none(wanted)
    for key in (name, None):
        value = components.get(bare, name=key, default=_ABSENT)
        if value is not _ABSENT:
            return value
    try:
        return await di.nject(wanted)
    except di.ResolveError as error:
        if has_default:
            return _ABSENT
        if is_optional:
            return None
        error.add_note(f"for the argument {name!r} of the plugin {plugin_name(func)}")
        raise


def _annotation(func: PluginFunction, parameter: inspect.Parameter) -> Any:
    while isinstance(func, functools.partial):
        func = func.func
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    plain: Any = inspect.unwrap(getattr(func, "__func__", func))
    plain = plain if hasattr(plain, "__globals__") else type(plain).__call__
    closure = dict(
        zip(plain.__code__.co_freevars, (cell.cell_contents for cell in plain.__closure__ or ()), strict=True)
    )
    space = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        return typing.get_type_hints(space, plain.__globals__, closure, include_extras=True)["it"]
    except NameError as error:
        what = f"has an annotation that cannot be resolved: {error}"
        fix = "import the name at module level, outside `if TYPE_CHECKING`"
        raise PluginArgumentError(plugin_name(func), parameter.name, what, fix=fix) from None


def _without_none(tp: Any) -> tuple[Any, bool]:
    """The type inside `Annotated` and `Optional`, and whether None is allowed."""
    if typing.get_origin(tp) is typing.Annotated:
        return _without_none(typing.get_args(tp)[0])
    if typing.get_origin(tp) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(tp) if option is not type(None)]
        is_optional = len(options) < len(typing.get_args(tp))
        return (options[0] if is_optional and len(options) == 1 else tp), is_optional
    return tp, False


async def generate_async_result(result: Any, *, plugin: str = "?") -> AsyncIterator[Awaitable[Any]]:
    """Iterate over the awaitables of a called plugin.

    Args:
        result: An async generator; or a coroutine that returns nothing, an awaitable, or an iterable of awaitables.
        plugin: Name of the plugin, for the error.

    Raises:
        PluginResultError: it provides something else.
    """
    if hasattr(result, "__aiter__"):
        async with contextlib.aclosing(result):
            async for item in result:
                if not inspect.isawaitable(item):
                    raise PluginResultError(plugin, item)
                yield item
        return
    value = await result
    if value is None:
        return
    if inspect.isawaitable(value):
        yield value
        return
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise PluginResultError(plugin, value)
    items = list(value)
    wrong = [item for item in items if not inspect.isawaitable(item)]
    if wrong:
        for item in items:
            discard(item)
        raise PluginResultError(plugin, wrong[0])
    for item in items:
        yield item


class Loader:
    """Loads plugins, each once, and keeps their tasks until the stage starts them.

    ``await load("module", ".sibling", module, function)``: names that start with dots are relative to the package of
    the caller. Several loads may run concurrently: a request for a plugin that another one is loading waits for it.
    Plugins may load each other: if that closes a cycle, the plugin that is being loaded counts as loaded.

    Args:
        components: The context in which all plugins are prepared.
        cancel: The event; tasks that watch it get time to end by themselves.
    """

    def __init__(self, components: Components, cancel: asyncio.Event) -> None:
        self.components = components
        #: whether a plugin used Cancel while it was prepared
        self.watch = Watch(cancel)
        self._cancel = cancel
        #: the plugins that are loaded or being loaded
        self._known: dict[PluginFunction, Loading] = {}
        #: one list per plugin, in the order in which their loading began
        self._jobs: list[list[Job]] = []

    def __call__(self, *plugins: Plugin) -> Coroutine[Any, Any, None]:
        """Load plugins, one after the other.

        Raises:
            Exception: whatever `resolve_plugin_func`, `collect_plugin_args`, `generate_async_result` or a plugin raise.
        """
        return self.load(plugins, caller=1)

    def load(self, plugins: Iterable[Plugin], *, caller: int = 0) -> Coroutine[Any, Any, None]:
        """Like calling it, on behalf of a caller further up the stack.

        Args:
            plugins: The plugins.
            caller: Number of frames above the calling one that relative names refer to.
        """
        package = sys._getframe(caller + 1).f_globals.get("__package__")  # noqa: SLF001 - documented in CPython
        return self._load([absolute_name(plugin, package) for plugin in plugins])

    def take(self) -> list[Job]:
        """Return the collected jobs in order, and forget them."""
        jobs = [job for jobs in self._jobs for job in jobs]
        self._jobs.clear()
        return jobs

    def discard(self) -> None:
        """Close the collected jobs, which will not run."""
        for job in self.take():
            job.discard()

    async def _load(self, plugins: Iterable[Plugin | Callable[[], Plugin]]) -> None:
        token = context.buvar_context.set(self.components)
        watch = watching.set(self.watch)
        try:
            for plugin in plugins:
                await self._load_one(resolve_plugin_func(typing.cast("Plugin", plugin)))
        finally:
            watching.reset(watch)
            context.buvar_context.reset(token)

    async def _load_one(self, func: PluginFunction) -> None:
        while (known := self._known.get(func)) is not None:
            await known.wait()
            if self._known.get(func) is known:
                return
        name = plugin_name(func)
        loading = self._known[func] = Loading(name, current())
        jobs: list[Job] = []
        self._jobs.append(jobs)
        try:
            with loading.under_way():
                arguments = await collect_plugin_args(func)
                result = _call(func, arguments)
                async with contextlib.aclosing(generate_async_result(result, plugin=name)) as awaitables:  # type: ignore[type-var]  # an async generator
                    async for awaitable in awaitables:
                        # a future is running already, so only the plugin's own use of Cancel can be observed
                        watch = self.watch if isinstance(awaitable, asyncio.Future) else Watch(self._cancel)
                        jobs.append(Job(name, awaitable, watch))
        except BaseException as error:
            # a caller that catches this must not get a half-loaded plugin, and the next one must not take it for loaded
            del self._known[func]
            for job in jobs:
                job.discard()
            jobs.clear()
            if isinstance(error, Exception):
                error.add_note(f"while loading the plugin {name}")
            raise


def _call(func: PluginFunction, arguments: dict[str, Any]) -> Any:
    bound = inspect.signature(func).bind_partial()
    bound.arguments.update(arguments)
    return func(*bound.args, **bound.kwargs)
