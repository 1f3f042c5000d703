"""Combine the retention rules of the operator and of the functions."""

from __future__ import annotations

import logging
import math
from datetime import timedelta

from binp.operations import Operation, Operations
from binp.settings import KeepSettings, RetentionSettings
from binp.store.contract import Keep, Retention
from buvar.names import did_you_mean

__all__ = ["retention_of"]

_logger = logging.getLogger("binp.retention")

_KINDS = ("action", "journal", "service", "schedule")


def retention_of(settings: RetentionSettings, operations: Operations) -> Retention:
    """The retention rules. The operator's rule for an operation takes precedence over that of its function.

    Logs a warning for a rule whose name looks like a typing error.
    """
    known = [operation for kind in _KINDS for operation in operations.all(kind)]
    names = {operation.name for operation in known}
    for name in settings.operations:
        near = None if name in names else did_you_mean(name, names)
        if near is not None:
            _logger.warning("[binp.retention.operations.%s]: there is no such operation; did you mean %r?", name, near)
    rules = {operation.name: keep for operation in known if (keep := _own(operation)) is not None}
    return Retention(
        general=Keep(days=_days(settings.days), failed_days=settings.failed_days or None, runs=settings.runs or None),
        size=settings.bytes or None,
        operations=rules | {name: _keep(rule) for name, rule in settings.operations.items()},
        labels={name: _keep(rule) for name, rule in settings.labels.items()},
    )


def _own(operation: Operation) -> Keep | None:
    keep = operation.policy.keep
    if keep is None:
        return None
    return Keep(days=keep / timedelta(days=1)) if isinstance(keep, timedelta) else Keep(runs=keep)


def _keep(rule: KeepSettings) -> Keep:
    days = None if rule.days is None else _days(rule.days)
    return Keep(days=days, failed_days=rule.failed_days, runs=rule.runs or None)


def _days(days: float) -> float:
    return days or math.inf
