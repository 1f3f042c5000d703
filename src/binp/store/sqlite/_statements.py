"""Read the named statements of the folder ``statements``."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources

__all__ = ["arranged", "of_part", "statements", "values_of"]

_HEAD = re.compile(r"^-- ([a-z_]+): (.*)$", re.MULTILINE)
_VALUES = re.compile(r"VALUES (\([^()]*\))")


@functools.cache
def statements() -> Mapping[str, str]:
    """All statements by name, without their comment lines."""
    folder = resources.files(__package__).joinpath("statements")
    return dict(pair for file in folder.iterdir() for pair in _named(file.read_text(encoding="utf-8")))


def values_of(sql: str) -> str:
    """The row of an insert statement, ``(?, ?)``, which may be repeated for several rows."""
    found = _VALUES.search(sql)
    if found is None:
        raise ValueError(f"a statement without a row of values: {sql}")
    return found[1]


def of_part(sql: str, number: int) -> str:
    """A statement about part *number* of the index, made from one about the first part."""
    return sql.replace("search_0", f"search_{number}")


def arranged(sql: str, ascending: bool, part: int | None) -> str:
    """A statement in the other direction if *ascending*, and about *part* of the index if given."""
    sql = sql.replace("DESC", "ASC") if ascending else sql
    return sql if part is None else of_part(sql, part)


def _named(text: str) -> Iterator[tuple[str, str]]:
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, end in zip(heads, ends, strict=True):
        yield head[1], text[head.end() : end].strip().removesuffix(";")
