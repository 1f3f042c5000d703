"""Operations: a name, a function, the form of its parameters, and its policy."""

from __future__ import annotations

from ._base import JOURNALED, base_of, journal_of, without_journal
from ._form import BoundCall, Form, FormError, InvalidArguments
from ._given import encode_given
from ._json import CUT_KEY, REPR_KEY, as_json, as_text, cut_json, shorten
from ._operation import Operation, check_callable, check_importable, default_description, default_name, is_async, place
from ._options import UnknownOption, check_numbers, labels_of, with_known_options
from ._policy import Concurrency, Policy, Retry, WhenFull
from ._registry import Operations, UnknownOperation
from ._secrets import mentions_secret
from ._spans import seconds_in, seconds_of

__all__ = [
    "CUT_KEY",
    "JOURNALED",
    "REPR_KEY",
    "BoundCall",
    "Concurrency",
    "Form",
    "FormError",
    "InvalidArguments",
    "Operation",
    "Operations",
    "Policy",
    "Retry",
    "UnknownOperation",
    "UnknownOption",
    "WhenFull",
    "as_json",
    "as_text",
    "base_of",
    "check_callable",
    "check_importable",
    "check_numbers",
    "cut_json",
    "default_description",
    "default_name",
    "encode_given",
    "is_async",
    "journal_of",
    "labels_of",
    "mentions_secret",
    "place",
    "seconds_in",
    "seconds_of",
    "shorten",
    "with_known_options",
    "without_journal",
]
