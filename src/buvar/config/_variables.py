"""Field declarations that work in attrs classes and in dataclasses alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import attr

from buvar.components import MISSING
from buvar.config._shapes import METADATA, Variable

# the class of what attr.ib() returns has no public name
_CountingAttr: Any = type(attr.ib())


class Declared(_CountingAttr):  # type: ignore[misc]  # a class that only exists at run time
    """Looks like `attr.ib()` to attrs, and like `dataclasses.field()` to a dataclass.

    attrs reads the namespace of the class and compares `__class__`; dataclasses use `getattr`, which a descriptor
    answers.
    """

    __slots__ = ()

    @property  # type: ignore[misc]  # the pretence is intended
    def __class__(self) -> Any:
        """The class that attrs looks for."""
        return _CountingAttr

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        default: Any = self._default
        metadata = dict(self.metadata)
        if default is attr.NOTHING:
            return dataclasses.field(metadata=metadata)
        if isinstance(default, attr.Factory):  # type: ignore[arg-type]  # a class for all but the stubs
            return dataclasses.field(default_factory=default.factory, metadata=metadata)
        return dataclasses.field(default=default, metadata=metadata)


def declare(
    variable: Variable, *, default: Any = MISSING, factory: Any = MISSING, converter: Callable[[Any], Any] | None
) -> Any:
    """Create the declaration of one field.

    Args:
        variable: The options of the field.
        default: The default; `MISSING` for none.
        factory: Creates the default; `MISSING` for none.
        converter: Called by attrs for every value that is passed to the constructor; None for none.

    Raises:
        TypeError: both a default and a factory are given.
    """
    if default is not MISSING and factory is not MISSING:
        raise TypeError("give a default or a factory, not both")
    value = attr.NOTHING if default is MISSING else default
    if factory is not MISSING:
        value = attr.Factory(factory)
    made = attr.ib(default=value, converter=converter, validator=variable.validator, metadata={METADATA: variable})
    declared = Declared.__new__(Declared)
    for slot in _CountingAttr.__slots__:
        setattr(declared, slot, getattr(made, slot))
    return declared
