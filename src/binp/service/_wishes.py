"""Which of the commands that are kept in the store are still to be obeyed here."""

from __future__ import annotations

from binp.runs import now

__all__ = ["Wishes"]


class Wishes:
    """Commands for services, told apart by the microsecond in which they were given.

    A command that is given where the services run is obeyed at once, and kept for whoever takes over. When it is
    committed it comes back, among those of other processes, and is not obeyed a second time. Whatever is committed last
    is obeyed in the end.
    """

    def __init__(self) -> None:
        #: given and obeyed here, not seen to be committed, in order
        self._given: dict[str, list[int]] = {}
        #: the latest that was obeyed
        self._obeyed: dict[str, int | None] = {}

    def give(self, name: str) -> int:
        """A command is given and obeyed here. Returns the time to keep it under."""
        given = self._given.setdefault(name, [])
        at = max(now(), given[-1] + 1) if given else now()
        given.append(at)
        self._obeyed[name] = at
        return at

    def is_news(self, name: str, at: int | None) -> bool:
        """Whether the committed command of *at* is to be obeyed; it then counts as obeyed."""
        given = self._given.get(name, [])
        if at in given:
            del given[: given.index(at) + 1]
            if given:
                # a later one from here has been obeyed, and is about to be committed
                return False
        if self._obeyed.get(name) == at:
            return False
        self._obeyed[name] = at
        return True
