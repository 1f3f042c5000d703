"""The errors of configuration, except that of a failed load."""

from __future__ import annotations

import dataclasses
from typing import Any

from buvar.errors import BuvarError


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a configuration."""

    #: dotted path of the value, such as `db.pool_size` or `tags[2]`; empty for the whole configuration
    path: str
    #: the problem, without the path
    message: str
    #: the source of the value: a file, a variable, a dictionary; None if no value was given
    source: str | None = None

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text} (from {self.source})" if self.source else text


class ConfigError(BuvarError):
    """The configuration, or a class that describes it, cannot be used."""


class ConfigFileError(ConfigError):
    """A configuration file cannot be read.

    Attributes:
        path: The file, as it was given.
    """

    def __init__(self, path: str, reason: str, *, fix: str | None = None) -> None:
        super().__init__(f"cannot read the configuration file {path}: {reason}", fix=fix)
        self.path = path


class ConfigClassError(ConfigError, TypeError):
    """A class cannot be filled from a configuration.

    Attributes:
        cls: The class.
        field: The field whose annotation cannot be resolved; None if the class itself has no fields.
    """

    def __init__(
        self, cls: Any, *, field: str | None = None, annotation: object = None, error: Exception | None = None
    ) -> None:
        name = getattr(cls, "__qualname__", None) or repr(cls)
        if field is None:
            what, fix = f"{name} has no fields to load", "make it an attrs, dataclass or pydantic class"
        else:
            what = f"the annotation {annotation!r} of {name}.{field} cannot be resolved: {error}"
            fix = "import the name at module level, outside `if TYPE_CHECKING`"
        super().__init__(what, fix=fix)
        self.cls = cls
        self.field = field


class DuplicateSectionError(ConfigError):
    """Two classes claim the same section.

    Attributes:
        section: The section.
        taken_by: The class that has it already.
    """

    def __init__(self, section: str | None, cls: type, taken_by: type) -> None:
        name = "the root section" if section is None else f"the section {section!r}"
        super().__init__(
            f"{name} of {cls.__module__}.{cls.__qualname__} is taken by {taken_by.__module__}.{taken_by.__qualname__}",
            fix="give one of them another section",
        )
        self.section = section
        self.taken_by = taken_by
