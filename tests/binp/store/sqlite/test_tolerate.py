"""What is gone on behind, and what is not."""

import sqlite3

import pytest

from binp.store.sqlite._tolerate import Tolerant


def failure(code):
    error = sqlite3.OperationalError("as SQLite puts it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        failure(sqlite3.SQLITE_CORRUPT),
        failure(sqlite3.SQLITE_IOERR_READ),
        sqlite3.DataError("string longer than it may be"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"),
    ],
)
def test_what_is_damaged_ends_the_block_and_is_kept(error):
    """Some bytes of the file are to blame: others may be read all the same."""
    with Tolerant() as block:
        raise error
    assert block.damage is error


@pytest.mark.parametrize(
    "error", [failure(sqlite3.SQLITE_BUSY), failure(sqlite3.SQLITE_IOERR_WRITE), sqlite3.ProgrammingError(), KeyError()]
)
def test_whatever_else_goes_wrong_goes_through(error):
    """Nothing behind it would go better, also where damage was met before."""
    block = Tolerant()
    with block:
        raise failure(sqlite3.SQLITE_CORRUPT)
    with pytest.raises(type(error)) as caught, block:
        raise error
    assert caught.value is error
