"""URLs of databases."""

import os

import pytest

from binp.errors import UsageError
from binp.store import canonical_url, open_store
from binp.store.contract import BadStoreUrl


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return os.path.realpath(tmp_path)


def test_forms_of_one_path_are_one_url(here):
    """A relative URL begins at the current directory, and a plain path will do (ENV-01)."""
    expected = f"sqlite:///{here}/data.db"
    forms = ["sqlite:///data.db", f"sqlite:///{here}/data.db", "data.db", "./x/../data.db", f"{here}/data.db"]

    assert {canonical_url(form) for form in forms} == {expected}
    assert canonical_url(expected) == expected
    assert open_store("data.db").url == expected


def test_links_are_followed(here, tmp_path):
    """Two names of one file are one database."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "data.db").touch()
    (tmp_path / "other.db").symlink_to("real/data.db")

    assert canonical_url("link/data.db") == canonical_url("other.db") == f"sqlite:///{here}/real/data.db"


def test_nothing_is_opened(here):
    """Making a store touches nothing."""
    open_store("sqlite:///missing/data.db")
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("url", "what", "fix"),
    [
        ("", "the URL of the database is empty", "sqlite:///data.db is a file"),
        ("  ", "the URL of the database is empty", "sqlite:///data.db is a file"),
        (":memory:", "is not a file", "in a temporary directory"),
        ("sqlite:///:memory:", "is not a file", "in a temporary directory"),
        ("sqlite://", "is not a file", "in a temporary directory"),
        ("sqlite:///", "is not a file", "in a temporary directory"),
        ("file:x?mode=memory", "is not a file", "in a temporary directory"),
        ("mysql://host/db", "there is no store for 'mysql' databases", "sqlite:///data.db is a file"),
        ("redis:x", "there is no store for 'redis' databases", "sqlite:///data.db is a file"),
        ("postgresql://host/db", "not in PostgreSQL", "sqlite:///data.db is a file"),
        ("postgres+asyncpg://host/db", "not in PostgreSQL", "sqlite:///data.db is a file"),
        ("sqlite:data.db", "has too few slashes", "sqlite:///data.db, perhaps"),
        ("sqlite://data.db", "has too few slashes", "sqlite:///data.db, perhaps"),
        ("sqlite:///data.db?timeout=5", "has options", "sqlite:///data.db"),
        ("data\0.db", "has a NUL in it", "sqlite:///data.db is a file"),
    ],
)
def test_what_names_no_database_is_refused(url, what, fix):
    """Empty, in memory, another product, a slip: each says what is wrong and what to write instead (N-21)."""
    with pytest.raises(BadStoreUrl) as caught:
        open_store(url)

    assert isinstance(caught.value, UsageError)
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_a_password_is_not_repeated():
    """An error does not show the password of the URL."""
    with pytest.raises(BadStoreUrl) as caught:
        canonical_url("postgresql://ann:secret@host/db")

    assert "secret" not in str(caught.value)
    assert "ann:***@host" in str(caught.value)
