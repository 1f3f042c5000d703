"""What decorators say about options that they do not have."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from binp import BINP
from binp.operations import UnknownOption


@pytest.mark.parametrize(
    ("part", "option", "fix"),
    [
        ("action", "timout", "did you mean 'timeout'?"),
        ("action", "retires", "did you mean 'retries'?"),
        ("journal", "descripton", "did you mean 'description'?"),
        ("journal", "x", "known: operation, description"),
        ("service", "restarts", "did you mean 'restart'?"),
        ("schedule", "evry", "did you mean 'every'?"),
    ],
)
def test_a_misspelt_option(part: str, option: str, fix: str) -> None:
    """ACT-01: a decorator refuses an option that it does not have: what, where it is written, and what was meant."""
    decorator: Any = getattr(BINP(), part)

    with pytest.raises(UnknownOption) as caught:
        decorator(**{option: 3})
    line = sys._getframe().f_lineno - 1

    error = caught.value
    assert str(error) == f"@binp.{part} has no option {option!r}\n  where: {__file__}:{line}\n  fix:   {fix}"
    assert (error.decorator, error.option) == (f"@binp.{part}", option)
    assert isinstance(error, TypeError)


def test_what_is_known_goes_through() -> None:
    """The signature stays what it was, and so does what the decorator does."""
    binp = BINP()

    @binp.action(name="x", timeout=3)
    @binp.journal
    async def work() -> None: ...

    assert [operation.policy.timeout for operation in binp.action.operations] == [3]
