"""The search language for runs: parse it, render it, and report errors in it.

A query consists of words and conditions, separated by spaces; all of them must hold::

    timeout "card declined" action:charge state:failed,cancelled label:shop=7 -label:test since:2h

It is the same in the console, on the command line, in the HTTP API and in ``binp.journal.search``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import NoReturn

from binp.errors import UsageError

from ._moment import FORMS, BadMoment, moment
from .contract import Condition, Key, RunQuery, State

__all__ = ["KEYS", "LONGEST", "BadQuery", "parse", "render"]

#: what can precede a colon
KEYS = (*(key.value for key in Key if key is not Key.TEXT), "since", "until")

#: synonyms, as used in lists and in the API
_SYNONYMS = {"operation": Key.ACTION.value}

#: maximum length of a query in characters, and maximum number of conditions
LONGEST, _MOST = 1000, 32

#: values of ``state`` besides the names of states
_GROUPS = {"pending": (State.QUEUED.value, State.RUNNING.value)}

_KEY = re.compile(r"([A-Za-z_]+):")
_BARE_VALUE = re.compile(r"[^\s,]+")
_BARE_TEXT = re.compile(r"\S+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
#: values and texts that need no quotes
_PLAIN_VALUE = re.compile(r'[^\s,"\\]+')
_PLAIN_TEXT = re.compile(r'(?![-"])(?![A-Za-z_]+:)\S+')
#: number of characters to show on either side of an error in a query
_AROUND = 40


class BadQuery(UsageError):
    """A query cannot be parsed.

    Attributes:
        query: The query.
        start: Index of the first character of the error.
        stop: Index after its last character.
    """

    def __init__(self, what: str, query: str, start: int, stop: int, *, fix: str) -> None:
        super().__init__(what, query, start, stop, where=_pointed(query, start, stop), fix=fix)
        self.query = query
        self.start = start
        self.stop = stop


def parse(text: str, *, now: datetime | None = None) -> RunQuery:
    """Parse *text*.

    Args:
        text: The query; empty for all runs.
        now: The reference for durations, an aware datetime. Default: this moment.

    Raises:
        BadQuery: it cannot be parsed; says what is wrong, where, and how to fix it.
    """
    return _Parser(text, now or datetime.now(UTC)).parse()


def render(query: RunQuery) -> str:
    """A text that :func:`parse` reads as the conditions, ``since`` and ``until`` of *query*."""
    parts = [
        ("-" if condition.negated else "")
        + (
            _quoted(condition.values[0], _PLAIN_TEXT)
            if condition.key is Key.TEXT
            else f"{condition.key}:{','.join(_quoted(value, _PLAIN_VALUE) for value in condition.values)}"
        )
        for condition in query.where
    ]
    if query.since is not None:
        parts.append(f"since:{_named(query.since)}")
    if query.until is not None:
        # `until` includes the whole of what it names
        parts.append(f"until:{_named(query.until - 1)}")
    return " ".join(parts)


class _Parser:
    """Parses a query from start to end."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now
        self._where: list[Condition] = []
        self._since: int | None = None
        self._until: int | None = None

    def parse(self) -> RunQuery:
        text = self._text
        if len(text) > LONGEST:
            self._refuse("the query is too long", LONGEST, len(text), fix=f"write at most {LONGEST} characters")
        position = self._behind_spaces(0)
        while position < len(text):
            if len(self._where) >= _MOST:
                self._refuse("there are too many conditions", position, len(text), fix=f"write at most {_MOST}")
            position = self._behind_spaces(self._read_part(position))
        return RunQuery(where=tuple(self._where), since=self._since, until=self._until)

    def _read_part(self, position: int) -> int:
        """Parse the word or condition at *position*; returns where it ends."""
        text = self._text
        is_negated = text[position] == "-" and text[position + 1 : position + 2].strip() != ""
        start = position + is_negated
        key = _KEY.match(text, start)
        if key is None:
            value, stop = self._read_value(start, _BARE_TEXT)
            if not any(map(str.isalnum, value)):
                self._refuse(
                    "there are no letters or digits to search for", position, stop, fix="write a word, or leave it out"
                )
            self._where.append(Condition(Key.TEXT, (value,), is_negated))
            return stop
        return self._read_condition(key, is_negated)

    def _read_condition(self, key: re.Match[str], is_negated: bool) -> int:
        name = key[1].lower()
        name = _SYNONYMS.get(name, name)
        if name not in KEYS:
            near = get_close_matches(name, KEYS, n=1)
            quoted = f'for the text, quote it: "{key[1]}:..."'
            fix = f"did you mean {near[0]!r}? {quoted}" if near else f"the keys are {', '.join(KEYS)}; {quoted}"
            self._refuse(f"{key[1]!r} is not a search key", key.start(1), key.end(1), fix=fix)
        values: list[str] = []
        position = key.end()
        while True:
            value, stop = self._read_value(position, _BARE_VALUE, of=name)
            if name in {"since", "until"}:
                self._bound(name, value, position, stop, is_negated)
            else:
                values += self._meant(name, value, position, stop)
            if self._text[stop : stop + 1] != ",":
                break
            position = stop + 1
        if values:
            self._where.append(Condition(Key(name), tuple(dict.fromkeys(values)), is_negated))
        return stop

    def _read_value(self, position: int, bare: re.Pattern[str], of: str = "") -> tuple[str, int]:
        """The quoted or bare value at *position*, and where it ends."""
        text = self._text
        if text.startswith('"', position):
            quoted = _QUOTED.match(text, position)
            if quoted is None:
                self._refuse("a quote is not closed", position, len(text), fix='close it with "')
            stop = quoted.end()
            follower = text[stop : stop + 1]
            if follower.strip() and not (of and follower == ","):
                self._refuse("something follows a quote at once", stop, stop + 1, fix="put a space in between")
            value = re.sub(r'\\(["\\])', r"\1", quoted[1])
        else:
            found = bare.match(text, position)
            value, stop = (found[0], found.end()) if found else ("", position)
        if of and not value:
            self._refuse(f"{of}: has no value", position, stop, fix=f"write one behind it: {of}:{_EXAMPLES[of]}")
        return value, stop

    def _meant(self, name: str, value: str, start: int, stop: int) -> tuple[str, ...]:
        """The values that *value* stands for."""
        if name == Key.STATE:
            state = value.lower()
            known = [*(one.value for one in State), *_GROUPS]
            if state not in known:
                near = get_close_matches(state, known, n=1, cutoff=0.5)
                fix = f"did you mean {near[0]!r}?" if near else f"the states are {', '.join(known)}"
                self._refuse(f"{value!r} is not a state of a run", start, stop, fix=fix)
            return _GROUPS.get(state, (state,))
        if name == Key.PARENT:
            if not re.fullmatch(r"[0-9]{1,19}", value):
                self._refuse(f"{value!r} is not a run id", start, stop, fix="write the number of a run")
            return (str(int(value)),)
        return (value,)

    def _bound(self, name: str, value: str, start: int, stop: int, is_negated: bool) -> None:
        if is_negated:
            other = "until" if name == "since" else "since"
            self._refuse(f"{name}: cannot be negated", start, stop, fix=f"use {other}: instead")
        try:
            begin, end = moment(value, self._now)
        except BadMoment as error:
            self._refuse(str(error), start, stop, fix=FORMS)
        if name == "since":
            self._since = max(self._since or 0, begin)
        else:
            self._until = end if self._until is None else min(self._until, end)

    def _behind_spaces(self, position: int) -> int:
        while position < len(self._text) and self._text[position].isspace():
            position += 1
        return position

    def _refuse(self, what: str, start: int, stop: int, *, fix: str) -> NoReturn:
        raise BadQuery(what, self._text, start, stop, fix=fix)


_EXAMPLES = {
    Key.ACTION.value: "NAME",
    Key.STATE.value: State.FAILED.value,
    Key.LABEL.value: "NAME",
    Key.BY.value: "token",
    Key.TRIGGER.value: "schedule",
    Key.NODE.value: "NAME",
    Key.PARENT.value: "ID",
    "since": "1h",
    "until": "2026-11-21",
}


def _quoted(value: str, plain: re.Pattern[str]) -> str:
    if plain.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _named(micros: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _pointed(query: str, start: int, stop: int) -> str:
    """The query with marks under the error, reduced to its surroundings."""
    first, last = max(0, start - _AROUND), min(len(query), max(stop, start + 1) + _AROUND)
    shown = "".join(one if one.isprintable() else " " for one in query[first:last])
    before, after = "…" if first else "", "…" if last < len(query) else ""
    marks = "^" * max(1, min(stop, last) - start)
    return f"{before}{shown}{after}\n{' ' * (len(before) + start - first)}{marks}"
