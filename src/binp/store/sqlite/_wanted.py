"""Translate a query into expressions for the index of runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from binp.store.contract import FINISHED, Condition, Key, RunQuery, State

from ._open_run import CODES, STATES
from ._text import clean_name

__all__ = ["Lookup", "Wanted", "wanted_of"]

#: precedes the letter and the number of a token for a property
_MARK = "\ue000"
#: the letters of properties that are interned names
_NAMED = {Key.ACTION: "o", Key.BY: "a", Key.TRIGGER: "g", Key.NODE: "n"}
_LARGEST = 2**63


@dataclass(slots=True)
class Wanted:
    """What matching runs must have."""

    #: for the index: all of the former, none of the latter
    included: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    #: expressions for very common labels, by label
    common: dict[str, str] = field(default_factory=dict)
    #: for checking single runs: the same, but with the order of words
    looked: list[str] = field(default_factory=list)
    overlooked: list[str] = field(default_factory=list)
    #: nothing can match
    is_impossible: bool = False
    #: it contains words, not only properties
    has_words: bool = False
    #: results of the index have to be checked
    is_rough: bool = False
    #: no ended run can match, so nothing in the index does
    is_unended: bool = False

    def need(self, text: str) -> None:
        """Require a token or word, or one of several."""
        self.included.append(text)
        self.looked.append(text)

    def refuse(self, text: str) -> None:
        """Exclude a token or word."""
        self.excluded.append(text)
        self.overlooked.append(text)

    @property
    def is_everything(self) -> bool:
        """Whether every run matches."""
        return not (self.looked or self.overlooked or self.is_impossible)

    @property
    def indexed(self) -> str:
        """The expression for the index."""
        return _expression(self.included, self.excluded)

    @property
    def narrow(self) -> str | None:
        """The same without very common labels; None if there are none, or nothing would be left."""
        rest = [text for text in self.included if text not in self.common]
        return _expression(rest, self.excluded) if rest and self.common else None

    @property
    def expression(self) -> str:
        """The expression for checking single runs."""
        return _expression(self.looked, self.overlooked)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Lookups in the file and in the index."""

    #: return the id of an interned text, and of a label
    name: Callable[[str], int | None]
    label: Callable[[str], int | None]
    #: splits a text into words
    words: Callable[[str], list[str]]
    #: whether a label has so many runs that scanning its list takes long
    is_common: Callable[[str], bool] = lambda _label: False


def wanted_of(query: RunQuery, lookup: Lookup) -> Wanted:
    """The expressions for *query*, except its range of ids."""
    wanted = Wanted()
    states = set(State) if query.states is None else set(query.states)
    for condition in _conditions(query):
        if condition.key is Key.STATE:
            named = {state for state in State if state.value in condition.values}
            states = states - named if condition.negated else states & named
        elif condition.key is Key.TEXT:
            _want_text(wanted, condition, lookup)
        else:
            _want_property(wanted, condition, lookup)
    _want_journal(wanted, query, lookup)
    _want_states(wanted, states)
    return wanted


def _conditions(query: RunQuery) -> Iterable[Condition]:
    if query.operation is not None:
        yield Condition(Key.ACTION, (query.operation,))
    if query.labels:
        yield Condition(Key.LABEL, query.labels)
    if query.parent is not None:
        yield Condition(Key.PARENT, (str(query.parent),))
    yield from query.where


def _want_property(wanted: Wanted, condition: Condition, lookup: Lookup) -> None:
    tokens = []
    for value in dict.fromkeys(condition.values):
        if condition.key is Key.PARENT:
            number = int(value) if value.isdecimal() and len(value) < 20 else _LARGEST
            tokens += [f"p{number}"] if number < _LARGEST else []
        else:
            is_label = condition.key is Key.LABEL
            found = lookup.label(value) if is_label else lookup.name(value)
            tokens += [] if found is None else [f"{'l' if is_label else _NAMED[condition.key]}{found}"]
    if condition.negated:
        for token in tokens:
            wanted.refuse(_token(token))
    elif tokens:
        wanted.need(_any([_token(token) for token in tokens]))
        if condition.key is Key.LABEL and len(condition.values) == 1 and lookup.is_common(condition.values[0]):
            wanted.common[_token(tokens[0])] = clean_name(condition.values[0])
    else:
        wanted.is_impossible = True


def _want_text(wanted: Wanted, condition: Condition, lookup: Lookup) -> None:
    phrases = [words for text in condition.values if (words := lookup.words(text))]
    if not phrases:
        wanted.is_impossible |= not condition.negated
        return
    wanted.has_words = True
    texts = [_quoted(" ".join(words)) for words in phrases]
    if condition.negated:
        wanted.overlooked += texts
        wanted.excluded += [text for text, words in zip(texts, phrases, strict=True) if len(words) == 1]
        wanted.is_rough |= any(len(words) > 1 for words in phrases)
        return
    wanted.looked.append(_any(texts))
    wanted.is_rough |= any(len(words) > 1 for words in phrases)
    wanted.included.append(_any([_all([_quoted(word) for word in words]) for words in phrases]))


def _want_journal(wanted: Wanted, query: RunQuery, lookup: Lookup) -> None:
    same, other = _token("j"), _token("k")
    if query.journal is None:
        if query.journaled:
            wanted.need(_any([same, other]))
        return
    found = lookup.name(query.journal)
    if found is None:
        wanted.is_impossible = True
        return
    # operation and journal nearly always have the same name
    wanted.need(f"({_all([same, _token(f'o{found}')])} OR {_token(f'i{found}')})")


def _want_states(wanted: Wanted, states: set[State]) -> None:
    if not states:
        wanted.is_impossible = True
    elif len(states) < len(STATES):
        wanted.is_unended = not states & FINISHED
        if wanted.included and 2 * len(states) > len(STATES):
            # only checked for other matches, so that the long lists of frequent states are not scanned
            wanted.refuse(_states(set(STATES) - states))
        else:
            wanted.need(_states(states))


def _states(states: Collection[State]) -> str:
    return _any([_token(f"s{CODES[state]}") for state in STATES if state in states])


def _expression(needed: list[str], refused: list[str]) -> str:
    # a term that matches everything: each run has a state
    text = _all(list(dict.fromkeys(needed or [_states(STATES)])))
    return f"{text} NOT {_any(list(dict.fromkeys(refused)))}" if refused else text


def _all(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({' AND '.join(texts)})"


def _any(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({' OR '.join(texts)})"


def _token(text: str) -> str:
    return _quoted(_MARK + text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
