"""The language of searches: what is read is what was written, and what is wrong is pointed at."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binp.store._moment import FORMS
from binp.store.contract import Condition, Key, RunQuery, State
from binp.store.query import KEYS, LONGEST, BadQuery, parse, render

NOW = datetime(2026, 11, 21, 12, 0, 0, 7, tzinfo=UTC)


def text(*values, negated=False):
    return Condition(Key.TEXT, values, negated)


def micros(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("", ()),
        ("  \n\t ", ()),
        ("timeout", (text("timeout"),)),
        ('"card declined" 4711', (text("card declined"), text("4711"))),
        ("-test", (text("test", negated=True),)),
        ('-"a b"', (text("a b", negated=True),)),
        ("--x", (text("-x", negated=True),)),
        ('say "a \\"b\\" \\\\ \\c"', (text("say"), text('a "b" \\ \\c'))),
        ("10:42", (text("10:42"),)),
        ("action:charge", (Condition(Key.ACTION, ("charge",)),)),
        ("ACTION:Charge", (Condition(Key.ACTION, ("Charge",)),)),
        ("-Operation:charge", (Condition(Key.ACTION, ("charge",), True),)),
        ('action:a,"b, c",a', (Condition(Key.ACTION, ("a", "b, c")),)),
        ("state:Failed", (Condition(Key.STATE, ("failed",)),)),
        ("state:pending,failed,running", (Condition(Key.STATE, ("queued", "running", "failed")),)),
        ("-state:succeeded", (Condition(Key.STATE, ("succeeded",), True),)),
        ("label:shop=7 -label:x:y", (Condition(Key.LABEL, ("shop=7",)), Condition(Key.LABEL, ("x:y",), True))),
        ("by:token trigger:schedule", (Condition(Key.BY, ("token",)), Condition(Key.TRIGGER, ("schedule",)))),
        ("node:web-1 parent:007", (Condition(Key.NODE, ("web-1",)), Condition(Key.PARENT, ("7",)))),
    ],
)
def test_words_and_conditions_are_read(written, where):
    """Words, phrases, keys with one or several values, and their negations."""
    assert parse(written) == RunQuery(where=where)


@pytest.mark.parametrize(
    ("written", "since", "until"),
    [
        ("since:1h", micros(2026, 11, 21, 11, 0, 0, 7), None),
        ("since:1h30m", micros(2026, 11, 21, 10, 30, 0, 7), None),
        ("until:2w", None, micros(2026, 11, 7, 12, 0, 0, 7)),
        ("since:today", micros(2026, 11, 21), None),
        ("since:yesterday until:yesterday", micros(2026, 11, 20), micros(2026, 11, 21)),
        ("since:2026-02-28 until:2026-02-28", micros(2026, 2, 28), micros(2026, 3, 1)),
        ("until:2026-02-28T06:30", None, micros(2026, 2, 28, 6, 31)),
        ("until:2026-02-28T06:30:05", None, micros(2026, 2, 28, 6, 30, 6)),
        ("since:2026-02-28t06:30:05.5z", micros(2026, 2, 28, 6, 30, 5, 500_000), None),
        ("until:2026-02-28T06:30:05.25+02:00", None, micros(2026, 2, 28, 4, 30, 5, 260_000)),
        ("since:2026-02-28T06:30-0130", micros(2026, 2, 28, 8, 0), None),
        ('since:"2026-02-28"', micros(2026, 2, 28), None),
        ("since:1h since:2h until:1h until:2h", micros(2026, 11, 21, 11, 0, 0, 7), micros(2026, 11, 21, 10, 0, 0, 7)),
        ("since:0001-01-01", 0, None),
        ("since:999999999w until:9999-12-31T23:59-23:59", 0, 253_402_300_800_000_000),
    ],
)
def test_moments_are_read(written, since, until):
    """Durations count back from now; what is named begins a search and ends it, each included."""
    assert parse(written, now=NOW) == RunQuery(since=since, until=until)


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (
            "timeout stat:failed",
            [
                "'stat' is not a search key",
                "  where: timeout stat:failed",
                "                 ^^^^",
                "  fix:   did you mean 'state'? for the text, quote it: \"stat:...\"",
            ],
        ),
        (
            "http://shop",
            [
                "'http' is not a search key",
                "  where: http://shop",
                "         ^^^^",
                "  fix:   the keys are " + ", ".join(KEYS) + '; for the text, quote it: "http:..."',
            ],
        ),
        (
            "state:failed,sucess",
            [
                "'sucess' is not a state of a run",
                "  where: state:failed,sucess",
                "                      ^^^^^^",
                "  fix:   did you mean 'succeeded'?",
            ],
        ),
        (
            "state:x",
            [
                "'x' is not a state of a run",
                "  where: state:x",
                "               ^",
                "  fix:   the states are queued, running, succeeded, failed, cancelled, interrupted, skipped, pending",
            ],
        ),
        (
            "a label:",
            [
                "label: has no value",
                "  where: a label:",
                "                 ^",
                "  fix:   write one behind it: label:NAME",
            ],
        ),
        (
            'by:""',
            ["by: has no value", '  where: by:""', "            ^^", "  fix:   write one behind it: by:token"],
        ),
        ('a "b c', ["a quote is not closed", '  where: a "b c', "           ^^^^", '  fix:   close it with "']),
        (
            'label:"a"b',
            [
                "something follows a quote at once",
                '  where: label:"a"b',
                "                  ^",
                "  fix:   put a space in between",
            ],
        ),
        (
            "since:soon",
            [
                "'soon' is not a moment",
                "  where: since:soon",
                "               ^^^^",
                "  fix:   " + FORMS,
            ],
        ),
        (
            "since:2026-02-30",
            [
                "'2026-02-30' is not a moment: there is no such day or time",
                "  where: since:2026-02-30",
                "               ^^^^^^^^^^",
                "  fix:   " + FORMS,
            ],
        ),
        (
            "-until:1h",
            ["until: cannot be negated", "  where: -until:1h", "                ^^", "  fix:   use since: instead"],
        ),
        (
            "parent:-1",
            [
                "'-1' is not a run id",
                "  where: parent:-1",
                "                ^^",
                "  fix:   write the number of a run",
            ],
        ),
        (
            "a - b",
            [
                "there are no letters or digits to search for",
                "  where: a - b",
                "           ^",
                "  fix:   write a word, or leave it out",
            ],
        ),
        (
            "a" * 1001,
            [
                "the query is too long",
                "  where: …" + "a" * 41,
                " " * 50 + "^",
                "  fix:   write at most 1000 characters",
            ],
        ),
        (
            "a " * 33,
            [
                "there are too many conditions",
                "  where: …" + "a " * 21,
                " " * 50 + "^^",
                "  fix:   write at most 32",
            ],
        ),
        (
            "\x00\n" + "x:y",
            [
                "there are no letters or digits to search for",
                "  where:   x:y",
                "         ^",
                "  fix:   write a word, or leave it out",
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_and_pointed_at(written, lines):
    """A query that cannot be understood says what is wrong, where, and how to mend it."""
    with pytest.raises(BadQuery) as caught:
        parse(written)

    assert str(caught.value).splitlines() == lines
    assert caught.value.query == written
    assert caught.value.start <= caught.value.stop <= len(written)


WORD = "\u0161\u0432abAB1"
values = st.text(min_size=1) | st.text(alphabet='ab ,:"\\-\n', min_size=1)
texts = st.builds(lambda text, at, one: text[:at] + one + text[at:], values, st.integers(0, 5), st.sampled_from(WORD))
several = st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)
keyed = st.builds(
    Condition, st.sampled_from([Key.ACTION, Key.LABEL, Key.BY, Key.TRIGGER, Key.NODE]), several, st.booleans()
)
states = st.lists(st.sampled_from([state.value for state in State]), min_size=1, unique=True).map(tuple)
conditions = (
    keyed
    | st.builds(lambda text, negated: Condition(Key.TEXT, (text,), negated), texts, st.booleans())
    | st.builds(lambda states, negated: Condition(Key.STATE, states, negated), states, st.booleans())
    | st.builds(lambda run: Condition(Key.PARENT, (str(run),)), st.integers(0, 2**53))
)
moments = st.none() | st.integers(0, micros(9999, 12, 31))
queries = st.builds(
    lambda where, since, until: RunQuery(where=tuple(where), since=since, until=until),
    st.lists(conditions, max_size=5),
    moments,
    moments,
)


@given(queries)
def test_what_is_written_is_read_as_the_same(query):
    """A rendered query is parsed as the query that it was made of."""
    written = render(query)
    if len(written) <= LONGEST:
        assert parse(written) == query


pieces = (
    st.sampled_from([*(f"{key}:" for key in KEYS), "-", '"', ",", " ", "\\", "1h", "2026-", "failed", "a"]) | st.text()
)


@given(st.lists(pieces).map("".join) | st.text())
def test_any_text_is_understood_or_refused(text):
    """There is no text at which anything but the one clear error comes, and what is understood is understood again."""
    try:
        query = parse(text, now=NOW)
    except BadQuery as error:
        refusal, query = error, RunQuery()
        assert refusal.fix
        assert 0 <= refusal.start <= refusal.stop <= len(text)
    assert len(render(query)) > LONGEST or parse(render(query)) == query
