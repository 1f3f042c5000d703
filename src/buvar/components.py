"""A stack of layers in which each item is registered by type, base classes and name."""

from __future__ import annotations

import enum
import threading
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final, TypeVar, overload

from buvar.errors import BuvarError
from buvar.names import did_you_mean, fqdn

__all__ = ["MISSING", "Chain", "ComponentLookupError", "Components", "Layer", "Missing"]

T = TypeVar("T")
D = TypeVar("D")

#: How many distinct sets of keys to remember before the cache is cleared.
_CHAIN_LIMIT = 4096


class Missing(enum.Enum):
    """The type of `MISSING`, which means that no value was given; `None` is a value."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


#: Means that no value was given.
MISSING: Final = Missing.MISSING


class ComponentLookupError(BuvarError, LookupError):
    """There is no such component; ``args`` is ``(message, namespace, name, default)``."""

    def __init__(self, what: str, namespace: object = None, name: object = None, default: object = MISSING) -> None:
        super().__init__(what, namespace, name, default)
        self.namespace = namespace
        self.name = name
        title = fqdn(namespace) if isinstance(namespace, type) else repr(namespace)
        self.what = f"no component under {title}" + ("" if name is None else f" with the name {name!r}")
        self.fix = "add it before it is asked for, or pass default="


class Layer(Mapping[Hashable, Mapping[Hashable, Any]]):
    """One layer of a stack. From outside a read-only mapping ``{namespace: {name: item}}``; name `None` is "unnamed".

    Items are never removed from a layer, so a key that exists stays valid.

    Args:
        items: Copied; later changes of the mapping have no effect.
        owner: An object that the layer belongs to; `buvar.di` stores its scopes there.
    """

    __slots__ = ("keyset", "named", "owner", "plain", "shared")

    def __init__(
        self, items: Mapping[Hashable, Mapping[Hashable, Any]] | None = None, *, owner: object | None = None
    ) -> None:
        #: The unnamed items: namespace to item.
        self.plain: dict[Hashable, Any] = {}
        #: The named items: namespace to name to item.
        self.named: dict[Hashable, dict[Hashable, Any]] = {}
        self.owner = owner
        #: Whether several stacks may contain it, so that a new key affects them too.
        self.shared = False
        #: The existing keys; None until requested, and again after a new key.
        self.keyset: frozenset[Hashable] | None = None
        if items is not None:
            self._read(items)

    def _read(self, items: Mapping[Hashable, Mapping[Hashable, Any]]) -> None:
        for namespace, by_name in items.items():
            for name, item in by_name.items():
                if name is None:
                    self.plain[namespace] = item
                else:
                    self.named.setdefault(namespace, {})[name] = item

    def __getitem__(self, namespace: Hashable) -> Mapping[Hashable, Any]:
        found = dict(self.named.get(namespace, ()))
        if namespace in self.plain:
            found[None] = self.plain[namespace]
        elif not found:
            raise KeyError(namespace)
        return found

    def __iter__(self) -> Iterator[Hashable]:
        yield from self.plain
        yield from (namespace for namespace in self.named if namespace not in self.plain)

    def __len__(self) -> int:
        return len(self.plain.keys() | self.named.keys())

    def __repr__(self) -> str:
        return f"<Layer of {len(self)} namespaces>"

    def keys_now(self) -> frozenset[Hashable]:
        """All existing pairs of (namespace, name), together with the type of the owner."""
        keys = self.keyset
        if keys is None:
            with _lock:
                pairs: set[Any] = {(namespace, None) for namespace in self.plain}
                pairs.update((namespace, name) for namespace, by_name in self.named.items() for name in by_name)
                if self.owner is not None:
                    pairs.add(type(self.owner))
                keys = self.keyset = frozenset(pairs)
        return keys


#: Held while keys are added or counted, so that no chain is computed from a half-filled layer.
_lock = threading.RLock()
_acquire, _release = _lock.acquire, _lock.release
_new = object.__new__


class Chain:
    """Represents *which* keys exist in each layer of a stack, independent of their values.

    Two stacks with the same keys in the same layers have the identical chain, as long as it is remembered. So anything
    that only depends on the presence of components can be cached by chain.
    """

    __slots__ = ("grown", "grown_named", "pushed")

    def __init__(self) -> None:
        #: The chain after adding an unnamed key to the newest layer.
        self.grown: dict[Hashable, Chain] = {}
        #: The chain after adding a named key.
        self.grown_named: dict[tuple[Hashable, Hashable], Chain] = {}
        #: The chain after pushing an empty layer, by the type of its owner.
        self.pushed: dict[type, Chain] = {}


class _Chains:
    """All chains and the transitions between them; the cache is cleared when it grows too large."""

    def __init__(self) -> None:
        #: Number of new keys in shared layers; a chain computed at a different count is stale.
        self.epoch = 0
        self.known: dict[tuple[frozenset[Hashable], ...], Chain] = {}
        #: Chains with transitions to others, including chains in use that are no longer in `known`.
        self.starts: list[Chain] = []

    def of(self, layers: tuple[Layer, ...]) -> Chain:
        """The chain of these layers; equal keys in equal layers give the identical chain."""
        with _lock:
            shape = tuple([layer.keys_now() for layer in layers])
            chain = self.known.get(shape)
            if chain is None:
                if len(self.known) + len(self.starts) >= _CHAIN_LIMIT:
                    self._forget()
                chain = self.known[shape] = Chain()
            return chain

    def lead(self, start: Chain, ways: dict[Any, Chain], step: Any, goal: Chain) -> Chain:
        """Remember *goal* as the result of *step*, in *ways*, a transition table of *start*."""
        with _lock:
            if len(self.starts) >= _CHAIN_LIMIT:
                self._forget()
            self.starts.append(start)
            ways[step] = goal
            return goal

    def _forget(self) -> None:
        self.known.clear()
        for start in self.starts:
            for ways in (start.grown, start.grown_named, start.pushed):
                ways.clear()
        self.starts.clear()


_chains = _Chains()


class Components:
    """Layers of items, newest first. Adding writes to the newest layer; lookups search all of them.

    Without a namespace, an item is registered under every class in the MRO of its type, including ``object``. With a
    class as namespace, it is registered under the MRO of that class; with any other hashable, only under that.

    Args:
        stack: Layers, or mappings ``{namespace: {name: item}}`` that are copied, newest first; none means one empty
            layer.
    """

    __slots__ = ("_chain", "_epoch", "_plain", "_top", "layers")

    def __init__(self, *stack: Mapping[Hashable, Mapping[Hashable, Any]]) -> None:
        self.layers: tuple[Layer, ...] = tuple([_shared_layer(layer) for layer in stack]) or (Layer(),)
        self._top = self.layers[0]
        self._plain = self._top.plain
        self._chain: Chain | None = None
        self._epoch = -1

    def __repr__(self) -> str:
        return f"<Components of {len(self.layers)} layers>"

    @property
    def stack(self) -> tuple[Layer, ...]:
        """The layers as read-only mappings, newest first."""
        return self.layers

    def add(self, item: T, namespace: Hashable | None = None, *, name: Hashable | None = None) -> T:
        """Add an item to the newest layer, replacing one of the same namespace and name in that layer.

        Returns:
            The item.

        Raises:
            ValueError: the item is a class.
        """
        if isinstance(item, type):
            raise ValueError("A component should be an instance.")  # noqa: TRY004 - the contract names the class
        key: Any = type(item) if namespace is None else namespace
        filed = key.__mro__ if namespace is None or isinstance(key, type) else (key,)
        # acquire and release by hand: a `with` block costs more than everything else here
        _acquire()
        try:
            if name is None:
                plain = self._plain
                before = len(plain)
                for base in filed:
                    plain[base] = item
                if len(plain) != before:
                    chain, top = self._chain, self._top
                    if chain is not None and key in chain.grown and self._epoch == _chains.epoch and not top.shared:
                        # what `_follow` would do, without the call
                        top.keyset = None
                        self._chain = chain.grown[key]
                    else:
                        self._follow(key, name)
            elif self._file_named(item, filed, name):
                self._follow(key, name)
        finally:
            _release()
        return item

    def _follow(self, key: Hashable, name: Hashable | None) -> None:
        """Move on to the chain that includes a new key."""
        top = self._top
        top.keyset = None
        chain = self._chain
        if top.shared:
            _chains.epoch += 1
        elif chain is None or self._epoch != _chains.epoch:
            self._chain = None
        elif name is None:
            self._chain = chain.grown.get(key) or self._lead(chain, chain.grown, key)
        else:
            step = (key, name)
            self._chain = chain.grown_named.get(step) or self._lead(chain, chain.grown_named, step)

    def _file_named(self, item: Any, filed: tuple[Any, ...], name: Hashable) -> bool:
        """Register an item under a name; returns whether any of its keys is new."""
        named = self._top.named
        is_new = False
        for base in filed:
            by_name = named.get(base)
            if by_name is None:
                by_name = named[base] = {}
            if name not in by_name:
                is_new = True
            by_name[name] = item
        return is_new

    def _lead(self, chain: Chain, ways: dict[Any, Chain], step: Hashable) -> Chain:
        """The chain of these layers; remembers it as one step away from *chain*."""
        return _chains.lead(chain, ways, step, _chains.of(self.layers))

    @overload
    def get(self, namespace: type[T], *, name: Hashable | None = None) -> T: ...
    @overload
    def get(self, namespace: type[T], *, name: Hashable | None = None, default: D) -> T | D: ...
    @overload
    def get(self, namespace: Hashable, *, name: Hashable | None = None, default: Any = ...) -> Any: ...
    def get(self, namespace: Any, *, name: Hashable | None = None, default: Any = MISSING) -> Any:
        """The item under *namespace* and *name* in the newest layer that has one. A name never falls back to unnamed.

        Raises:
            ComponentLookupError: there is no such item, and no *default* was given.
        """
        if name is None:
            plain = self._plain
            if namespace in plain:
                return plain[namespace]
            for layer in self.layers:
                plain = layer.plain
                if namespace in plain:
                    return plain[namespace]
        else:
            for layer in self.layers:
                by_name = layer.named.get(namespace)
                if by_name is not None and name in by_name:
                    return by_name[name]
        if default is not MISSING:
            return default
        error = ComponentLookupError("Component not found", namespace, name, default)
        names = [str(known) for known in self.find(namespace) if known is not None]
        near = None if name is None else did_you_mean(str(name), names)
        if near:
            error.fix = f"did you mean {near!r}?"
        elif names:
            error.fix = "there are these names: " + ", ".join(map(repr, sorted(names)))
        raise error

    def find(self, namespace: Hashable) -> dict[Hashable, Any]:
        """All items under *namespace*, by name; `None` is the unnamed one. Newer layers take precedence."""
        found: dict[Hashable, Any] = {}
        for layer in reversed(self.layers):
            if namespace in layer.plain:
                found[None] = layer.plain[namespace]
            found.update(layer.named.get(namespace, ()))
        return found

    def over(self, base: Components) -> Components:
        """These layers on top of those of *base*; unchanged if they are on top of them already."""
        return self if self.layers[-len(base.layers) :] == base.layers else base.push(*self.stack)

    def push(
        self,
        namespaces: Mapping[Hashable, Mapping[Hashable, Any]] | None = None,
        *stack: Mapping[Hashable, Mapping[Hashable, Any]],
    ) -> Components:
        """A new stack: *namespaces* on top (an empty layer if `None`), then *stack*, then the present layers.

        A `Layer` is used as it is; any other mapping ``{namespace: {name: item}}`` is copied.
        """
        if namespaces is None and not stack:
            return self.push_fresh(None)
        self._top.shared = True
        return Components(Layer() if namespaces is None else namespaces, *stack, *self.layers)

    def push_fresh(self, owner: object) -> Components:
        """A new stack with an empty layer on top, owned by *owner*, which may be None; faster than `push`."""
        top: Layer = _new(Layer)
        top.plain = {}
        top.named = {}
        top.owner = owner
        top.shared = False
        top.keyset = None
        self._top.shared = True
        pushed: Components = _new(Components)
        pushed.layers = (top, *self.layers)
        pushed._top = top
        pushed._plain = top.plain
        chain = self._chain
        epoch = pushed._epoch = _chains.epoch
        if chain is None or self._epoch != epoch:
            chain = self.chain
        kind = type(owner)
        known = chain.pushed.get(kind)
        if known is None:
            known = _chains.of(pushed.layers)
            if _chains.epoch == epoch:
                _chains.lead(chain, chain.pushed, kind, known)
        pushed._chain = known
        return pushed

    def pop(self) -> Components:
        """A new stack without the newest layer; if it was the only one, with a single empty layer."""
        return Components(*self.layers[1:])

    def own(self, owner: object) -> bool:
        """Set the owner of the newest layer; returns False if it has one already."""
        with _lock:
            if self._top.owner is not None:
                return False
            self._set_owner(self._top, owner)
            return True

    def disown(self, owner: object) -> None:
        """Remove *owner* from every layer that it owns."""
        with _lock:
            for layer in self.layers:
                if layer.owner is owner:
                    self._set_owner(layer, None)

    def _set_owner(self, layer: Layer, owner: object | None) -> None:
        layer.owner = owner
        layer.keyset = None
        _chains.epoch += 1

    @property
    def chain(self) -> Chain:
        """The chain of the keys that exist in these layers now."""
        chain = self._chain
        if chain is None or self._epoch != _chains.epoch:
            self._epoch = _chains.epoch
            chain = self._chain = _chains.of(self.layers)
        return chain


def _shared_layer(layer: Mapping[Hashable, Mapping[Hashable, Any]]) -> Layer:
    if not isinstance(layer, Layer):
        return Layer(layer)
    layer.shared = True
    return layer
