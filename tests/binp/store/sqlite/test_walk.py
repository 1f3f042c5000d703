"""Exports of files in which something has overwritten pages: what is left comes out, and what is not is told."""

import asyncio
import contextlib
import json
import random
import sqlite3
from importlib import resources

import pytest

from binp.store import open_store
from binp.store.contract import (
    AddRecord,
    BeginRun,
    EndRun,
    Import,
    KeepStep,
    Once,
    RemoveKeys,
    SetDesired,
    SetKeys,
    State,
    StoreDamaged,
)
from binp.store.sqlite import export
from binp.store.sqlite._ids import EPOCH
from binp.store.sqlite._walk import Walk

PAGE = 4096
#: columns of the keys, by the kinds of lines
KEYS = {
    "run": ("id",),
    "record": ("run", "seq"),
    "kv": ("namespace", "key"),
    "kv_removed": ("namespace", "key"),
    "kv_floor": ("id",),
    "once": ("key",),
    "service": ("name",),
    "step": ("origin", "name"),
}


async def fill(path):
    """Some hundred pages: small rows, and large ones that go on on pages of their own."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    began = 1_780_000_000_000_000
    for number in range(900):
        at = began + number * 60_000_000
        run = (at // 1000 - EPOCH << 12) + number % 64
        store.write(BeginRun(id=run, operation=f"o{number % 5}", trigger="call", node=store.node, at=at, labels=("l",)))
        for seq in range(1, number % 4 + 1):
            store.write(AddRecord(run=run, seq=seq, at=at, message=f"{number} {seq} " + "x" * (number % 200)))
        if number % 90 == 7:
            store.write(AddRecord(run=run, seq=number % 4 + 1, at=at, message="L" * 20_000))
        traceback = "T" * 9000 if number % 60 == 0 else None
        end = EndRun(id=run, state=State.FAILED, at=at, duration=7, error="no", error_type="E", traceback=traceback)
        await store.write(end)
    for value in ("1", '"again"'):
        for number in range(500):
            store.write(SetKeys(namespace=f"n{number % 3}", items=((f"k{number:05}", value),), at=began))
        await store.write(SetDesired(name="s", running=True, actor=None, at=1))
    for number in range(0, 500, 5):
        await store.write(RemoveKeys(namespace=f"n{number % 3}", keys=(f"k{number:05}",), at=began))
    for number in range(200):
        store.write(KeepStep(origin=run, run=run, name=f"step {number}", result="1", at=at))
        await store.write(Once(key=f"key {number * 7919 % 1000}", at=at))
    await store.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database, as bytes, and its rows."""
    path = tmp_path_factory.mktemp("whole") / "data.db"
    asyncio.run(fill(path))
    rows, lost = read(path)
    assert lost == []
    return path.read_bytes(), rows


def read(path):
    """The rows of a database by their kinds and keys, and what is told to be lost."""
    first, *lines, last = [json.loads(line) for line in export(path)]
    assert first["kind"] == "binp"
    rows = {(row["kind"], tuple(row[column] for column in KEYS[row["kind"]])): row for row in lines}
    assert last["kind"] == "end"
    assert last["lines"] == len(lines) == len(rows)
    return rows, last.get("lost", [])


def order(key):
    return tuple(part.encode() if isinstance(part, str) else part for part in key)


def is_told(loss, kind, key):
    """Whether *loss* says that this row is lost."""
    if loss["kind"] != kind or "part" in loss:
        return False
    if "key" in loss:
        return tuple(loss["key"]) == key
    after, before = loss["after"], loss["before"]
    return (after is None or order(key) > order(after)) and (before is None or order(key) < order(before))


async def take_in(rows, path):
    """Take in *rows* elsewhere; how many there are then."""
    lines = [json.dumps(row) for row in rows.values()]
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    for start in range(0, len(lines), 500):
        await store.write(Import(lines=tuple(lines[start : start + 500])))
    await store.close()
    return len(read(path)[0])


def overwritten(content, pages, how, chance):
    torn = bytearray(content)
    for page in pages:
        new = {"ones": b"\xff" * PAGE, "noise": chance.randbytes(PAGE), "half": b"\xff" * 512}[how]
        torn[page * PAGE : page * PAGE + len(new)] = new
    return bytes(torn)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_overwritten_the_rest_comes_out(whole, tmp_path, seed):
    """Rows that come out are those that were there, each that is missing is told, and so is how many at most."""
    content, rows = whole
    chance = random.Random(seed)
    how = chance.choice(["ones", "noise", "half"])
    path = tmp_path / "data.db"
    # where the list of tables is nothing can be overwritten without losing all
    sound = [page for page in range(1, len(content) // PAGE) if page not in listing(content)]
    path.write_bytes(overwritten(content, chance.sample(sound, [1, 2, 5, 20][seed % 4]), how, chance))

    saved, lost = read(path)

    missing = rows.keys() - saved.keys()
    altered = {(loss["kind"], tuple(loss["key"])) for loss in lost if loss.get("part") in {"text", "past"}}
    is_named = any(loss["kind"] == "name" for loss in lost)
    assert saved.keys() <= rows.keys()
    assert is_named or [key for key in saved if saved[key] != rows[key] and key not in altered] == []
    assert [key for key in missing if not any(is_told(loss, *key) for loss in lost)] == []
    for loss in lost:
        if loss.get("rows") is not None:
            assert sum(is_told(loss, *key) for key in missing) <= loss["rows"]
    orphans = {key for key in saved if key[0] == "record" and ("run", key[1][:1]) not in saved}
    assert asyncio.run(take_in(saved, tmp_path / "other.db")) == len(saved) - len(orphans)


def listing(content):
    """The pages that tell what tables there are: they, and those that they go on in, hold what made these."""
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    found = {number for number, page in enumerate(pages) if b"CREATE TABLE" in page or b"CREATE VIEW" in page}
    made = b"".join(
        resource.read_bytes() for resource in resources.files("binp.store.sqlite").joinpath("migrations").iterdir()
    )
    return found | {number for number, page in enumerate(pages) if page[4:44] in made}


@pytest.fixture
def small(tmp_path):
    """A database of which a test says what is in it, and one that it can be damaged in."""
    return tmp_path / "data.db"


async def write(path, *writes):
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    for one in writes:
        await store.write(one)
    await store.close()


def run(number, *messages, **given):
    """A run that has ended, and what it said."""
    begin = BeginRun(id=number << 12, operation="o", trigger="call", node="n", at=1_704_067_200_000_000, **given)
    said = [AddRecord(run=number << 12, seq=seq, at=1, message=message) for seq, message in enumerate(messages, 1)]
    return begin, *said, EndRun(id=number << 12, state=State.SUCCEEDED, at=1_704_067_200_000_000, duration=1)


def change(path, old, new):
    """Change bytes in the file, of which there are some once."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


async def test_texts_that_are_none_any_more(small):
    """The row comes out with marks in place of the characters, and that is told."""
    await write(small, *run(1, "it was so"), *run(2))
    change(small, b"it was so", b"it w\xffs so")

    rows, lost = read(small)

    assert rows[("record", (4096, 1))]["message"] == "it w\ufffds so"
    assert lost == [{"kind": "record", "key": [4096, 1], "part": "text"}]
    assert len(rows) == 3


@pytest.mark.parametrize(("old", "new"), [(b'["mark"]', b'["mark"['), (b'["mark"]', b"123456.5")])
async def test_rows_that_nobody_can_have_written(small, old, new):
    """A row that would be refused wherever it is taken in is lost, and not what is beside it."""
    await write(small, *run(1), *run(2, labels=("mark",)), *run(3))
    change(small, old, new)

    rows, lost = read(small)

    assert sorted(key for kind, key in rows if kind == "run") == [(4096,), (3 << 12,)]
    assert lost == [{"kind": "run", "key": [2 << 12], "rows": 1}]


async def test_values_that_are_no_json(small):
    """A key of which the value cannot be a value is lost, and not those beside it."""
    await write(small, *(SetKeys(namespace="n", items=((name, '{"a": 1}'),), at=1) for name in "abc"))
    with contextlib.closing(sqlite3.connect(small, isolation_level=None)) as connection:
        connection.execute("""UPDATE kv SET value = '{"a: 1}' WHERE key = 'b'""")

    rows, lost = read(small)

    assert [key for kind, key in rows if kind == "kv"] == [("n", "a"), ("n", "c")]
    assert lost == [{"kind": "kv", "key": ["n", "b"], "rows": 1}]


def root_of(path, table):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]


def damage(path, table):
    """Overwrite the page at which *table* begins."""
    page = root_of(path, table)
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * 512)


async def test_names_that_are_in_the_index_alone(small):
    """What cannot be read in the table of names is read in its index."""
    await write(small, *run(1))
    damage(small, "name")

    rows, lost = read(small)

    assert rows[("run", (4096,))]["operation"] == "o"
    assert [(loss["kind"], loss["part"]) for loss in lost] == [("name", "unknown")]


async def test_names_that_are_nowhere(small, tmp_path):
    """Rows keep apart what had different names, and can be taken in elsewhere."""
    await write(small, *run(1))
    damage(small, "name")
    damage(small, "sqlite_autoindex_name_1")

    rows, lost = read(small)

    row = rows[("run", (4096,))]
    assert {loss["kind"] for loss in lost} == {"name"}
    numbers = {loss["key"][0] for loss in lost}
    assert {row["operation"], row["trigger"], row["node"]} <= {f"unreadable-{number}" for number in numbers}
    assert await asyncio.to_thread(asyncio.run, take_in(rows, tmp_path / "other.db")) == 1


async def test_what_keys_were_before_is_lost(small):
    """They come out as they are now."""
    await write(small, *(SetKeys(namespace="n", items=(("k", str(number)),), at=1) for number in range(5)))
    damage(small, "kv_past")

    rows, lost = read(small)

    assert rows[("kv", ("n", "k"))]["value"] == "4"
    assert lost == [
        {"kind": "kv", "key": ["n", "k"], "part": "past"},
        {"kind": "kv_past", "part": "unknown", "why": lost[-1]["why"]},
    ]


async def test_records_of_runs_that_are_lost(small):
    """They come out as well: where the runs are known they can be taken in."""
    await write(small, *run(1, "said"))
    damage(small, "run")

    rows, lost = read(small)

    assert list(rows) == [("record", (4096, 1))]
    assert lost == [{"kind": "run", "after": None, "before": None, "rows": 1}]


def alter(path, statement):
    """Let something else change rows, which are sound afterwards."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount == 1


async def test_records_that_nothing_leads_to(small):
    """Where damage is known, records that a run has and that were not found are told, each beside what failed."""
    await write(small, *run(1, "a", "b"), *run(2, "c", "d"), *run(3, "e", "f"), *run(4, "g"), *run(5, "it was so"))
    for number in (2, 3):
        alter(small, f"UPDATE record SET run = {1 << 40} + {number} WHERE run = {number << 12} AND seq = 2")
    alter(small, f"UPDATE record SET seq = 77 WHERE run = {3 << 12} AND seq = 1")
    change(small, b"it was so", b"it w\xffs so")

    rows, lost = read(small)

    assert len([key for key in rows if key[0] == "record"]) == 6
    # under another key, as it is: nothing tells it from one that was written so, and the one that is missing is counted
    assert ("record", (3 << 12, 77)) in rows
    assert lost == [
        {"kind": "record", "key": [5 << 12, 1], "part": "text"},
        {"kind": "record", "after": [2 << 12, 0], "before": [(3 << 12) + 1, 0], "rows": 3},
    ]


async def test_runs_that_nothing_leads_to(small):
    """Where a run is lost, those that were counted and not found are told as well, by the hour."""
    await write(small, *run(1), *run(2, labels=("mark",)), *run(3), *run(1 << 28))
    change(small, b'["mark"]', b'["mark"[')
    alter(small, f"DELETE FROM run WHERE id = {3 << 12}")

    rows, lost = read(small)

    hour = 3_600_000 << 12
    assert [key for kind, key in rows if kind == "run"] == [(4096,), (1 << 40,)]
    assert lost == [
        {"kind": "run", "key": [2 << 12], "rows": 1},
        {"kind": "run", "after": [-1], "before": [hour], "rows": 2},
    ]


async def test_damage_that_leads_past_rows(small):
    """Where pages do not fit together that is told, although nothing that was read failed."""
    await write(small, *(Once(key=f"key {number:04}" + "x" * 100, at=1) for number in range(200)))
    page = root_of(small, "once")
    with small.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        head = bytearray(file.read(12))
        # the pages below are those of the first cells: the rest is gone, and nothing says so
        count = int.from_bytes(head[3:5], "big")
        head[3:5] = (count - 2).to_bytes(2, "big")
        file.seek((page - 1) * PAGE)
        file.write(head)

    rows, lost = read(small)

    assert 0 < len(rows) < 200
    assert [(loss["kind"], loss["part"]) for loss in lost] == [("once", "unknown")]
    assert lost[0]["why"]


async def test_damage_that_leads_past_rows_beside_some_that_was_met(small):
    """Rows that nothing leads to are told also of a table of which others are told to be lost, and only then."""
    value = json.dumps("x" * 100)
    await write(small, *(SetKeys(namespace="n", items=((f"key {number:04}", value),), at=1) for number in range(200)))
    page = (root_of(small, "kv") - 1) * PAGE
    content = bytearray(small.read_bytes())
    cells = [int.from_bytes(content[page + place : page + place + 2], "big") for place in (12, 14)]
    first, second = (int.from_bytes(content[page + cell : page + cell + 4], "big") for cell in cells)
    content[(second - 1) * PAGE : second * PAGE] = b"\xff" * PAGE
    small.write_bytes(content)
    met = [loss for loss in read(small)[1] if "part" not in loss]
    assert [loss["kind"] for loss in met] == ["kv"]
    assert read(small)[1] == met
    # of the first page the last rows are gone as well, and nothing says so
    start = (first - 1) * PAGE
    count = int.from_bytes(content[start + 3 : start + 5], "big")
    content[start + 3 : start + 5] = (count - 5).to_bytes(2, "big")
    small.write_bytes(content)

    rows, lost = read(small)

    missing = [("n", f"key {number:04}") for number in range(200) if ("kv", ("n", f"key {number:04}")) not in rows]
    assert count - 5 not in {0, count}
    assert missing
    assert [loss["part"] for loss in lost if "part" in loss] == ["unknown"]


async def test_pages_that_lie_in_each_others_place(small):
    """Each is as it was written; where a key is looked for there are others, and that not all are found is told."""
    await write(small, *(Once(key=f"key {number:04}" + "x" * 100, at=1) for number in range(400)))
    content = bytearray(small.read_bytes())
    at = (root_of(small, "once") - 1) * PAGE
    # the cells of a page that is no leaf begin with the pages below
    cells = [int.from_bytes(content[at + 12 + 2 * cell : at + 14 + 2 * cell], "big") for cell in (1, 3)]
    one, other = ((int.from_bytes(content[at + cell : at + cell + 4], "big") - 1) * PAGE for cell in cells)
    content[one : one + PAGE], content[other : other + PAGE] = content[other : other + PAGE], content[one : one + PAGE]
    small.write_bytes(content)

    rows, lost = read(small)

    assert 0 < len(rows) < 400
    assert [(loss["kind"], loss["part"]) for loss in lost] == [("once", "unknown")]


async def test_a_key_that_leads_past_rows(small):
    """A row that says to be behind all that are looked for is not taken for the end of them."""
    runs = range(1, 8)
    await write(small, *(each for number in runs for each in run(number, *(f"said {number}-{n}" for n in range(60)))))
    content = small.read_bytes()
    said = content.index(b"said 3-30")
    key = content.rindex((3 << 12).to_bytes(2, "big"), said - 8, said)
    small.write_bytes(content[:key] + b"\x7f\xff" + content[key + 2 :])

    rows, lost = read(small)

    missing = {(number << 12, seq) for number in runs for seq in range(1, 61)} - {key for _, key in rows}
    assert (3 << 12, 31) in missing
    assert len(missing) < 10
    assert [loss["part"] for loss in lost if loss["kind"] == "record" and "part" in loss] == ["unknown"]
    assert [key for key in missing if not any(is_told(loss, "record", key) for loss in lost)] == []


async def test_the_list_of_changes_of_the_schema_is_lost(small):
    """What is in the tables comes out all the same."""
    await write(small, *run(1))
    damage(small, "migration")

    rows, lost = read(small)

    assert list(rows) == [("run", (4096,))]
    assert lost == [{"kind": "migration", "key": [], "part": "all"}]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off(whole, tmp_path, share):
    """What is in that which is left of it comes out, and the rest is told: nothing else opens such a file."""
    content, rows = whole
    path = tmp_path / "data.db"
    path.write_bytes(content[: int(len(content) * share)])

    saved, lost = read(path)

    missing = rows.keys() - saved.keys()
    assert len(saved) > 100
    assert saved.keys() <= rows.keys()
    unknown = {loss["kind"] for loss in lost if loss.get("part") == "unknown"}
    assert all(kind in unknown or any(is_told(loss, kind, key) for loss in lost) for kind, key in missing)


async def test_a_table_that_is_not_there(small):
    """It is not known what was in it, so that is an error."""
    await write(small, *run(1))
    with contextlib.closing(sqlite3.connect(small)) as connection:
        connection.execute("DROP TABLE record")

    with pytest.raises(StoreDamaged, match="it has no table record"):
        list(export(small))


async def test_the_list_of_tables_is_lost(small):
    """Then nothing can be read, which is an error as ever."""
    await write(small, *run(1))
    content = small.read_bytes()
    small.write_bytes(overwritten(content, listing(content) - {0}, "ones", random.Random(1)))

    with pytest.raises(StoreDamaged, match="the database is damaged"):
        list(export(small))


async def test_a_row_that_hides_others(small):
    """Where a row near the root of a table cannot be compared all others are found by going from one to the next."""
    texts = [f"<{number:03}>" * 2000 for number in range(1, 41)]
    await write(small, *run(1, *texts), *run(2, "small"))
    content = small.read_bytes()
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    for number in (1, 7, 20, 33, 40):
        # the first page that its text goes on in
        mark = f"<{number:03}>".encode()
        first = next(place for place, page in enumerate(pages) if page.count(mark) > 800)
        small.write_bytes(overwritten(content, [first], "ones", random.Random(1)))

        rows, lost = read(small)

        assert lost == [{"kind": "record", "key": [4096, number], "rows": 1}], number
        assert len(rows) == 42, number


async def test_how_much_is_lost_is_not_always_known(small):
    """Where what would tell it is damaged as well it is said that nobody knows."""
    await write(small, *run(1), Once(key="k", at=1))
    for table in ("run", "tally", "once", "once_at"):
        damage(small, table)

    rows, lost = read(small)

    assert rows == {}
    assert [(loss["kind"], loss["rows"]) for loss in lost] == [("once", None), ("run", None)]


async def test_what_an_index_knows_of_what_is_lost(small):
    """How many keys are lost is counted in an index that has all of them."""
    await write(small, *(Once(key=f"k{number}", at=1) for number in range(7)))
    damage(small, "once")

    assert read(small)[1] == [{"kind": "once", "after": None, "before": None, "rows": 7}]


async def test_records_of_lost_runs_that_are_damaged_themselves(small):
    """They are told row by row, as all others."""
    await write(small, *run(1, "sound", "it was so"))
    change(small, b"it was so", b"it w\xffs so")
    damage(small, "run")

    rows, lost = read(small)

    assert list(rows) == [("record", (4096, 1)), ("record", (4096, 2))]
    assert lost[0] == {"kind": "record", "key": [4096, 2], "part": "text"}


async def test_what_is_no_damage_ends_it(small):
    """A reading that is broken off is no reason to leave something out."""
    await write(small, *run(1))
    lost = []
    with contextlib.closing(sqlite3.connect(small)) as connection:
        walk = Walk(connection, "run", ("id",))
        connection.set_progress_handler(lambda: 1, 1)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            list(walk.pages(lost.append))
    assert lost == []
