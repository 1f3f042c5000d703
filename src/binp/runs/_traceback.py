"""Format the traceback of an error, without the platform's frames and with the variables of the user's."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from collections import deque
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from buvar.errors import Explained

from ._errors import CallFailed
from ._shown import show_locals

if TYPE_CHECKING:
    from ._active import ActiveRun

__all__ = ["PLATFORM", "traceback_of"]

#: longer tracebacks are truncated to their end, in characters
TRACEBACK_LIMIT = 64 * 1024

#: variables are shown for this many innermost frames of an error, and for this many errors of a chain
_FRAMES, _ERRORS = 10, 10

#: folders of the platform itself
PLATFORM = tuple(str(Path(__file__).parents[2] / package) + os.sep for package in ("binp", "buvar", "buvar_aiohttp"))

_OWN = PLATFORM[0]

#: matches the private modules in the qualified name of one of our errors; users import it from the public one
_PRIVATE = re.compile(r"^([ |+-]*(?:binp|buvar)(?:\.[a-z]\w*)*)(?:\._\w+)+(?=\.[A-Z]\w*(?::|$))", re.MULTILINE)


def _folders_of_others() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib") if paths.get(name)}
    return tuple(folder + os.sep for folder in found)


_OTHERS = (*_folders_of_others(), *PLATFORM, "<frozen ")


def traceback_of(error: BaseException, run: ActiveRun | None = None) -> str:
    """The traceback without the platform's own frames, which would not help. Never raises.

    Args:
        error: The exception; its causes and group members are included.
        run: The run that raised it: decides whether variables are shown, and what is masked.
    """
    if isinstance(error, CallFailed):
        # its traceback was formatted in the process that raised it
        return error.trace if run is None else run.hide(error.trace)
    try:
        if _says_all(error):
            text = _PRIVATE.sub(r"\1", "".join(traceback.format_exception_only(error)))
            return text if run is None else run.hide(text)
        shown = traceback.TracebackException.from_exception(error)
        if run is not None and run.tracing.settings.locals:
            _add_locals(shown, error, run)
        _strip(shown)
        text = _PRIVATE.sub(r"\1", "".join(shown.format()))
    except Exception as broken:  # noqa: BLE001 - an exception may do anything when accessed; recording must not fail on it
        return f"(its traceback raised {type(broken).__name__})"
    if run is not None:
        text = run.hide(text)
    return text if len(text) <= TRACEBACK_LIMIT else f"… ({len(text)} characters)\n{text[-TRACEBACK_LIMIT:]}"


def _says_all(error: BaseException) -> bool:
    """Whether it needs no frames: it explains itself, and no user code was called."""
    is_root = error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return (
        isinstance(error, Explained)
        and is_root
        and all(frame.f_code.co_filename.startswith(PLATFORM) for frame in frames)
    )


def _strip(shown: traceback.TracebackException) -> None:
    left = [shown]
    while left:
        each = left.pop()
        own = [frame for frame in each.stack if not frame.filename.startswith(_OWN)]
        if own:
            each.stack = traceback.StackSummary.from_list(own)
        left += [inner for inner in (each.__cause__, each.__context__, *(each.exceptions or ())) if inner is not None]


def _add_locals(shown: traceback.TracebackException, error: BaseException, run: ActiveRun) -> None:
    """Add the variables of the user's frames, for the error and its causes."""
    left: deque[tuple[traceback.TracebackException, BaseException]] = deque([(shown, error)])
    for _ in range(_ERRORS):
        if not left:
            return
        each, raised = left.popleft()
        frames = [frame for frame, _ in traceback.walk_tb(raised.__traceback__)]
        if len(frames) == len(each.stack):
            pairs = [pair for pair in zip(frames, each.stack, strict=True) if not _is_others(pair[0])]
            for frame, summary in pairs[-_FRAMES:]:
                summary.locals = show_locals(list(frame.f_locals.items()), run.tracing.names)
        inner = [(each.__cause__, raised.__cause__), (each.__context__, raised.__context__)]
        if each.exceptions is not None and isinstance(raised, BaseExceptionGroup):
            inner += zip(each.exceptions, raised.exceptions, strict=False)
        left.extend((one, other) for one, other in inner if one is not None and other is not None)


def _is_others(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OTHERS)
