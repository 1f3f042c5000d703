"""Fill a class from the merged tree and the outside values, and collect all problems."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from buvar.config import _convert
from buvar.config._environ import Given, Outside, variable_names, variables_of
from buvar.config._shapes import Shape, Shapes, is_pydantic, shapes_of
from buvar.config._values import FAILED, Assigned, Path, Values
from buvar.names import did_you_mean

#: How many places of one class are remembered.
_PLACES: Final = 64


class Place(NamedTuple):
    """A field of a class at the path from which it is loaded."""

    shape: Shape
    where: Path
    #: the path as names; None if it contains an index: outside values never reach into a list
    names: tuple[str, ...] | None
    variables: frozenset[str]


class Loading(Values):
    """One load of one class.

    Args:
        outside: The values from outside the tree.
        origin: Returns the source of the value at a path of the tree.
        foreign: Converts to a type that the loader does not know; may raise anything.
    """

    def __init__(
        self, outside: Outside, origin: Callable[[Path], str | None], foreign: Callable[[Any, Any], Any]
    ) -> None:
        super().__init__(outside.problems, foreign)
        self.outside = outside
        self.origin = origin

    def build(self, cls: type, node: Any, path: Path, *, base: Any = None, ignore_unknown: bool = False) -> Any:
        """Create an instance of *cls*, or record the problems.

        Args:
            cls: An attrs, dataclass or pydantic class.
            node: The part of the tree for it.
            path: The path of that part.
            base: A default instance for values that are not given; None for the class's own defaults.
            ignore_unknown: Whether to ignore keys that are not fields.

        Returns:
            The instance, or `FAILED`.
        """
        before = len(self.problems)
        if not isinstance(node, Mapping):
            self.complain(path, f"{_convert.show(node)} is not a table", self.origin(path))
            return FAILED
        shapes = shapes_of(cls)
        around, self.lenient = self.lenient, is_pydantic(cls)
        arguments = self._extra(cls, shapes, node, path, ignore_unknown=ignore_unknown)
        spellings = _spellings(node)
        for place in self._places(shapes, path):
            shape = place.shape
            spelled = spellings.get(shape.key, ())
            if shape.argument != shape.key and shape.argument in node:
                spelled = [key for key in node if key == shape.argument or key in spelled]
            value = self._field(place, shapes.keys, node, spelled, base)
            if value is not FAILED:
                arguments[shape.argument] = value
        self.lenient = around
        if len(self.problems) > before:
            return FAILED
        try:
            return cls.model_validate(arguments) if hasattr(cls, "model_validate") else cls(**arguments)
        except Exception as error:  # noqa: BLE001 - a constructor may raise anything; it is recorded with its path
            self.reject_whole(path, error, shapes)
            return FAILED

    def _places(self, shapes: Shapes, path: Path) -> Sequence[Place]:
        """Where the fields of a class are found; cached, because the same few classes are loaded repeatedly."""
        prefix = self.outside.prefix
        places: tuple[Place, ...] | None = shapes.places.get((prefix, path))
        if places is None:
            found = [(shape, (*path, shape.key)) for shape in shapes]
            if all(isinstance(part, str) for part in path):
                inside = [(*each, cast("tuple[str, ...]", each[1])) for each in found]
                places = tuple(Place(*each, variables_of(prefix, each[2])) for each in inside)
            else:
                places = tuple(Place(*each, None, frozenset()) for each in found)
            if len(shapes.places) >= _PLACES:
                shapes.places.clear()
            shapes.places[prefix, path] = places
        return places

    def _extra(
        self, cls: type, shapes: Shapes, node: Mapping[str, Any], path: Path, *, ignore_unknown: bool
    ) -> dict[str, Any]:
        """Complain about keys that are not fields; return those that the class accepts anyway."""
        known = shapes.known
        if known.issuperset(node) and not self.outside.assignments:
            return {}
        unknown = {key: self.origin((*path, key)) for key in node if str(key).replace("-", "_") not in known}
        policy = getattr(cls, "model_config", {}).get("extra") if is_pydantic(cls) else None
        if policy == "allow":
            return {key: node[key] for key in unknown}
        depth = len(path)
        for where in self.outside.assignments:
            if len(where) > depth and where[:depth] == path and where[depth] not in known:
                unknown.setdefault(where[depth], f"--set {'.'.join(where)}")
        if not ignore_unknown and policy != "ignore":
            for key, source in unknown.items():
                near = did_you_mean(str(key), known)
                self.complain((*path, str(key)), "unknown key" + (f", did you mean {near!r}?" if near else ""), source)
        return {}

    def _field(
        self, place: Place, siblings: Sequence[str], node: Mapping[str, Any], spelled: Sequence[Any], base: Any
    ) -> Any:
        """The value for one field, given under the *spelled* keys; `FAILED` also if the default is to be used."""
        shape, where, names, variables = place
        if len(spelled) > 1:
            twice = f"is given twice, as {' and '.join(map(repr, spelled))}"
            self.complain(where, twice, self.origin((*where[:-1], spelled[1])))
            return FAILED
        given = Given(node[spelled[0]], self.origin((*where[:-1], spelled[0]))) if spelled else None
        if shape.nested is not None:
            return self._nested(shape, shape.nested, given, where, base, names)
        if names is not None:
            before = len(self.problems)
            outer = self.outside.find(names, siblings, variables)
            if len(self.problems) > before:
                return FAILED
            given = outer or self._assigned(shape.inner, given, names) or given
        if given is not None:
            return self.leaf(shape, given, where)
        if base is not None:
            return getattr(base, shape.name)
        if shape.required:
            hint = f"; set it in a file or as {variable_names(self.outside.prefix, names)[0]}" if names else ""
            self.complain(where, f"missing{hint}", None)
        return FAILED

    def _nested(
        self, shape: Shape, inner: type, given: Given | None, where: Path, base: Any, names: tuple[str, ...] | None
    ) -> Any:
        value = None if given is None else given.value
        # a table in the tree is read even if nothing is set outside
        is_whole = (value is None or isinstance(value, inner)) and not (
            names is not None and self._has_outside(inner, names)
        )
        if is_whole and value is not None:
            return value
        if is_whole and (shape.optional or given is None):
            if given is not None:
                return None
            if base is not None:
                return getattr(base, shape.name)
            if not shape.required:
                return FAILED
            if shape.optional:
                return None
        default = getattr(base, shape.name) if base is not None else shape.default() if shape.default else None
        if isinstance(value, inner):
            default, value = value, None
        return self.build(
            inner, {} if value is None else value, where, base=default if isinstance(default, inner) else None
        )

    def _has_outside(self, cls: type, path: tuple[str, ...]) -> bool:
        """Whether an outside value sets a field of *cls*. Terminates, because no variable matches ever longer names."""
        if not self.outside.has_any(path):
            return False
        shapes = shapes_of(cls)
        for shape in shapes:
            where = (*path, shape.key)
            if shape.nested is not None:
                if self._has_outside(shape.nested, where):
                    return True
            elif self.outside.is_given(where, shapes.keys) or any(
                known[: len(where)] == where for known in self.outside.assignments
            ):
                return True
        return False

    def _assigned(self, tp: Any, given: Given | None, where: tuple[str, ...]) -> Given | None:
        """Assignments below a field that is a map become items of the map."""
        if not self.outside.assignments or (typing.get_origin(tp) or tp) not in _convert.MAPS:
            return None
        depth = len(where)
        below = {
            path[depth]: text
            for path, text in self.outside.assignments.items()
            if path[:depth] == where and len(path) == depth + 1
        }
        if not below:
            return None
        items = given.value if given is not None and isinstance(given.value, Mapping) else {}
        return Given(Assigned(items, below), f"--set {'.'.join(where)}")


def _spellings(node: Mapping[Any, Any]) -> dict[str, Sequence[Any]]:
    """The keys by the spelling of a field: dashes become underscores."""
    found: dict[str, Sequence[Any]] = {}
    for key in node:
        spelling = str(key).replace("-", "_")
        found[spelling] = (*found[spelling], key) if spelling in found else (key,)
    return found
