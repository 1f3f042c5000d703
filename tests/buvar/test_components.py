"""Layers and stacks of components."""

import collections.abc
import pickle

import pytest

from buvar import components
from buvar.components import ComponentLookupError, Components, Layer


class Base:
    pass


class Derived(Base):
    pass


def test_add_and_get():
    """CTX-01 CTX-02: an item is filed under all its classes, under those of a class given, or under any other value."""
    stack = Components()
    item = Derived()

    assert stack.add(item) is item
    assert stack.get(Derived) is stack.get(Base) is stack.get(object) is item
    other = stack.add(Derived(), Base)
    assert stack.get(Base) is other
    assert stack.get(Derived) is item
    text = stack.add("x", "somewhere")
    assert stack.get("somewhere") == text
    with pytest.raises(ComponentLookupError):
        stack.get(str)
    named = stack.add(Derived(), name=b"any hashable")
    assert stack.get(Base, name=b"any hashable") is named


def test_a_class_is_no_component():
    """CTX-03: adding a class is refused, under a namespace too."""
    for arguments in [(Base,), (Base, "name"), (type,)]:
        with pytest.raises(ValueError, match=r"^A component should be an instance\.$"):
            Components().add(*arguments)


def test_later_adds_replace():
    """CTX-04: the last add of a namespace and name wins, under shared bases too."""
    stack = Components()
    stack.add(True)
    assert stack.get(int) is True
    stack.add(5)
    assert stack.get(int) == 5
    assert stack.get(bool) is True
    stack.add("one", name="n")
    stack.add("two", name="n")
    assert stack.get(str, name="n") == "two"


def test_newer_layers_first():
    """CTX-05: look-up walks from the newest layer down; a name never falls back to the unnamed item."""
    low = Components()
    low.add("low")
    low.add("named", name="n")
    high = low.push()

    assert high.get(str) == "low"
    assert high.get(str, name="n") == "named"
    high.add("high")
    assert (high.get(str), low.get(str)) == ("high", "low")
    with pytest.raises(ComponentLookupError):
        high.get(str, name="other")


def test_a_miss():
    """CTX-06: a miss raises with its objects in args, or gives the default; virtual subclasses are not found."""
    stack = Components()
    stack.add("x")

    with pytest.raises(ComponentLookupError) as info:
        stack.get(int)
    assert info.value.args == ("Component not found", int, None, components.MISSING)
    assert isinstance(info.value, LookupError)
    assert str(info.value) == ("no component under int\n  fix:   add it before it is asked for, or pass default=")
    assert stack.get(int, default=None) is None
    assert stack.get(str, name="n", default=3) == 3
    with pytest.raises(ComponentLookupError):
        stack.get(collections.abc.Hashable)
    assert repr(components.MISSING) == "MISSING"
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)


def test_a_miss_names_what_is_near():
    """CTX-06: a misspelt name is corrected, another name is listed."""
    stack = Components()
    stack.add("x", name="primary")
    stack.add("y", name="backup")

    with pytest.raises(ComponentLookupError) as info:
        stack.get(str, name="primry")
    assert str(info.value) == "no component under str with the name 'primry'\n  fix:   did you mean 'primary'?"
    with pytest.raises(ComponentLookupError) as info:
        stack.get(str)
    assert str(info.value) == "no component under str\n  fix:   there are these names: 'backup', 'primary'"
    with pytest.raises(ComponentLookupError) as info:
        stack.get("key")
    assert info.value.what == "no component under 'key'"


def test_find():
    """CTX-07: all items of a namespace, by name, newer layers winning; a new dict each time."""
    low = Components()
    low.add("low")
    low.add("a", name="a")
    high = low.push()
    high.add("b", name="b")
    high.add("newer", name="a")

    found = high.find(str)
    assert found == {None: "low", "a": "newer", "b": "b"}
    found.clear()
    assert high.find(str)
    assert high.find(int) == {}


def test_push_and_pop():
    """CTX-08 decision 20: both give new Components; a layer is taken as it is, a mapping is read once."""
    low = Components()
    low.add("low")
    layer, between = Layer({str: {None: "layer"}}), {int: {None: 1, "n": 2}}

    pushed = low.push(layer, between)
    between[int][None] = 3

    assert pushed.stack[0] is layer
    assert pushed.stack[-1] is low.stack[0]
    assert (pushed.get(str), pushed.get(int), pushed.get(int, name="n")) == ("layer", 1, 2)
    pushed.add(b"new")
    assert layer[bytes] == {None: b"new"}
    assert low.get(str) == "low"
    assert pushed.pop().pop().get(str) == "low"
    assert low.get(bytes, default=None) is None
    (fresh,) = low.pop().stack
    assert dict(fresh) == {}
    assert low.push(Layer()).get(str) == "low"
    assert low.push({str: {None: "given"}}).get(str) == "given"


def test_layers_are_read_only_mappings():
    """CTX-08 decision 20: the stack shows namespaces, names and items, and cannot be written through."""
    stack = Components()
    stack.add("x")
    stack.add("y", name="n")
    stack.add("z", "only named", name="n")
    (layer,) = stack.stack

    assert dict(layer) == {str: {None: "x", "n": "y"}, object: {None: "x", "n": "y"}, "only named": {"n": "z"}}
    assert len(layer) == 3
    with pytest.raises(KeyError):
        layer[int]
    with pytest.raises(TypeError):
        layer[int] = {}
    layer[str].clear()
    assert stack.get(str) == "x"
    assert repr(layer) == "<Layer of 3 namespaces>"
    assert repr(stack) == "<Components of 1 layers>"


def test_chains():
    """Equal keys in equal places have the identical chain; a new key, a push and an owner lead to another."""
    low = Components()
    one, other = low.push(), low.push()
    assert one.chain is other.chain
    one.add("x")
    assert one.chain is not other.chain
    other.add("y")
    assert one.chain is other.chain
    one.add("z")
    assert one.chain is other.chain
    before = one.chain
    low.add(1)
    assert one.chain is not before
    assert one.chain is other.chain
    other.add("w", name="n")
    assert one.chain is not other.chain
    mirrored = Components(Layer({str: {None: 1}, object: {None: 1}}), *low.stack)
    assert mirrored.chain is one.chain


def test_chains_and_late_additions():
    """A key that arrives in a shared layer between two looks is never missed, whatever order they come in."""
    low = Components()
    high = low.push()
    before = high.chain
    low.add("x")
    high.add(1)
    assert high.chain is not before
    twin = low.push()
    twin.add(2)
    assert high.chain is twin.chain


def test_a_push_while_others_add(monkeypatch):
    """A step that was taken while a key arrived elsewhere is not remembered."""
    low = Components()
    low.chain
    original = components._chains.of

    def of(layers):
        components._chains.epoch += 1
        return original(layers)

    monkeypatch.setattr(components._chains, "of", of)
    low.chain.pushed.clear()
    low.push()

    assert low.chain.pushed == {}


def test_owners():
    """A layer has one owner; owners of different kinds make different chains."""
    stack = Components()
    plain = stack.chain

    assert stack.own("me")
    assert not stack.own("you")
    assert stack.chain is not plain
    stack.disown("you")
    assert stack.stack[0].owner == "me"
    stack.disown("me")
    assert stack.chain is plain
    assert stack.push_fresh(1).chain is not stack.push().chain


def test_chains_are_bounded(monkeypatch):
    """However many different keys there are, only so many chains are remembered."""
    monkeypatch.setattr(components, "_CHAIN_LIMIT", 10)
    stack = Components()
    for number in range(50):
        stack.push().add(number, name=f"n{number}")
        stack.push().chain
        pushed = stack.push()
        pushed.add(number, name=f"m{number}")
        pushed.chain
    chains = components._chains
    ways = [len(start.grown) + len(start.grown_named) + len(start.pushed) for start in (*chains.starts, stack.chain)]

    assert len(chains.known) + len(chains.starts) <= 12
    assert sum(ways) <= 30


def test_ways_are_bounded(monkeypatch):
    """However many ways lead from chain to chain, only so many are remembered."""
    import itertools

    chains = components._chains
    chains._forget()
    monkeypatch.setattr(components, "_CHAIN_LIMIT", 31)
    # all sets of keys first, by one way each; then all other ways between them
    sets = [names for count in range(5) for names in itertools.combinations("abcd", count)]
    for names in (*sets, *itertools.permutations("abcd")):
        stack = Components()
        stack.chain
        for name in names:
            stack.add(1, name=name)
            assert len(chains.starts) <= 31
        assert stack.chain is chains.of(stack.layers)


def test_over():
    """CTX-08: layers are put on top of others, once; what stands there already stays as it is."""
    base = Components()
    base.add(1)
    own = Components()
    own.add("own")
    both = own.over(base)
    assert (both.get(str), both.get(int)) == ("own", 1)
    assert both.over(base) is both
    assert base.over(base) is base
