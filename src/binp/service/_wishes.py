"""Which of the commands that are kept in the store are still to be obeyed here."""

from __future__ import annotations

import secrets

from binp.store.contract import ServiceRow

__all__ = ["Wishes"]


class Wishes:
    """Commands for services, told apart by what each of them carries: clocks do not do.

    A command that is given where the services run is obeyed at once, and kept for whoever takes over. When it is
    committed it comes back, among those of other processes, and is not obeyed a second time. Whatever is committed last
    is obeyed in the end. Only that is read; a command to stop that came before it is known by what the row tells of it.
    """

    def __init__(self) -> None:
        #: given and obeyed here, not seen to be committed, in order
        self._given: dict[str, list[str]] = {}
        #: the latest that was obeyed
        self._obeyed: dict[str, str | None] = {}
        #: the latest to stop and the latest to start that were seen to be committed
        self._seen: dict[tuple[str, bool], str | None] = {}

    def give(self, name: str) -> str:
        """A command is given and obeyed here. Returns what it is to be kept with."""
        wish = secrets.token_hex(8)
        self._given.setdefault(name, []).append(wish)
        self._obeyed[name] = wish
        return wish

    def news(self, row: ServiceRow) -> list[bool]:
        """What is to be done here because of what is committed, in order: to start (True) and to stop it (False).

        It then counts as obeyed.
        """
        given = self._given.get(row.name, [])
        last, other = (row.name, bool(row.desired)), (row.name, not row.desired)
        # of what was before it was looked at first nothing is to be done any more
        is_news_before = row.before not in given and self._seen.get(other, row.before) != row.before
        self._seen[last], self._seen[other] = row.wish, row.before
        if not self._is_news(row.name, row.wish, given):
            return []
        return [not row.desired, bool(row.desired)] if is_news_before else [bool(row.desired)]

    def _is_news(self, name: str, wish: str | None, given: list[str]) -> bool:
        if wish in given:
            del given[: given.index(wish) + 1]
            if given:
                # a later one from here has been obeyed, and is about to be committed
                return False
        if self._obeyed.get(name) == wish:
            return False
        self._obeyed[name] = wish
        return True
