"""Variables, secret files, credentials, and names that mean two things."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buvar import config
from buvar.config._environ import variable_names


@attrs.define
class Pair:
    b_c: str = ""
    c: str = ""


@attrs.define
class Ambiguous:
    a: Pair = attrs.field(factory=Pair)
    a_b: Pair = attrs.field(factory=Pair)


@attrs.define
class Db:
    password: str = "default"
    host: str = "localhost"


@attrs.define
class Log:
    log: str = ""
    log_file: str = ""


def test_ambiguous_names_are_refused(refused):
    """CFG-03: one variable for two fields is refused, naming both and how to spell them (B-14)."""
    text = refused(config.ConfigSource(env_prefix="APP", environ={"APP_A_B_C": "x"}).load, Ambiguous)
    assert text == (
        "one problem in the configuration of Ambiguous\n"
        "  - a_b.c: APP_A_B_C may also mean a.b_c; spell it APP_A_B__C, or APP_A__B_C for the other"
        " (from environment variable APP_A_B_C)"
    )
    loaded = config.ConfigSource(env_prefix="APP", environ={"APP_A__B_C": "x", "APP_A_B__C": "y"}).load(Ambiguous)
    assert loaded == Ambiguous(Pair(b_c="x"), Pair(c="y"))
    assert config.ConfigSource(environ={"A__B_C": "x"}).load(Ambiguous).a.b_c == "x"
    assert config.ConfigSource(env_prefix="APP", environ={"APP__A__B_C": "x"}).load(Ambiguous).a.b_c == "x"
    assert "spell it A_B__C, or A__B_C" in refused(config.ConfigSource(environ={"A_B_C": "x"}).load, Ambiguous)


def test_ambiguous_sections_are_refused(refused):
    """CFG-03: also when the two fields are in sections that are loaded one after the other."""
    source = config.ConfigSource(environ={"A_B_C": "x"})
    assert source.load(Pair, "a").b_c == "x"
    assert "may also mean a.b_c" in refused(source.load, Pair, "a_b")


def test_set_twice(refused):
    """CFG-03: two variables for one field are refused."""
    environ = {"A_B_C": "x", "A__B_C": "y"}
    assert refused(config.ConfigSource(environ=environ).load, Pair, "a") == (
        "one problem in the configuration of Pair\n  - a.b_c: is set more than once: A_B_C and A__B_C"
    )


def test_secret_files(tmp_path, refused):
    """CFG-03: NAME_FILE names a file with the value, weaker than nothing but never beside NAME itself."""
    file = tmp_path / "secret"
    file.write_text("hush\n")
    environ = {"APP_DB_PASSWORD_FILE": str(file)}
    source = config.ConfigSource({"db": {"password": "file"}}, env_prefix="APP", environ=environ)
    assert source.load(Db, "db").password == "hush"
    environ["APP_DB_PASSWORD"] = "x"
    assert refused(source.load, Db, "db").splitlines()[1] == (
        "  - db.password: is set more than once: APP_DB_PASSWORD and APP_DB_PASSWORD_FILE"
    )
    del environ["APP_DB_PASSWORD"]
    file.write_bytes(b"\xff")
    assert refused(source.load, Db, "db").splitlines()[1] == (
        f"  - db.password: cannot read the secret file: it is not UTF-8"
        f" (from file {file} named by environment variable APP_DB_PASSWORD_FILE)"
    )
    file.unlink()
    assert "cannot read the secret file: No such file or directory" in refused(source.load, Db, "db")


def test_a_field_that_is_called_like_a_secret_file():
    """CFG-03: LOG_FILE is the field `log_file` where there is one, not a secret file for `log`."""
    assert config.ConfigSource(environ={"LOG_FILE": "/x"}).load(Log) == Log("", "/x")


@pytest.mark.parametrize("name", ["APP_DB_PASSWORD", "app_db_password", "db.password"])
def test_credentials_of_systemd(tmp_path, name):
    """CFG-03: a file of $CREDENTIALS_DIRECTORY fills the field that it is named after; the environment wins."""
    (tmp_path / name).write_text("hush\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    source = config.ConfigSource({"db": {"password": "file"}}, env_prefix="APP", environ=environ)
    assert source.load(Db, "db").password == "hush"
    holder = attrs.make_class("Holder", {"db": attrs.field(type=Db | None, default=None)})
    assert source.load(holder).db.password == "hush"
    environ["APP_DB_PASSWORD"] = "environment"
    assert source.load(Db, "db").password == "environment"


def test_credentials_folder_that_is_not_there(tmp_path):
    """CFG-03: a credentials folder that cannot be read holds nothing."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "missing")}
    assert config.ConfigSource(environ=environ).load(Db, "db") == Db()


def test_optional_nested_by_secret_file_or_assignment(tmp_path):
    """CFG-11: a secret file or an assignment is enough to make an optional nested class."""
    holder = attrs.make_class("Holder", {"db": attrs.field(type=Db | None, default=None)})
    (tmp_path / "x").write_text("hush")
    assert config.ConfigSource(environ={"DB_PASSWORD_FILE": str(tmp_path / "x")}).load(holder).db.password == "hush"
    source = config.ConfigSource(environ={})
    source.override("db.host=h")
    assert source.load(holder).db == Db(host="h")


WORDS = st.from_regex(r"[a-z]+(_[a-z]+)?", fullmatch=True)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=4))
def test_exact_names_are_exact(one, other):
    """CFG-03: with two underscores between the parts, different paths have different variables."""
    assert (variable_names((), one)[-1] == variable_names((), other)[-1]) == (one == other)
