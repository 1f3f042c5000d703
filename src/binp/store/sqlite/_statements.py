"""Read the named statements of ``queries.sql``."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources

__all__ = ["statements"]

_HEAD = re.compile(r"^-- ([a-z_]+): (.*)$", re.MULTILINE)


@functools.cache
def statements() -> Mapping[str, str]:
    """Every statement by its name, without the line that explains it."""
    text = resources.files(__package__).joinpath("queries.sql").read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return {head[1]: text[head.end() : end].strip().removesuffix(";") for head, end in zip(heads, ends, strict=True)}
