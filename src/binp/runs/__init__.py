"""The life cycle of a run: start, record, progress, cancel, end."""

from __future__ import annotations

from ._active import ActiveRun, current_journal, current_run, entered, now
from ._drain import cancel_all, drain, in_words
from ._errors import AlreadyStarted, CallFailed, ProcessDied, TooManyRuns
from ._files import RunFiles
from ._handle import RunCancelled, RunHandle, RunLost, RunSkipped
from ._kept import Acknowledged, Kept
from ._life import Outcome, RunTimedOut, Trigger, awaited, execute, settle, text_of
from ._logs import LogCapture
from ._masks import MASKED
from ._output import OutputCapture
from ._process import Processes
from ._quiet import quietly
from ._runs import Runs
from ._steps import BadStep, Steps
from ._stopping import interruptible, is_interruptible, told_to_end
from ._threads import Threads, call_function
from ._traceback import traceback_of
from ._tracing import Tracing
from ._watchdog import Watchdog
from ._wire import Far, leave_with

__all__ = [
    "MASKED",
    "Acknowledged",
    "ActiveRun",
    "AlreadyStarted",
    "BadStep",
    "CallFailed",
    "Far",
    "Kept",
    "LogCapture",
    "Outcome",
    "OutputCapture",
    "ProcessDied",
    "Processes",
    "RunCancelled",
    "RunFiles",
    "RunHandle",
    "RunLost",
    "RunSkipped",
    "RunTimedOut",
    "Runs",
    "Steps",
    "Threads",
    "TooManyRuns",
    "Tracing",
    "Trigger",
    "Watchdog",
    "awaited",
    "call_function",
    "cancel_all",
    "current_journal",
    "current_run",
    "drain",
    "entered",
    "execute",
    "in_words",
    "interruptible",
    "is_interruptible",
    "leave_with",
    "now",
    "quietly",
    "settle",
    "text_of",
    "told_to_end",
    "traceback_of",
]
