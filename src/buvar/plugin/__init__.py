"""Plugins and the stage: load them, run their tasks, tear everything down in order."""

from __future__ import annotations

from buvar.plugin._errors import (
    LoadInterruptedError,
    LoopRunningError,
    PluginArgumentError,
    PluginError,
    PluginFunctionError,
    PluginNotFoundError,
    PluginResultError,
    StageOverError,
    StuckTaskError,
    TeardownError,
)
from buvar.plugin._loader import (
    PLUGIN_FUNCTION_NAME,
    Loader,
    collect_plugin_args,
    generate_async_result,
    resolve_plugin_func,
)
from buvar.plugin._signals import ReloadSignals, Signals
from buvar.plugin._stage import Stage, stage
from buvar.plugin._tasks import CANCEL_TIMEOUT, Cancel, run
from buvar.plugin._teardown import Teardown

__all__ = [
    "CANCEL_TIMEOUT",
    "PLUGIN_FUNCTION_NAME",
    "Cancel",
    "LoadInterruptedError",
    "Loader",
    "LoopRunningError",
    "PluginArgumentError",
    "PluginError",
    "PluginFunctionError",
    "PluginNotFoundError",
    "PluginResultError",
    "ReloadSignals",
    "Signals",
    "Stage",
    "StageOverError",
    "StuckTaskError",
    "Teardown",
    "TeardownError",
    "collect_plugin_args",
    "generate_async_result",
    "resolve_plugin_func",
    "run",
    "stage",
]
