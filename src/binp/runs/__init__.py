"""The life of a run: begin, record, progress, cancel, end."""

from __future__ import annotations

from ._active import Acknowledged, ActiveRun, Kept, current_journal, current_run, entered, now, quietly
from ._handle import RunCancelled, RunHandle, RunLost
from ._life import Outcome, Trigger, settle
from ._output import OutputCapture
from ._runs import Runs, TooManyRuns
from ._threads import Threads

__all__ = [
    "Acknowledged",
    "ActiveRun",
    "Kept",
    "Outcome",
    "OutputCapture",
    "RunCancelled",
    "RunHandle",
    "RunLost",
    "Runs",
    "Threads",
    "TooManyRuns",
    "Trigger",
    "current_journal",
    "current_run",
    "entered",
    "now",
    "quietly",
    "settle",
]
