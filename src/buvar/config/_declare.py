"""Declare fields: `var`, `bool_var` and `list_var`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buvar.components import MISSING
from buvar.config import _convert
from buvar.config._shapes import Variable


def var(
    default: Any = MISSING,
    converter: Callable[[Any], Any] | None = None,
    factory: Any = MISSING,
    *,
    name: str | None = None,
    validator: Callable[[Any, Any, Any], Any] | None = None,
    help: str | None = None,  # noqa: A002 - named by the contract
) -> Any:
    """Declare a field of an attrs class or a dataclass.

    Args:
        default: The default; without one the field is required.
        converter: Converts the configured value, instead of the field's type.
        factory: Creates the default for each instance.
        name: The key in files and environment, instead of the field's name.
        validator: Called with (instance, field, value), like an attrs validator; for a dataclass only when loading.
        help: One line for the generated help.

    Raises:
        TypeError: both a default and a factory are given.
    """
    return _declare(default, converter, factory, Variable(converter, validator, name, help))


def bool_var(default: Any = MISSING, name: str | None = None, help: str | None = None) -> Any:  # noqa: A002 - named by the contract
    """Declare a boolean; the texts ``1 true t yes y on`` and ``0 false f no n off`` are accepted in any case.

    In an attrs class, the constructor accepts text as well.
    """
    return _declare(default, _convert.to_bool, MISSING, Variable(_convert.to_bool, None, name, help))


def list_var(default: Any = MISSING, name: str | None = None, help: str | None = None) -> Any:  # noqa: A002 - named by the contract
    """Declare a list; text is split at commas, or parsed as JSON if it starts with a bracket.

    In an attrs class, the constructor splits text as well. A default that is a list is copied for each instance.
    """
    if isinstance(default, list):
        return _declare(MISSING, _to_list, default.copy, Variable(_to_list, None, name, help))
    return _declare(default, _to_list, MISSING, Variable(_to_list, None, name, help))


def _to_list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return _convert.split_list(value)[0]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    raise _convert.Unfit(value, "is not a list")


def _declare(default: Any, converter: Callable[[Any], Any] | None, factory: Any, variable: Variable) -> Any:
    from buvar.config._variables import declare  # imports attrs, so only when a field is declared

    return declare(variable, default=default, factory=factory, converter=converter)
