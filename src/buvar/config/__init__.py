"""Layered configuration mapped to classes; every value knows its source."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from buvar import di
from buvar.config._declare import bool_var, list_var, var
from buvar.config._describe import create_env_config, generate_env_help, generate_toml_help, traverse_attrs
from buvar.config._errors import (
    ConfigClassError,
    ConfigError,
    ConfigFileError,
    DuplicateSectionError,
    Problem,
)
from buvar.config._sections import Config, skip_section
from buvar.config._shapes import get_fields, has
from buvar.config._source import Change, Changes, ConfigSource

if TYPE_CHECKING:
    from buvar.config._legacy import relaxed_converter
    from buvar.config._legacy import relaxed_converter as converter
    from buvar.config._load_error import ConfigLoadError

__all__ = [
    "Change",
    "Changes",
    "Config",
    "ConfigClassError",
    "ConfigError",
    "ConfigFileError",
    "ConfigLoadError",
    "ConfigSource",
    "DuplicateSectionError",
    "Problem",
    "bool_var",
    "converter",
    "create_env_config",
    "generate_env_help",
    "generate_toml_help",
    "get_fields",
    "has",
    "list_var",
    "prepare",
    "relaxed_converter",
    "skip_section",
    "traverse_attrs",
    "var",
]

# these need cattrs, which is imported on first use only
_LAZY = {
    "ConfigLoadError": ("buvar.config._load_error", "ConfigLoadError"),
    "converter": ("buvar.config._legacy", "relaxed_converter"),
    "relaxed_converter": ("buvar.config._legacy", "relaxed_converter"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


async def prepare() -> None:
    """Load as a plugin: let `di.nject` load every `Config` class from the `ConfigSource` of the context."""
    di.register(Config.from_source)
