"""How errors of the kernel read."""

import pickle

from buvar import errors


class NoSuchThing(errors.BuvarError, LookupError):
    """One of several kinds."""


def test_what_where_and_fix():
    """An error keeps its parts and renders them; lines are indented under each other."""
    error = errors.BuvarError("it broke", {"the": "object"}, where="here\nthere", fix="mend it\nwell")

    assert (error.what, error.where, error.fix) == ("it broke", "here\nthere", "mend it\nwell")
    assert error.args == ("it broke", {"the": "object"})
    assert str(error) == "it broke\n  where: here\n         there\n  fix:   mend it\n         well"


def test_parts_may_be_absent():
    """Where and fix are shown only where there are some."""
    assert str(errors.BuvarError("it broke")) == "it broke"
    assert str(errors.BuvarError("it broke", fix="mend it")) == "it broke\n  fix:   mend it"


def test_mixed_with_builtin_errors():
    """A subclass may be a builtin error as well, and survives pickling."""
    error = pickle.loads(pickle.dumps(NoSuchThing("gone", 1, where="here")))

    assert isinstance(error, LookupError)
    assert isinstance(error, errors.Explained)
    assert error.args == ("gone", 1)
    assert str(error) == "gone\n  where: here"
