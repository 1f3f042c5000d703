"""The small helpers."""

import pytest

from buvar import names, util


def test_names_are_offered_here_too():
    """PLG-14: the two helpers for names are part of `util`."""
    assert util.fqdn is names.fqdn
    assert util.resolve_dotted_name is names.resolve_dotted_name


def test_merge_dict():
    """PLG-14: mappings merge in depth, later ones win, anything replaces anything, sources stay as they are."""
    low = {"a": {"x": 1, "y": {"z": 1}}, "b": 1, "c": {"deep": 1}}
    high = {"a": {"y": {"w": 2}}, "b": {"now": "a dict"}, "c": 3}

    merged = util.merge_dict(low, high)

    assert merged == {"a": {"x": 1, "y": {"z": 1, "w": 2}}, "b": {"now": "a dict"}, "c": 3}
    merged["a"]["y"]["z"] = 9
    merged["b"]["now"] = 9
    assert low["a"]["y"] == {"z": 1}
    assert high["b"] == {"now": "a dict"}
    assert util.merge_dict() == {}


def test_merge_dict_into():
    """PLG-14: with dest, that is changed in place, lies below the sources and is returned."""
    dest = {"a": {"x": 1}, "b": 1}

    assert util.merge_dict({"a": {"y": 2}}, dest=dest) is dest
    assert dest == {"a": {"x": 1, "y": 2}, "b": 1}


def test_adict():
    """PLG-14: items are attributes."""
    data = util.adict(a=1)
    data.b = 2

    assert (data.a, data["b"]) == (1, 2)
    del data.a
    assert data == {"b": 2}
    with pytest.raises(AttributeError, match="^a$"):
        data.a
    with pytest.raises(AttributeError, match="^a$"):
        del data.a
    assert not hasattr(data, "__deepcopy__")


def test_cached():
    """PLG-14: a function is called once for each set of arguments."""
    calls = []

    @util.cached
    def double(number):
        """Twice."""
        calls.append(number)
        return number * 2

    assert [double(1), double(1), double(2)] == [2, 2, 4]
    assert calls == [1, 2]
    assert double.__doc__ == "Twice."


def test_methdispatch():
    """PLG-14: a method chooses by the type of its first argument."""

    class Shows:
        @util.methdispatch
        def show(self, value, *, loud=False):
            return f"something {loud}"

        @show.register(int)
        def _(self, value, *, loud=False):
            return f"a number {loud}"

    assert Shows().show("x") == "something False"
    assert Shows().show(True, loud=True) == "a number True"
