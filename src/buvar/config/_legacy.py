"""The cattrs converter for types that the loader does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cattrs

from buvar.config import _convert

#: converts types that the loader does not know; register hooks on it for your own types
relaxed_converter = cattrs.Converter(forbid_extra_keys=True)


def _hook(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _type: read(value)


for _scalar, _read in _convert.SCALARS.items():
    relaxed_converter.register_structure_hook(_scalar, _hook(_read))
