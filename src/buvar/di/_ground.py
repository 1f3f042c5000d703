"""The input of a resolution (layers, keywords, overrides), and a record of what was asked of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from buvar.components import Layer

from ._scope import Application, Scope

#: A question about presence: namespace, name, and the layers that count.
Probe: TypeAlias = tuple[Any, str | None, int]
#: A compiled resolution; called with the layers of the stack and the values of the keywords.
Plan: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]


@dataclass(slots=True, eq=False)
class Ground:
    """Everything outside that a resolution may depend on, and which of it was asked for."""

    layers: tuple[Layer, ...]
    keyword_names: tuple[str, ...] = ()
    keyword_types: tuple[type, ...] = ()
    overrides: Mapping[Any, tuple[Any, object]] = field(default_factory=dict)
    #: Types that count as present although they are not yet, for checks in advance.
    presumed: frozenset[Any] = frozenset()
    #: Whether needed scopes count as open.
    presumes_scopes: bool = False
    #: Each question about the presence of a component, with its answer.
    probes: dict[tuple[Any, str | None, int], int] = field(default_factory=dict)
    scope_depth: int = 0
    application_depth: int = 0

    def __post_init__(self) -> None:
        self.scope_depth, self.application_depth = depths(self.layers)

    def find(self, namespace: Any, name: str | None, below: int) -> int:
        """The depth of a component, counting only layers up to depth *below*; 0 if there is none."""
        question = (namespace, name, below)
        answer = self.probes.get(question)
        if answer is None:
            answer = self.probes[question] = probe(self.layers, question)
        return answer


def depths(layers: tuple[Layer, ...]) -> tuple[int, int]:
    """The depths of the innermost open scope and application; a scope outside the application does not count."""
    scope_depth = 0
    for index, layer in enumerate(layers):
        if layer.owner is not None:
            if isinstance(layer.owner, Application):
                return scope_depth, len(layers) - index
            if not scope_depth and isinstance(layer.owner, Scope):
                scope_depth = len(layers) - index
    return scope_depth, 0


#: Which layers count in a probe, so that a probe means the same in stacks of any height. WITHOUT_APPLICATION is what an
#: application sees that is not open but needed by a value of a scope: no more than that scope sees.
WHOLE, FROM_SCOPE, FROM_APPLICATION, WITHOUT_APPLICATION = 0, 1, 2, 3


def probe(layers: tuple[Layer, ...], question: tuple[Any, str | None, int]) -> int:
    """Answer one question about presence: the depth of the newest layer with that component, 0 for none."""
    namespace, name, below = question
    height = len(layers)
    # a scope that is not open yet will see all present layers
    start = 0 if below == WHOLE else height - (depths(layers)[below == FROM_APPLICATION] or height)
    for index in range(start, height):
        layer = layers[index]
        if namespace in layer.plain if name is None else name in layer.named.get(namespace, ()):
            return height - index
    return 0


class Family:
    """All plans for one request, by the context's answers to the questions that they depend on."""

    __slots__ = ("plans", "probes")

    def __init__(self) -> None:
        self.probes: dict[Probe, None] = {}
        self.plans: dict[tuple[Any, ...], Plan] = {}

    def answers(self, layers: tuple[Layer, ...]) -> tuple[Any, ...]:
        return (*depths(layers), *[probe(layers, question) for question in self.probes])
