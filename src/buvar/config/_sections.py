"""Classes that know their section, and the registry of sections."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from buvar.config._errors import DuplicateSectionError
from buvar.config._shapes import remember_scope
from buvar.config._source import ConfigSource


class SkipSection(enum.Enum):
    """The type of `skip_section`."""

    SKIP = "skip"


#: means that a class names no section
skip_section: Final = SkipSection.SKIP


class Config:
    """Base class of classes that are filled from a section: ``class Db(Config, section="db")``.

    If `buvar.config` is loaded as a plugin, `di.nject(Db)` loads the section from the `ConfigSource` of the context, or
    from the environment alone if there is none. With ``section=None``, or if neither the class nor a base names a
    section, the class is filled from the root. A subclass inherits the section of its base. Each named section belongs
    to one class only.

    Raises:
        DuplicateSectionError: another class has the section.
    """

    #: section name -> class
    __buvar_config_sections__: ClassVar[dict[str | None, type[Config]]] = {}
    __buvar_config_section__: ClassVar[str | SkipSection | None] = skip_section
    #: shown by dependency injection if nothing provides an instance
    __buvar_provided_by__: ClassVar[str] = "load the plugin that fills such classes first: await load(config)"

    def __init_subclass__(cls, *, section: str | SkipSection | None = skip_section, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        scope: Mapping[str, Any] = MappingProxyType(sys._getframe(1).f_locals)  # noqa: SLF001 - the only way to the names around a class
        remember_scope(cls, scope)
        # for slots, attrs and dataclasses create the class a second time, from the namespace of the first
        is_anew = section is skip_section and "__buvar_config_section__" in vars(cls)
        if is_anew:
            section = cls.__buvar_config_section__
        if isinstance(section, SkipSection):
            return
        taken = cls.__buvar_config_sections__.get(section)
        if taken is not None and not is_anew and not _is_same_file(taken, cls):
            raise DuplicateSectionError(section, cls, taken)
        cls.__buvar_config_section__ = section
        cls.__buvar_config_sections__[section] = cls

    @classmethod
    async def from_source(cls, source: ConfigSource | None = None) -> Self:
        """Load the section of this class; this is the adapter that `prepare` registers.

        Args:
            source: The configuration; None for an empty one without prefix.

        Raises:
            ConfigLoadError: a value does not fit; lists every problem.
        """
        section = cls.__buvar_config_section__
        name = None if isinstance(section, SkipSection) else section
        return (ConfigSource() if source is None else source).load(cls, name)


def _is_same_file(one: type, other: type) -> bool:
    """Whether two classes come from the same file: once run as a script, and once imported."""
    return one.__qualname__ == other.__qualname__ and (one.__module__ == "__main__") != (other.__module__ == "__main__")
