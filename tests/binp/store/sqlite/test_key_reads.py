"""Keys as they are read."""

from binp.store.sqlite._key_reads import _behind


def test_the_text_behind_a_prefix():
    """The first text that does not begin with a prefix any more, across the gap of the surrogates."""
    assert _behind("a") == "b"
    assert _behind("a\U0010ffff") == "b"
    assert _behind("\ud7ff") == "\ue000"
    assert _behind("\U0010ffff") == ""
    assert _behind("") == ""
