"""Commands that come back when they are committed: each is obeyed once, and the last one in the end."""

from __future__ import annotations

import pytest

from binp.service._wishes import Wishes
from binp.store.contract import ServiceRow

START, STOP, RESTART, NEITHER = [True], [False], [False, True], [True, False]


class Row:
    """The row of a service, as commands change it; what it says to somebody who reads it."""

    def __init__(self, wishes):
        self.wishes = wishes
        self.wish = self.before = self.running = None

    def commit(self, wish, *, running):
        self.before = self.before if running is self.running else self.wish
        self.wish, self.running = wish, running

    def read(self):
        return self.wishes.news(
            ServiceRow(
                name="s",
                desired=self.running,
                desired_at=1,
                wish=self.wish,
                before=self.before,
                status=None,
                node=None,
                updated=1,
            )
        )


@pytest.fixture
def wishes():
    return Wishes()


@pytest.fixture
def row(wishes):
    """The row, which was looked at when the services were begun."""
    made = Row(wishes)
    made.commit(wishes.give("s"), running=True)
    assert made.read() == []
    return made


def test_what_was_given_here_is_no_news(wishes, row):
    """A command that was obeyed when it was given is not obeyed again, in whatever steps it is committed."""
    first, second, third = given = [wishes.give("s") for _ in range(3)]
    assert len(set(given)) == 3
    row.commit(first, running=False)
    assert row.read() == []
    row.commit(second, running=True)
    row.commit(third, running=False)
    assert (row.read(), row.read()) == ([], [])


def test_what_was_given_elsewhere_is_news_once(row):
    """A command of another process is obeyed when it is seen, and not again when the row changes otherwise."""
    row.commit("a", running=False)
    assert (row.read(), row.read()) == (STOP, [])
    row.commit("b", running=True)
    assert (row.read(), row.read()) == (START, [])


def test_the_last_that_was_committed_wins(wishes, row):
    """Given here while another process's is on its way: whatever is committed last is obeyed last."""
    own = wishes.give("s")
    row.commit("elsewhere", running=False)
    assert row.read() == STOP
    row.commit(own, running=True)
    assert row.read() == START

    own = wishes.give("s")
    row.commit(own, running=False)
    assert row.read() == []
    row.commit("elsewhere again", running=True)
    assert row.read() == START


def test_a_restart_of_elsewhere_is_one(row):
    """Stopped and started before it is looked at, it is stopped and started, once."""
    row.commit("stop", running=False)
    row.commit("start", running=True)
    assert (row.read(), row.read()) == (RESTART, [])
    row.commit("start again", running=True)
    assert row.read() == START
    for number in range(3):
        row.commit(f"stop {number}", running=False)
        row.commit(f"start {number}", running=True)
    assert row.read() == RESTART
    row.commit("start and", running=True)
    row.commit("stop", running=False)
    assert (row.read(), row.read()) == (NEITHER, [])
    row.commit("stop again", running=False)
    assert row.read() == STOP


def test_a_restart_of_here_is_none_for_elsewhere(wishes, row):
    """Stopped and started here, and started elsewhere: what was obeyed at once is not obeyed again."""
    stop, start = wishes.give("s"), wishes.give("s")
    row.commit(stop, running=False)
    row.commit("elsewhere", running=True)
    assert row.read() == START
    row.commit(start, running=True)
    assert row.read() == START
    row.commit("elsewhere again", running=True)
    assert row.read() == START

    stop, start = wishes.give("s"), wishes.give("s")
    row.commit(stop, running=False)
    row.commit("stop elsewhere", running=False)
    row.commit(start, running=True)
    assert row.read() == []
    row.commit("start elsewhere", running=True)
    assert row.read() == START


def test_what_was_before_it_was_looked_at_is_over():
    """A service that was stopped in another life of the program is not restarted when it is started the first time."""
    row = Row(Wishes())
    row.commit("long ago", running=False)
    row.commit("now", running=True)
    assert row.read() == START
