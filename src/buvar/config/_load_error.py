"""The error of a failed load; in a module of its own, so that cattrs is only imported when a load fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from cattrs.errors import ClassValidationError

from buvar.config._errors import ConfigError, Problem


class ConfigLoadError(ConfigError, ClassValidationError):
    """A configuration does not fit its class; lists every problem.

    It is also an exception group: `exceptions` has one `ValueError` for each problem.

    Attributes:
        cl: The class.
        problems: The problems, in the order of the fields.
    """

    def __new__(cls, cl: type, problems: Sequence[Problem]) -> Self:
        return super().__new__(cls, _text(cl, problems), [ValueError(str(problem)) for problem in problems], cl)

    def __init__(self, cl: type, problems: Sequence[Problem]) -> None:
        super().__init__(_text(cl, problems))
        self.problems = tuple(problems)

    def derive(self, excs: Sequence[Exception]) -> ClassValidationError:  # type: ignore[override]  # a part has no problems list of its own
        """A plain group of some of the exceptions, for `split` and `except*`."""
        return ClassValidationError(self.what, excs, self.cl)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cl, self.problems)


def _text(cl: type, problems: Sequence[Problem]) -> str:
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join(
        [f"{count} in the configuration of {cl.__qualname__}", *(f"  - {problem}" for problem in problems)]
    )
