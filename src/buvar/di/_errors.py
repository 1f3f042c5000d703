"""The errors of dependency injection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buvar.errors import BuvarError
from buvar.names import fqdn


class ResolveError(BuvarError, LookupError):
    """A requested object cannot be built.

    ``args`` is ``(message, target, errors)``. `where` shows what was tried, `fix` what would help.

    Attributes:
        target: The requested type; a tuple if there were several.
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
    """A callable cannot be used as an adapter, or its signature cannot be read.

    Attributes:
        implementation: The callable.
        problem: Why not.
    """

    def __init__(self, implementation: Any = None, problem: str = "", *, fix: str | None = None) -> None:
        super().__init__(f"{fqdn(implementation).replace('<locals>.', '')} {problem}", fix=fix)
        self.args = (implementation, problem)
        self.implementation = implementation
        self.problem = problem
