"""Search against a filter in plain Python: any runs, any queries, in the index or not, erased or not, page by page."""

import contextlib
import itertools
import json
import re
import tempfile
import unicodedata
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from binp.store.contract import (
    FINISHED,
    AddLabels,
    AddRecord,
    BeginRun,
    Condition,
    EndRun,
    Key,
    RunQuery,
    State,
    TakeRun,
)
from binp.store.sqlite import _queries, _search, _wanted
from binp.store.sqlite._batch import Batch
from binp.store.sqlite._check import check as look_after
from binp.store.sqlite._connect import connect_writer
from binp.store.sqlite._erase import erase
from binp.store.sqlite._file import File
from binp.store.sqlite._ids import EPOCH
from binp.store.sqlite._index import merge, put_in
from binp.store.sqlite._migrate import migrate, shipped
from binp.store.sqlite._queries import Reader

# --- the plain filter


def words(text):
    """What a text consists of: letters and digits, without case and accents."""
    plain = "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one) != "Mn")
    return re.findall(r"[^\W_]+", plain.lower())


def leaves(value, key=None):
    if isinstance(value, dict | list):
        yield key or ""
        for name, inner in value.items() if isinstance(value, dict) else ((None, inner) for inner in value):
            yield from leaves(inner, name)
    else:
        shown = {True: "true", False: "false", None: ""}[value] if isinstance(value, bool | None) else str(value)
        yield f"{key or ''} {shown}"


def texts(run, records):
    yield run.operation
    yield from [run.journal] if run.journal else []
    yield from run.labels
    yield from filter(None, (run.error_type, run.error))
    yield from leaves(json.loads(run.arguments)) if run.arguments else ()
    for record in records:
        yield record.message
        yield from leaves(json.loads(record.fields)) if record.fields else ()


def says(run, records, text):
    wanted = words(text)
    for one in texts(run, records):
        found = words(one)
        if wanted and any(found[at : at + len(wanted)] == wanted for at in range(len(found))):
            return True
    return False


def holds(condition, run, records):
    values = condition.values
    found = {
        Key.TEXT: lambda: any(says(run, records, text) for text in values),
        Key.ACTION: lambda: run.operation in values,
        Key.STATE: lambda: run.state.value in values,
        Key.LABEL: lambda: bool(set(run.labels) & set(values)),
        Key.BY: lambda: run.actor in values,
        Key.TRIGGER: lambda: run.trigger in values,
        Key.NODE: lambda: run.node in values,
        Key.PARENT: lambda: str(run.parent) in values,
    }[condition.key]()
    return found != condition.negated


def fits(query, run, records):
    born = (EPOCH + (run.id >> 12)) * 1000
    return (
        all(holds(condition, run, records) for condition in query.where)
        and (not query.journaled or run.journal is not None)
        and (query.operation is None or run.operation == query.operation)
        and (query.journal is None or run.journal == query.journal)
        and (query.states is None or run.state in query.states)
        and (not query.labels or bool(set(query.labels) & set(run.labels)))
        and (query.parent is None or run.parent == query.parent)
        and (query.since is None or born >= query.since // 1000 * 1000)
        and (query.until is None or born < query.until)
        and (query.before is None or run.id < query.before)
        and (query.after is None or run.id > query.after)
    )


# --- any history


class World:
    """A file, and all that is done to it, without a thread that does anything by itself."""

    def __init__(self, path):
        self.path = path
        self.connection = connect_writer(path, "OFF")
        migrate(self.connection, path, shipped())
        self.file = File(self.connection, path)
        self.reader = Reader(path, lambda: 1)
        self.ids = []

    def close(self):
        self.reader.close()
        self.connection.close()

    def write(self, writes):
        self.file.begin()
        Batch(self.file, 0, writes, 1).apply()
        self.file.commit()

    def transact(self, function, *arguments):
        self.file.begin(keeps=True)
        done = function(self.file, *arguments)
        self.file.commit()
        return done

    def runs(self):
        """All runs as they are, newest first, each with its records."""
        found = [self.reader.get_run(run) for run in sorted(self.ids, reverse=True)]
        return [(run, self.reader.get_records(run.id, 0, None, False, 10_000)) for run in found if run is not None]


TEXTS = [
    "sync",
    "Sync orders",
    "sync_orders",
    "čas",
    "cas 7",
    "a",
    "orders",
    "sync. Orders!",
    "7",
    "späť",
    "x y x",
]
NAMES = ["sync", "orders", "čas", "a,b", "k=v", "späť"]
text = st.sampled_from(TEXTS)
#: SQLite cuts a text in JSON at a NUL, but no other
line = text | st.just("\0 a")
name = st.sampled_from(NAMES)
several = st.lists(name, max_size=3, unique=True).map(tuple)
leaf = text | st.integers(0, 9) | st.booleans() | st.none()
value = st.dictionaries(text, leaf | st.lists(leaf, max_size=2) | st.dictionaries(text, leaf, max_size=1), max_size=2)
document = st.none() | value.map(json.dumps)

born = st.builds(
    dict,
    operation=name,
    journal=st.none() | name,
    trigger=name,
    actor=st.none() | name,
    parent=st.none() | st.integers(0, 2),
    labels=several,
    arguments=document,
    node=name,
    state=st.sampled_from([State.QUEUED, State.RUNNING, State.RUNNING, State.SKIPPED]),
)
said = st.lists(st.tuples(line, document), max_size=2)
ended = st.none() | st.tuples(
    st.sampled_from(sorted(FINISHED - {State.SKIPPED})), st.none() | text, st.none() | name, several
)
#: a run of so many milliseconds after the last one
begun = st.tuples(st.just("begin"), st.integers(0, 2), born, said, ended)
#: a run that is not the last one ends, or is taken
later = st.tuples(st.sampled_from(["end", "take"]), st.integers(0, 30), text, said)
tended = st.tuples(st.sampled_from(["index", "index", "merge"]), st.integers(1, 9)) | st.tuples(
    st.just("erase"), st.lists(st.integers(0, 30), min_size=1, max_size=12)
)
histories = st.lists(begun | begun | begun | later | tended | tended, min_size=15, max_size=50)

#: in milliseconds since the beginning of ids
START = 100_000


def live(world, steps):
    """Do what *steps* say."""
    milliseconds = itertools.accumulate((step[1] if step[0] == "begin" else 0 for step in steps), initial=START)
    for step, ms in zip(steps, milliseconds, strict=False):
        kind, *rest = step
        if kind == "begin":
            begin(world, ms, *rest[1:])
        elif kind in {"index", "merge"}:
            for _ in range(rest[0]):
                world.transact(put_in if kind == "index" else merge)
        elif world.ids and kind == "erase":
            world.transact(erase, [world.ids[place % len(world.ids)] for place in rest[0]])
        elif world.ids:
            run = world.ids[rest[0] % len(world.ids)]
            world.write(further(kind, run, *rest[1:]))


def begin(world, ms, given, said, ended):
    # the last bits tell apart what is made in one millisecond
    run = max(ms << 12, world.ids[-1] + 1 if world.ids else 0)
    world.ids.append(run)
    writes = [BeginRun(id=run, at=run, **given)]
    writes += [
        AddRecord(run=run, seq=seq, at=run, message=message, fields=fields)
        for seq, (message, fields) in enumerate(said, 1)
    ]
    if ended is not None:
        state, error, error_type, labels = ended
        writes += [AddLabels(run=run, labels=labels)]
        writes += [EndRun(id=run, state=state, at=run, duration=1, error=error, error_type=error_type)]
    world.write(writes)


def further(kind, run, text, said):
    if kind == "take":
        return [TakeRun(id=run, node=text, at=run)]
    records = [
        AddRecord(run=run, epoch=9, seq=10 + seq, at=run, message=message, fields=fields)
        for seq, (message, fields) in enumerate(said)
    ]
    return [*records, EndRun(id=run, epoch=9, state=State.FAILED, at=run, duration=1, error=text)]


# --- any query

keyed = st.builds(
    Condition,
    st.sampled_from([Key.ACTION, Key.LABEL, Key.BY, Key.TRIGGER, Key.NODE]),
    st.lists(name | st.just("nobody"), min_size=1, max_size=2).map(tuple),
    st.booleans(),
)
asked = (
    keyed
    | st.builds(
        Condition, st.just(Key.TEXT), st.tuples(text | st.sampled_from(["x", "y x", "true", "?"])), st.booleans()
    )
    | st.builds(Condition, st.just(Key.TEXT), st.tuples(text, text), st.booleans())
    | st.builds(
        Condition,
        st.just(Key.STATE),
        st.lists(st.sampled_from([state.value for state in State]), min_size=1).map(tuple),
        st.booleans(),
    )
    | st.builds(Condition, st.just(Key.PARENT), st.tuples(st.sampled_from("0129x")), st.booleans())
)
moment = st.integers(0, 60).map(lambda ms: (EPOCH + START + ms) * 1000)
#: at most two conditions of one kind, and one of another: more of them find nothing
further_conditions = st.sampled_from(
    [
        {},
        {"journaled": st.just(True)},
        {"operation": name},
        {"journal": name},
        {"states": st.sets(st.sampled_from(list(State))).map(frozenset)},
        {"labels": several},
        {"parent": st.integers(0, 3)},
        {"since": moment},
        {"until": moment},
        {"since": moment, "until": moment},
        {"before": st.integers(START << 12, START + 60 << 12)},
    ]
).flatmap(st.fixed_dictionaries)
queries = st.builds(
    lambda where, further: RunQuery(where=tuple(where), **further), st.lists(asked, max_size=2), further_conditions
)


def pages(reader, query, step):
    """All ids that *query* finds, in pages of *step*, going on where a search stopped; each way must give them all."""
    found, before = [], query.before
    while True:
        page = reader.find_runs(replace(query, before=before, limit=step))
        found += [run.id for run in page.runs]
        assert len(page.runs) <= step
        if page.stopped is not None:
            assert page.has_more
            assert before is None or page.stopped < before
            before = page.stopped
        elif page.has_more:
            assert len(page.runs) == step
            before = page.runs[-1].id
        else:
            return found


def pages_forward(reader, query, step):
    found, after = [], -1
    while True:
        page = reader.find_runs(replace(query, after=after, limit=step))
        found[:0] = [run.id for run in page.runs]
        if page.stopped is not None:
            assert page.stopped > after
            after = page.stopped
        elif page.has_newer:
            assert len(page.runs) == step
            after = page.runs[0].id
        else:
            return found


def check(world, query, step):
    expected = [run.id for run, records in world.runs() if fits(query, run, records)]
    assert pages(world.reader, query, step) == expected, query
    assert pages_forward(world.reader, query, step) == expected, query
    by_offset = world.reader.find_runs(replace(query, limit=200, offset=step))
    if by_offset.stopped is None:
        assert [run.id for run in by_offset.runs] == expected[step:]


def small(**given):
    """Parts, slices and steps so small that a few runs need many of them."""
    index = {"SLICE": 3, "_FULL": 4, "_STALE": 1} | given
    patches = [patch.multiple("binp.store.sqlite._index", **index)]
    patches += [patch.multiple(_search, _LEAST=1, _LOOKED=2, _MOST_LOOKED=3, _FEW=2, _DETOURS=2)]
    patches += [patch.multiple(_queries, _COMMON=2)]
    return patches


def compare(steps, wanted, step, work):
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory) / "data.db")
        try:
            live(world, steps)
            with patch.multiple(_queries, _WORK=work):
                for query in wanted:
                    check(world, query, step)
            found = [problem for finding in look_after(world.path) for problem in finding.problems]
            assert [problem for problem in found if "count" in problem or "found" in problem] == []
            indexed = sum(
                part[3] for part in world.connection.execute("SELECT number, first, last, documents FROM search_part")
            )
            assert indexed >= 0
        finally:
            world.close()


@settings(phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories, st.lists(queries, min_size=10, max_size=30), st.integers(1, 4), st.sampled_from([60.0, 0.0]))
def test_search_finds_what_a_plain_filter_finds(steps, wanted, step, work):
    """N-05: whatever happened and whatever is asked, each page way gives the runs that fit, each once, newest first.

    With no time at all a search stops after each step, and still gets to the end by going on where it stopped.
    """
    with contextlib.ExitStack() as stack:
        for one in small():
            stack.enter_context(one)
        compare(steps, wanted, step, work)


GIVEN = {"journal": None, "trigger": "cli", "actor": None, "parent": None, "arguments": None, "node": "n"}


def history(*operations):
    """Runs of *operations* that have ended, of which some are in the index."""
    ended = (State.SUCCEEDED, None, None, ())
    steps = [
        ("begin", 1, {**GIVEN, "operation": name, "labels": labels, "state": State.RUNNING}, [], ended)
        for name, labels in zip(operations, itertools.cycle([("x",), (), ("x", "y")]), strict=False)
    ]
    return [*steps, ("index", 4)]


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        (_wanted, "_any", lambda texts: texts[0]),
        (_search.Indexed, "_place", lambda indexed, run: 0),
        (_search.Looker, "fitting", lambda looker, ids: list(ids)),
        (_search.Indexed, "_labelled", lambda indexed, ids: ids),
        (_search.Indexed, "_labelled", lambda indexed, ids: []),
    ],
)
def test_the_comparison_finds_a_fault(module, name, fault):
    """A search that forgets an alternative, a part of the index or a look at what it found does not pass as right."""
    steps = history(*["sync", "orders", "a b", "b a", "b"] * 3)
    text = Condition(Key.TEXT, ("a b", "orders"))
    labelled = (Condition(Key.TEXT, ("orders",)), Condition(Key.LABEL, ("x",)))
    asked = [RunQuery(where=(text,)), RunQuery(where=labelled)]
    with contextlib.ExitStack() as stack:
        for one in small():
            stack.enter_context(one)
        compare(steps, asked, 2, 60.0)
        with patch.object(module, name, fault), pytest.raises(AssertionError):
            compare(steps, asked, 2, 60.0)
