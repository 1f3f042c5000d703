"""Files of variables: how they are written, and where they stand among the other sources."""

import dataclasses
import logging

import pytest

from buvar import config


@dataclasses.dataclass(frozen=True)
class Db:
    url: str = "none"
    password: str = "none"


@dataclasses.dataclass(frozen=True)
class App:
    name: str = "default"
    db: Db | None = None


@pytest.fixture
def env(tmp_path):
    """Write a file of variables."""

    def write(text, name=".env"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("APP_NAME=plain", "plain"),
        ("  export APP_NAME = plain  ", "plain"),
        ("APP_NAME=two words # and a remark", "two words"),
        ("APP_NAME=a#b", "a#b"),
        ("APP_NAME=", ""),
        ("APP_NAME= # nothing", ""),
        ("APP_NAME='  lit\\n #\"' # remark", '  lit\\n #"'),
        ('APP_NAME="a\\tb\\n\\"c\\" \\\\ #"', 'a\tb\n"c" \\ #'),
        ("APP_NAME=$HOME", "$HOME"),
        ("# APP_NAME=no\n\nAPP_NAME=one\nAPP_NAME=two", "two"),
    ],
)
def test_how_a_value_is_written(env, line, value):
    """Values stand plain, in single or in double quotes; nothing is expanded; the last one counts."""
    source = config.ConfigSource.files(env(line), environ={})
    assert source.load(App, "app") == App(name=value)


@pytest.mark.parametrize("line", ["APP_NAME", "1A=b", "A='b", 'A="b" c', "A B=c"])
def test_a_line_that_is_no_assignment(env, line):
    """A line that is not an assignment is refused with its number."""
    file = env(f"OK=1\n{line}")
    with pytest.raises(config.ConfigFileError) as caught:
        config.ConfigSource.files(file)
    assert str(caught.value) == (
        f"cannot read the configuration file {file}: line 2 is not an assignment\n"
        "  fix:   write it as NAME=value, the value in quotes where it has quotes or spaces around it"
    )


def test_a_file_that_cannot_be_read(env, tmp_path):
    """A file of variables that is named has to be there, and to be text."""
    with pytest.raises(config.ConfigFileError, match="No such file"):
        config.ConfigSource.files(tmp_path / "no.env")
    (tmp_path / "bad.env").write_bytes(b"\xff=1")
    with pytest.raises(config.ConfigFileError, match="invalid start byte"):
        config.ConfigSource.files(tmp_path / "bad.env")


@pytest.mark.parametrize("name", [".env", ".env.local", "live.env"])
def test_order_of_the_sources(env, tmp_path, name, refused):
    """Files of variables win over TOML and dictionaries; secret files and the environment win over them."""
    (tmp_path / "a.toml").write_text("[app]\nname = 'toml'\n[app.db]\nurl = 'toml'\n")
    (tmp_path / "secret").write_text("from the file\n")
    file = env(f"X_APP_NAME=listed\nX_APP_DB_PASSWORD_FILE={tmp_path / 'secret'}\n", name)
    source = config.ConfigSource.files(file, tmp_path / "a.toml", env_prefix="X", environ={})
    assert source.load(App, "app") == App("listed", Db("toml", "from the file"))

    environ = {"X_APP_NAME": "environment"}
    source = config.ConfigSource.files(file, tmp_path / "a.toml", env_prefix="X", environ=environ)
    assert source.load(App, "app").name == "environment"
    (tmp_path / "name").write_text("by file")
    environ = {"X_APP_NAME_FILE": str(tmp_path / "name")}
    source = config.ConfigSource.files(file, env_prefix="X", environ=environ)
    assert source.load(App, "app").name == "by file"


def test_problems_name_the_line(env, refused):
    """A problem with a variable of a file names the file and the line."""

    @dataclasses.dataclass
    class Port:
        port: int = 1
        secret: str = ""

    file = env("\nPORT=abc\nSECRET_FILE=/nowhere/at/all\n")
    assert refused(lambda: config.ConfigSource.files(file, environ={}).load(Port)) == (
        "2 problems in the configuration of test_problems_name_the_line.<locals>.Port\n"
        f"  - port: 'abc' is not an integer (from variable PORT in {file} line 2)\n"
        "  - secret: cannot read the secret file: No such file or directory (from file /nowhere/at/all named by "
        f"variable SECRET_FILE in {file} line 3)"
    )


def test_variables_that_nothing_reads(env):
    """`check_env` names variables that look like settings and are none, and the one that may have been meant."""
    file = env("MY_APP_NAM=x\nOTHER=1\nMY_APP_NAME=y\n")
    environ = {"MY_APP_DB_URLL": "x", "MY_APP_DB_URL": "y", "HOME": "/"}
    source = config.ConfigSource.files(file, env_prefix="MY", environ=environ)
    source.load(App, "app")
    assert [str(problem) for problem in source.check_env()] == [
        "MY_APP_DB_URLL is read by nothing, did you mean MY_APP_DB_URL? (from environment variable MY_APP_DB_URLL)",
        f"MY_APP_NAM is read by nothing, did you mean MY_APP_NAME? (from variable MY_APP_NAM in {file} line 1)",
    ]


def test_without_a_prefix_only_files_are_checked(env):
    """Without a prefix nobody can tell whose a variable of the environment is; those of a file are ours."""
    source = config.ConfigSource.files(env("ZZZ=1\n"), environ={"HOME": "/"})
    assert [problem.message for problem in source.check_env()] == ["ZZZ is read by nothing"]


def test_reload(env, caplog):
    """A reload reads the variables again and tells those who watch, whatever one of them raises."""
    file = env("NAME=one\n")
    source = config.ConfigSource.files(file, environ={})
    assert source.load(App).name == "one"
    seen = []

    def broken(change):
        raise LookupError("no luck")

    source.watch(broken)
    end = source.watch(seen.append)
    file.write_text("NAME=two\n")
    source.reload()
    assert seen == [config.Change(None, App("one"), App("two"))]
    assert [record.exc_info[0] for record in caplog.records if record.levelno == logging.ERROR] == [LookupError]
    end()
    end()
    file.write_text("NAME=three\n")
    source.reload()
    assert len(seen) == 1
    assert source.load(App).name == "three"
