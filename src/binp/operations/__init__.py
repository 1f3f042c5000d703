"""An operation: its name, its function, the form of its parameters and its policy."""

from __future__ import annotations

from ._form import BoundCall, Form, FormError, InvalidArguments
from ._json import REPR_KEY, as_json, as_text
from ._operation import JOURNALED, Operation, Policy, check_callable, default_description, default_name, is_async
from ._registry import Operations, UnknownOperation

__all__ = [
    "JOURNALED",
    "REPR_KEY",
    "BoundCall",
    "Form",
    "FormError",
    "InvalidArguments",
    "Operation",
    "Operations",
    "Policy",
    "UnknownOperation",
    "as_json",
    "as_text",
    "check_callable",
    "default_description",
    "default_name",
    "is_async",
]
