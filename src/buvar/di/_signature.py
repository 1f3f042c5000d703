"""Read signatures: evaluate annotations wherever their names are defined, without keeping frames alive."""

from __future__ import annotations

import builtins
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Names(Mapping[str, Any]):
    """The namespaces in which the names in the annotations of one function are looked up.

    In this order: the variables that the function closes over, the locals of the running functions around it, its
    module, the classes around it, and finally the locals and the module of the code that registers it. `forget_frames`
    keeps only those locals that annotations have asked for.
    """

    def __init__(self, func: Callable[..., Any], owner: type | None, frame: types.FrameType | None) -> None:
        inner = inspect.unwrap(func)
        while isinstance(inner, types.MethodType) or hasattr(inner, "func"):
            inner = inner.__func__ if isinstance(inner, types.MethodType) else inspect.unwrap(inner.func)
        code = getattr(inner, "__code__", None)
        self.closure: dict[str, Any] = dict(
            zip(getattr(code, "co_freevars", ()), getattr(inner, "__closure__", None) or (), strict=False)
        )
        self.modules = [getattr(inner, "__globals__", None) or _module_of(owner or func)]
        self.classes = owner.__mro__[:-1] if owner else ()
        if owner is not None:
            self.modules.extend(_module_of(cls) for cls in self.classes)
        self.parameters = {
            parameter.__name__: parameter
            for holder in (inner, *self.classes)
            for parameter in getattr(holder, "__type_params__", ())
        }
        qualname = getattr(owner or inner, "__qualname__", "")
        self.inner_locals = list(_lexical_locals(qualname, self.modules[0], frame))
        self.outer_locals: list[Mapping[str, Any]] = []
        if frame is not None:
            self.outer_locals = [frame.f_locals]
            self.modules.append(frame.f_globals)
        self.kept: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        for where, is_frame in self._places():
            if name not in where:
                continue
            value = where[name]
            if isinstance(value, types.CellType):
                try:
                    value = value.cell_contents
                except ValueError:  # not assigned yet
                    continue
            if is_frame:
                self.kept[name] = value
            return value
        raise KeyError(name)

    def _places(self) -> Iterator[tuple[Mapping[str, Any], bool]]:
        """All namespaces, nearest first, and whether each is the locals of a frame."""
        yield self.parameters, False
        yield self.closure, False
        yield from ((where, True) for where in self.inner_locals)
        yield self.kept, False
        yield self.modules[0], False
        yield {cls.__name__: cls for cls in reversed(self.classes)}, False
        yield from ((vars(cls), False) for cls in self.classes)
        yield from ((where, True) for where in self.outer_locals)
        yield from ((module, False) for module in self.modules[1:])
        yield vars(builtins), False

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def forget_frames(self, annotations: Mapping[str, Any]) -> None:
        """Drop all locals, except for names that *annotations* mention."""
        for name in _mentioned(annotations.values()):
            self.get(name)
        self.inner_locals = []
        self.outer_locals = []


def _module_of(obj: Any) -> dict[str, Any]:
    return vars(sys.modules.get(getattr(obj, "__module__", None) or "", builtins))


def _lexical_locals(
    qualname: str, module: Mapping[str, Any], frame: types.FrameType | None
) -> Iterator[Mapping[str, Any]]:
    """The locals of the running functions in which the object with this qualified name was defined."""
    if "<locals>" not in qualname:
        return
    while frame is not None:
        if frame.f_globals is module and qualname.startswith(frame.f_code.co_qualname + ".<locals>."):
            yield frame.f_locals
        frame = frame.f_back


def _mentioned(annotations: Any) -> Iterator[str]:
    """Every name in the annotations that are still strings."""
    for annotation in annotations:
        if isinstance(annotation, str):
            try:
                yield from compile(annotation, "<annotation>", "eval").co_names
            except SyntaxError:
                continue
        elif isinstance(annotation, typing.ForwardRef):
            yield from _mentioned([annotation.__forward_arg__])
        else:
            yield from _mentioned(typing.get_args(annotation))


def evaluate(annotation: Any, names: Names) -> Any:
    """Evaluate all strings in an annotation.

    Raises:
        NameError: a name is not defined (yet).
        AttributeError, SyntaxError, TypeError: it is not a valid annotation.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    # since Python 3.12, a subscript such as Box[int] imports `typing`, which needs `__import__`
    return typing.get_type_hints(holder, {"__builtins__": vars(builtins)}, names, include_extras=True)["it"]
