"""What can go wrong in dependency injection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buvar.errors import BuvarError
from buvar.names import fqdn


class ResolveError(BuvarError, LookupError):
    """Something that was asked for cannot be built.

    ``args`` is ``(message, target, errors)``. `where` draws what was tried, `fix` says what would help.

    Attributes:
        target: What was asked for; a tuple when there were several.
        errors: For each adapter that was tried, why it could not be used.
    """

    def __init__(
        self,
        what: str = "",
        target: Any = None,
        errors: Sequence[ResolveError] = (),
        *,
        where: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what, target, list(errors), where=where, fix=fix)
        self.target = target
        self.errors = list(errors)


class AdapterError(BuvarError, TypeError):
    """A callable cannot serve as an adapter, or its signature cannot be read.

    Attributes:
        implementation: The callable.
        problem: What is the matter with it.
    """

    def __init__(self, implementation: Any = None, problem: str = "", *, fix: str | None = None) -> None:
        super().__init__(f"{fqdn(implementation).replace('<locals>.', '')} {problem}", fix=fix)
        self.args = (implementation, problem)
        self.implementation = implementation
        self.problem = problem
