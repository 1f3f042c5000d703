"""Commands that come back when they are committed: each is obeyed once, and the last one in the end."""

from __future__ import annotations

from binp.service._wishes import Wishes


def test_what_was_given_here_is_no_news():
    """A command that was obeyed when it was given is not obeyed again, in whatever steps it is committed."""
    wishes = Wishes()
    first, second, third = (wishes.give("s") for _ in range(3))

    assert len({first, second, third}) == 3
    assert [wishes.is_news("s", wish) for wish in (first, third, third)] == [False, False, False]


def test_what_was_given_elsewhere_is_news_once():
    """A command of another process is obeyed when it is seen, and not again when the row changes otherwise."""
    wishes = Wishes()

    assert [wishes.is_news("s", wish) for wish in ("a", "a", "b")] == [True, False, True]
    assert wishes.is_news("other", "b")


def test_the_last_that_was_committed_wins():
    """Given here while another process's is on its way: whatever is committed last is obeyed last."""
    wishes = Wishes()
    own = wishes.give("s")

    assert wishes.is_news("s", "elsewhere")
    assert wishes.is_news("s", own)

    own = wishes.give("s")
    assert not wishes.is_news("s", own)
    assert wishes.is_news("s", "elsewhere again")
