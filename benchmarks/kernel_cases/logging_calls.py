"""One log call with four fields: through this project's set-up, structlog's own, and the original's."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog


class Call:
    """Logs one line; `finish` waits until all lines are written, which belongs to what a call costs."""

    def __init__(self, logger: Any, finish: Callable[[], object]) -> None:
        self.logger = logger
        self.finish = finish

    def __call__(self) -> None:
        """Log."""
        self.logger.info("request handled", method="GET", path="/items/42", status=200, duration=0.0123)


def ours() -> Call:
    from buvar import log

    stream = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    log.LogConfig(tty=False, level="INFO", stream=stream, queue_size=100_000).setup()

    def finish() -> None:
        assert log.flush(60)
        assert log.dropped() == 0

    return Call(structlog.get_logger(), finish)


def native() -> Call:
    """As structlog's documentation recommends it for speed."""
    import orjson

    stream = Path(os.devnull).open("wb")  # noqa: SIM115 - as long as the process
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=stream),
    )
    return Call(structlog.get_logger(), lambda: None)


def original() -> Call:
    from buvar import log

    warnings.simplefilter("ignore")
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process; there it writes to
    log.LogConfig(tty=False, level="INFO").setup()
    return Call(structlog.get_logger(), lambda: None)
