"""What the owner does for the file itself."""

import pytest

from binp.store.contract import SetKeys
from binp.store.sqlite._connect import connect_reader, connect_writer
from binp.store.sqlite._file import File
from binp.store.sqlite._migrate import migrate, shipped
from binp.store.sqlite._receipt import Receipt
from binp.store.sqlite._tend import Forget, Shrink, Truncate, tend


@pytest.fixture
def file(path):
    connection = connect_writer(path, "OFF")
    migrate(connection, path, shipped())
    yield File(connection, path)
    connection.close()


def pages(file, what):
    return file.connection.execute(f"PRAGMA {what}_count").fetchone()[0]


def test_free_pages_are_given_back(file, path):
    """So many as are asked for go, the rest with the next; the file is shorter when the log is in it."""
    file.connection.execute("CREATE TABLE big (x)")
    file.connection.executemany("INSERT INTO big VALUES (?)", [("x" * 3000,)] * 100)
    file.connection.execute("DROP TABLE big")
    free = pages(file, "freelist")
    assert free > 90

    assert tend(file, Shrink(pages=30)).count == 30
    assert pages(file, "freelist") == free - 30
    assert tend(file, Shrink(pages=1000)).count == free - 30
    assert tend(file, Shrink(pages=1000)).count == 0
    assert tend(file, Truncate()).count == 1
    assert path.stat().st_size == pages(file, "page") * 4096
    assert path.with_name("data.db-wal").stat().st_size == 0


def test_the_log_is_not_emptied_under_a_reader(file, path):
    """Who reads is not waited for, and the patience with others stays as it was."""
    reader = connect_reader(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM kv").fetchone()
    file.connection.execute("INSERT INTO label (id, text) VALUES (1, 'x')")
    file.connection.execute("PRAGMA busy_timeout = 60000")

    done = tend(file, Truncate())

    assert done.count == 0
    assert done.seconds < 30
    assert file.connection.execute("PRAGMA busy_timeout").fetchone() == (60000,)
    reader.close()
    assert tend(file, Truncate()).count == 1


async def test_it_is_done_between_the_writes_of_others(store):
    """In a batch of the writer it keeps its place, and a mistake fails it alone."""
    connection = store._engine._writer.connection
    connection.execute("INSERT INTO once (key, at) VALUES ('a', 1)")
    connection.execute("CREATE TRIGGER broken BEFORE DELETE ON once BEGIN SELECT raise(ABORT, 'no'); END")
    before = store.write(SetKeys(namespace="n", items=(("a", "1"),), at=1))
    broken = Receipt(Forget(before=10, most=10))
    store._outbox.put(broken)
    behind = store.write(SetKeys(namespace="n", items=(("b", "2"),), at=1))

    assert (await before, await behind) == (True, True)
    with pytest.raises(Exception, match="no"):
        await broken
