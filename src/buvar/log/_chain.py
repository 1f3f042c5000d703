"""Build the chain of processors; in a module of its own, so that structlog is imported by the first set-up only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog

from buvar.log._foreign import ForeignHandler
from buvar.log._native import Describe, filtering_logger, logger_factory
from buvar.log._render import JsonRenderer, Levels, Processor, Redact, escape_controls
from buvar.log._sink import Sink

__all__ = ["ForeignHandler", "native", "shared"]


def shared(
    *, tty: bool, colors: bool, redact: Sequence[str], renderer: Callable[[Any, str, Any], Any] | None
) -> list[Processor]:
    """The end of the chain, shared by native events and records of the standard library."""
    processors: list[Processor] = [Redact(redact)] if redact else []
    if tty:
        console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
        return [*processors, escape_controls, console]
    return [*processors, structlog.processors.format_exc_info, renderer or JsonRenderer()]


@contextlib.contextmanager
def native(
    sink: Sink, end: Sequence[Processor], *, level: int, levels: Mapping[str, int], add_pid: bool
) -> Iterator[None]:
    """Configure structlog inside the block."""
    processors: list[Any] = [structlog.contextvars.merge_contextvars, Describe(add_pid=add_pid)]
    if levels:
        processors.append(Levels(levels, level))
    processors += end
    former = structlog.get_config()
    was_configured = structlog.is_configured()
    structlog.configure(
        processors=processors,
        wrapper_class=filtering_logger(min([level, *levels.values()])),
        context_class=dict,
        logger_factory=logger_factory(sink),
        # cached loggers of ours notice when this set-up has ended
        cache_logger_on_first_use=True,
    )
    try:
        yield
    finally:
        if was_configured:
            structlog.configure(**former)
        else:
            structlog.reset_defaults()
