"""Which of the commands that are kept in the store are still to be obeyed here."""

from __future__ import annotations

import secrets

__all__ = ["Wishes"]


class Wishes:
    """Commands for services, told apart by what each of them carries: clocks do not do.

    A command that is given where the services run is obeyed at once, and kept for whoever takes over. When it is
    committed it comes back, among those of other processes, and is not obeyed a second time. Whatever is committed last
    is obeyed in the end.
    """

    def __init__(self) -> None:
        #: given and obeyed here, not seen to be committed, in order
        self._given: dict[str, list[str]] = {}
        #: the latest that was obeyed
        self._obeyed: dict[str, str | None] = {}

    def give(self, name: str) -> str:
        """A command is given and obeyed here. Returns what it is to be kept with."""
        wish = secrets.token_hex(8)
        self._given.setdefault(name, []).append(wish)
        self._obeyed[name] = wish
        return wish

    def is_news(self, name: str, wish: str | None) -> bool:
        """Whether the committed command *wish* is to be obeyed; it then counts as obeyed."""
        given = self._given.get(name, [])
        if wish in given:
            del given[: given.index(wish) + 1]
            if given:
                # a later one from here has been obeyed, and is about to be committed
                return False
        if self._obeyed.get(name) == wish:
            return False
        self._obeyed[name] = wish
        return True
