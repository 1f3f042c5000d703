"""Sources are merged, read, overridden and reloaded, and fill classes of every kind."""

import dataclasses
import json
import pickle
import typing

import attr
import attrs
import cattrs
import pydantic
import pytest
import toml

from buvar import config
from buvar.secret import Secret

SNIPPET = """
import attr
import toml

from buvar import config

@attr.s(auto_attribs=True)
class GeneralConfig:
    log_level: str = "INFO"
    show_warnings: bool = config.bool_var(False)


@attr.s(auto_attribs=True)
class FoobarConfig:
   some: str


source = config.ConfigSource(toml.load('config.toml'), env_prefix="APP")

general_config = source.load(GeneralConfig)
assert general_config == GeneralConfig(log_level="DEBUG", show_warnings=True)

foobar_config = source.load(FoobarConfig, 'foobar')
assert foobar_config.some == "thing"
"""
TOML = """
log_level = "DEBUG"
show_warnings = "yes"

[foobar]
some = "value"
"""


def test_the_snippet_runs_as_printed(tmp_path, monkeypatch):
    """CFG-02, CFG-03, CFG-04: the configuration snippet of the reference runs verbatim (snippet B3, B-14c)."""
    (tmp_path / "config.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_FOOBAR_SOME", "thing")
    exec(compile(SNIPPET, "snippet", "exec", dont_inherit=True), {"__name__": "snippet"})


def test_merging():
    """CFG-01: dictionaries merge left to right, nested ones in depth; everything else is replaced."""
    first = {"a": 1, "n": {"x": 1, "y": [1]}, "s": 1, "m": {"k": 1}}
    source = config.ConfigSource(first, {"n": {"y": [2], "z": 3}, "s": {"now": "a map"}, "m": 5})
    assert isinstance(source, dict)
    assert source == {"a": 1, "n": {"x": 1, "y": [2], "z": 3}, "s": {"now": "a map"}, "m": 5}
    assert first == {"a": 1, "n": {"x": 1, "y": [1]}, "s": 1, "m": {"k": 1}}
    source.merge({"a": 2}, config.ConfigSource({"a": 3}, {"b": 4}))
    assert (source["a"], source["b"]) == (3, 4)


@pytest.mark.parametrize(
    ("given", "prefix"), [(None, ()), ("", ()), ("APP", ("APP",)), (("APP", "X"), ("APP", "X")), (["A"], ("A",))]
)
def test_env_prefix_is_a_tuple(given, prefix):
    """CFG-01: the prefix is kept as a tuple."""
    assert config.ConfigSource(env_prefix=given).env_prefix == prefix


@attr.s(auto_attribs=True)
class Foo:
    bar: str = "default"


@dataclasses.dataclass
class Data:
    bar: str = "default"


class Model(pydantic.BaseModel):
    bar: str = "default"


@pydantic.dataclasses.dataclass
class PydanticData:
    bar: str = "default"


KINDS = [Foo, Data, Model, PydanticData]


@pytest.mark.parametrize("cls", KINDS)
def test_classes_by_shape(cls, monkeypatch):
    """CFG-02: attrs, dataclass and pydantic classes, from the whole or a section; a missing section is empty."""
    source = config.ConfigSource({"bar": "root", "foo": {"bar": "section"}, "deep": {"er": {"bar": "deeper"}}})
    assert source.load(cls).bar == "root"
    assert source.load(cls, "foo").bar == "section"
    assert source.load(cls, "deep.er").bar == "deeper"
    assert source.load(cls, "missing").bar == "default"
    monkeypatch.setenv("FOO_BAR", "environment")
    assert source.load(cls, "foo").bar == "environment"
    assert type(source.load(cls, "foo")) is cls


@pytest.mark.parametrize("cls", [int, dict, str, list[int], "Foo", None, type("Plain", (), {})], ids=repr)
def test_other_classes(cls):
    """CFG-02: another class is a TypeError that names it."""
    with pytest.raises(config.ConfigClassError, match="has no fields to load") as caught:
        config.ConfigSource().load(cls)
    assert isinstance(caught.value, TypeError)
    assert caught.value.cls is cls


def test_the_text_of_a_class_without_fields():
    """CFG-02: the error says what to do."""
    with pytest.raises(config.ConfigClassError) as caught:
        config.ConfigSource().load(int)
    assert str(caught.value) == "int has no fields to load\n  fix:   make it an attrs, dataclass or pydantic class"
    with pytest.raises(config.ConfigClassError):
        config.get_fields(int)


def test_environment_wins_and_is_read_at_each_load(monkeypatch):
    """CFG-03: PREFIX_SECTION_FIELD wins over files; without prefix SECTION_FIELD; read at each load."""
    source = config.ConfigSource({"foo": {"bar": "file"}}, env_prefix="APP")
    assert source.load(Foo, "foo").bar == "file"
    monkeypatch.setenv("APP_FOO_BAR", "first")
    assert source.load(Foo, "foo").bar == "first"
    monkeypatch.setenv("APP_FOO_BAR", "second")
    assert source.load(Foo, "foo").bar == "second"
    assert config.ConfigSource(environ={"BAR": "given"}).load(Foo).bar == "given"
    assert (
        config.ConfigSource(environ={"A_B_FOO_BAR": "two parts"}, env_prefix=("a", "b")).load(Foo, "foo").bar
        == "two parts"
    )


@attrs.define
class Inner:
    x: int = 1
    y: int = 2


@attrs.define
class Required:
    needed: str
    other: int = 0


@attrs.define
class Outer:
    inner: Inner = attrs.field(factory=lambda: Inner(5, 6))
    required: Required = attrs.field(factory=lambda: Required("given"))
    optional: Inner | None = None
    instances: list[Inner] = attrs.field(factory=list)


def test_nested_defaults_are_kept():
    """CFG-11: a default of a nested class is kept, also where only some of its fields are given (B-14)."""
    assert config.ConfigSource().load(Outer) == Outer()
    loaded = config.ConfigSource({"inner": {"x": 7}}, environ={"REQUIRED_OTHER": "3"}).load(Outer)
    assert (loaded.inner, loaded.required) == (Inner(7, 6), Required("given", 3))


def test_optional_nested_from_the_environment():
    """CFG-11: an optional nested class can be filled from the environment alone (B-14), else it is None."""
    assert config.ConfigSource(environ={"OPTIONAL_Y": "9"}).load(Outer).optional == Inner(1, 9)
    assert config.ConfigSource(environ={"OPTIONAL_SOMETHING": "9"}).load(Outer).optional is None
    assert config.ConfigSource({"optional": None}, environ={}).load(Outer).optional is None
    made = Inner(3, 4)
    assert config.ConfigSource({"optional": made}, environ={}).load(Outer).optional is made
    assert config.ConfigSource({"optional": made}, environ={"OPTIONAL_X": "1"}).load(Outer).optional == Inner(1, 4)


def test_lists_of_classes_come_from_files(refused):
    """CFG-11: a list of classes is filled from files; a problem in it knows its index."""
    source = config.ConfigSource({"instances": [{"x": 1}, {"y": 3}]}, environ={})
    assert source.load(Outer).instances == [Inner(1, 2), Inner(1, 3)]
    text = refused(config.ConfigSource({"instances": [{"x": 1}, {"z": 3}, 5]}, environ={}).load, Outer)
    assert text == (
        "2 problems in the configuration of Outer\n"
        "  - instances[1].z: unknown key (from dict #1)\n"
        "  - instances[2]: 5 is not a table (from dict #1)"
    )


@attrs.define
class Node:
    name: str = "leaf"
    below: "Node | None" = None
    deeper: typing.Optional["Middle"] = None


@attrs.define
class Middle:
    node: Node
    mapped: dict[str, Inner] = attrs.field(factory=dict)


def test_recursive_classes():
    """CFG-11: a class may hold itself; the environment reaches as deep as there are variables."""
    environ = {"BELOW_BELOW_NAME": "deep", "DEEPER_NODE_NAME": "other"}
    assert config.ConfigSource(environ=environ).load(Node) == Node(
        below=Node(below=Node(name="deep")), deeper=Middle(Node(name="other"))
    )


def test_maps_of_classes():
    """CFG-11: the values of a map may be classes."""
    source = config.ConfigSource({"node": {}, "mapped": {"a": {"x": 4}}}, environ={"MAPPED": ""})
    assert source.load(Middle) == Middle(Node(), {})
    source = config.ConfigSource({"node": {}, "mapped": {"a": {"x": 4}}}, environ={})
    assert source.load(Middle) == Middle(Node(), {"a": Inner(4, 2)})


def test_every_problem_at_once(refused):
    """CFG-06: a failed load lists every problem with its path and its source, and is cattrs' error too (B-14)."""

    @attrs.define
    class Db:
        dsn: str
        pool_size: int = 42

    @attrs.define(kw_only=True)
    class App:
        name: str
        debug: bool
        db: Db
        tags: list[int] = attrs.field(factory=list)
        needed: int

    source = config.ConfigSource(
        {"app": {"name": 5, "db": {"pool_sise": 1, "pool_size": True}, "tags": [1, "x"]}},
        env_prefix="APP",
        environ={"APP_APP_DEBUG": "ture"},
    )
    with pytest.raises(cattrs.errors.ClassValidationError) as caught:
        source.load(App, "app")
    error = caught.value
    assert isinstance(error, config.ConfigLoadError)
    assert isinstance(error, config.ConfigError)
    assert error.cl is App
    assert str(error) == (
        "7 problems in the configuration of test_every_problem_at_once.<locals>.App\n"
        "  - app.name: 5 is not text (quote it) (from dict #1)\n"
        "  - app.debug: 'ture' is not a boolean (use true/false, yes/no, on/off or 1/0)"
        " (from environment variable APP_APP_DEBUG)\n"
        "  - app.db.pool_sise: unknown key, did you mean 'pool_size'? (from dict #1)\n"
        "  - app.db.dsn: missing; set it in a file or as APP_APP_DB_DSN\n"
        "  - app.db.pool_size: True is not an integer (from dict #1)\n"
        "  - app.tags[1]: 'x' is not an integer (from dict #1)\n"
        "  - app.needed: missing; set it in a file or as APP_APP_NEEDED"
    )
    assert error.problems[0] == config.Problem("app.name", "5 is not text (quote it)", "dict #1")
    assert [str(each) for each in error.exceptions] == [str(each) for each in error.problems]
    part, _ = error.split(lambda each: str(each).startswith("app.name"))
    assert type(part) is cattrs.errors.ClassValidationError


def test_one_problem_and_pickling(refused):
    """CFG-06: one problem is called one; the error survives pickling."""
    with pytest.raises(config.ConfigLoadError) as caught:
        config.ConfigSource(environ={}).load(Required)
    assert str(caught.value) == (
        "one problem in the configuration of Required\n  - needed: missing; set it in a file or as NEEDED"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_unknown_keys(refused):
    """CFG-02: unknown keys are ignored at the root, where other sections live, and an error in a section."""
    source = config.ConfigSource({"foobar": {"some": 1}, "bar": "x"}, {"foo": {"baar": 1, "other": 2}})
    assert source.load(Foo).bar == "x"
    assert refused(source.load, Foo, "foo") == (
        "2 problems in the configuration of Foo\n"
        "  - foo.baar: unknown key, did you mean 'bar'? (from dict #2)\n"
        "  - foo.other: unknown key (from dict #2)"
    )


def test_a_section_that_is_no_table(refused):
    """CFG-02: a section that is a value is said to be one."""
    assert refused(config.ConfigSource({"foo": 5}).load, Foo, "foo") == (
        "one problem in the configuration of Foo\n  - foo: 5 is not a table (from dict #1)"
    )
    assert refused(config.ConfigSource({"foo": 5}).load, Foo, "foo.bar").endswith("foo.bar: 5 is not a table")


def test_keys_with_dashes(refused):
    """CFG-02: a key may be written with dashes, but only once."""

    @attrs.define
    class Pool:
        pool_size: int
        _private: int = 0

    source = config.ConfigSource({"p": {"pool-size": 3, "private": 4}})
    assert source.load(Pool, "p") == Pool(3, 4)
    assert refused(config.ConfigSource({"p": {"pool-size": 3, "pool_size": 4}}).load, Pool, "p").splitlines()[1] == (
        "  - p.pool_size: is given twice, as 'pool-size' and 'pool_size' (from dict #1)"
    )


def test_files(tmp_path):
    """CFG-01: TOML and JSON files are layers, later ones winning; problems name the file."""
    (tmp_path / "a.toml").write_text("[foo]\nbar = 'a'\nx = 1\n")
    (tmp_path / "b.json").write_text(json.dumps({"foo": {"bar": "b"}}))
    source = config.ConfigSource.files(tmp_path / "a.toml", str(tmp_path / "b.json"), env_prefix="APP", environ={})
    assert source == {"foo": {"bar": "b", "x": 1}}
    assert source.env_prefix == ("APP",)
    with pytest.raises(config.ConfigLoadError, match=r"foo\.x: unknown key \(from .*a\.toml\)"):
        source.load(Foo, "foo")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.toml", None, "No such file or directory"),
        ("a.toml", b"x = ", "Invalid value (at end of document)"),
        ("a.toml", b"x = '\xff'", "'utf-8' codec can't decode byte 0xff in position 5: invalid start byte"),
        ("a.json", b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("a.json", b"[]", "it holds no object\n  fix:   put the settings into { }"),
        ("a.yaml", b"", "it is neither TOML nor JSON\n  fix:   name it *.toml, *.json or *.env"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, reason):
    """CFG-01: a file that is missing, malformed or of another kind is an error that names it."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(config.ConfigFileError) as caught:
        config.ConfigSource.files(file)
    assert caught.value.path == str(file)
    assert str(caught.value) == f"cannot read the configuration file {file}: {reason}"


def test_assignments(refused):
    """CFG-03: `--set` assignments win over the environment; maps are assigned by key; wrong ones are errors."""

    @attrs.define
    class App:
        size: int = 1
        limits: dict[str, int] = attrs.field(factory=dict)
        inner: Inner | None = None

    source = config.ConfigSource({"app": {"limits": {"a": 1}}}, environ={"APP_SIZE": "2"})
    source.override("app.size=3", "app.limits.b=4", "app.inner.x=8")
    assert source.load(App, "app") == App(3, {"a": 1, "b": 4}, Inner(8, 2))
    source.override("app.sise=3", "app.limits.b=x")
    assert refused(source.load, App, "app").splitlines()[1:] == [
        "  - app.sise: unknown key, did you mean 'size'? (from --set app.sise)",
        "  - app.limits.b: 'x' is not an integer (from --set app.limits)",
    ]
    for wrong in ("app.size", "=3", "app..size=3"):
        with pytest.raises(config.ConfigError) as caught:
            source.override(wrong)
        assert str(caught.value) == f"{wrong!r} is not an assignment\n  fix:   write it as section.key=value"


def test_reload(tmp_path):
    """CFG-01: a reload swaps when everything that was loaded is valid, and says what changed; else nothing changes."""
    file = tmp_path / "a.toml"
    file.write_text("[foo]\nbar = 'a'\n[in]\nx = 1\n")
    source = config.ConfigSource({"foo": {"bar": "below"}}, environ={})
    source.add_file(file)
    old = source.load(Foo, "foo")
    source.load(Inner, "in")
    assert source.reload() == []
    file.write_text("[foo]\nbar = 'b'\n[in]\nx = 1\n")
    assert source.reload() == [config.Change("foo", old, Foo("b"))]
    assert source.reload() == []
    assert old == Foo("a")
    file.write_text("[foo]\nbar = 'c'\n[in]\nx = 'no'\n")
    with pytest.raises(config.ConfigLoadError):
        source.reload()
    file.unlink()
    with pytest.raises(config.ConfigFileError):
        source.reload()
    assert source["foo"] == {"bar": "b"}
    assert source.load(Foo, "foo") == Foo("b")


def test_a_reload_is_taken_back(tmp_path):
    """CFG-01: what a reload brought can be taken back, once; whoever watches is told of both."""
    file = tmp_path / "a.toml"
    file.write_text("[foo]\nbar = 'a'")
    source = config.ConfigSource.files(file, environ={})
    source.load(Foo, "foo")
    seen = []
    source.watch(lambda change: seen.append((change.old.bar, change.new.bar)))
    file.write_text("[foo]\nbar = 'b'")
    changes = source.reload()
    assert changes.unheard == ()
    changes.undo()
    changes.undo()

    assert seen == [("a", "b"), ("b", "a")]
    assert source.load(Foo, "foo") == Foo("a")
    assert source == {"foo": {"bar": "a"}}


def test_what_was_loaded_follows_by_itself(tmp_path, caplog):
    """CFG-01: a reload calls `__superseded__` of what it replaces; changes that nobody takes over are named."""

    @dataclasses.dataclass
    class Follows:
        bar: str

        def __superseded__(self, new):
            seen.append((type(self).__name__, self.bar, new.bar))

    class Fails(Follows):
        def __superseded__(self, new):
            super().__superseded__(new)
            raise RuntimeError("no")

    class Refuses(Follows):
        def __superseded__(self, new):
            super().__superseded__(new)
            return False

    seen = []
    file = tmp_path / "a.toml"
    sections = {"foo": Follows, "fails": Fails, "refuses": Refuses, "other": Foo}
    file.write_text("\n".join(f"[{name}]\nbar = 'a'" for name in sections))
    source = config.ConfigSource.files(file, environ={})
    for name, cls in sections.items():
        source.load(cls, name)
    file.write_text("\n".join(f"[{name}]\nbar = 'b'" for name in sections))
    changes = source.reload()

    assert seen == [("Follows", "a", "b"), ("Fails", "a", "b"), ("Refuses", "a", "b")]
    assert caplog.messages == ["The changes of fails could not be applied"]
    assert [change.section for change in changes] == list(sections)
    assert [change.section for change in changes.unheard] == ["fails", "refuses", "other"]
    source.watch(lambda _: None)
    file.write_text("\n".join(f"[{name}]\nbar = 'c'" for name in sections))
    assert [change.section for change in source.reload().unheard] == ["fails", "refuses"]


@pytest.mark.parametrize("prefix", ["APP", "APP_", "app", ("APP", ""), ("APP_",)])
def test_a_prefix_may_end_with_an_underscore(prefix):
    """CFG-03: the underscore between prefix and section may be written at the end of the prefix, too."""
    source = config.ConfigSource(env_prefix=prefix, environ={"APP_FOO_BAR": "here"})
    assert source.load(Foo, "foo") == Foo("here")
    assert source.check_env() == []


@pytest.mark.parametrize("prefix", ["_", "__", ("", "_"), "1_"])
def test_a_prefix_without_a_letter_is_refused(prefix):
    """CFG-03: a prefix of which nothing would be left is an error, instead of none."""
    with pytest.raises(config.ConfigError, match="contains no letter"):
        config.ConfigSource(env_prefix=prefix)


@dataclasses.dataclass
class Easy:
    size: int = 1
    log_level: str = ""


@pytest.mark.parametrize(
    ("tree", "section", "expected"),
    [
        ({"databse": {}}, "database", ["databse: is loaded into no class, did you mean 'database'? (from dict #1)"]),
        ({"data-bases": {}}, "data_base",
         ["data-bases: is loaded into no class, did you mean 'data_base'? (from dict #1)"]),
        ({"LGO": {}}, "log", ["LGO: is loaded into no class, did you mean 'log'? (from dict #1)"]),
        ({"shop": {"databse": {}}}, "shop.database",
         ["shop.databse: is loaded into no class, did you mean 'database'? (from dict #1)"]),
        ({"log_levl": "INFO"}, None, ["log_levl: is loaded into no class, did you mean 'log_level'? (from dict #1)"]),
        # of somebody who does not run here
        ({"billing": {}, "main": {}}, "mail", []),
        # there is what was looked for
        ({"database": {}, "databse": {}}, "database", []),
        ({"shop": {"data-base": {}, "data-bases": {}}}, "shop.data_base", []),
        ({"shop": {}, "shops": {}}, "shop.database", []),
        # a class waits for it
        ({"known": {}}, "knowns", []),
        # what has the name of something that was read, or is above it
        ({"bases": {}, "shop": {"x": {}}}, ["base", "bases", "shop.x", "shops"], []),
    ],
)  # fmt: skip
def test_a_misspelt_section_is_named(reset_config_sections, tree, section, expected):
    """CFG-02: what nobody reads and is called nearly like what was looked for in vain is named; all else is not."""

    @dataclasses.dataclass
    class Known(config.Config, section="known"):
        size: int = 1

    source = config.ConfigSource(tree, environ={})
    for each in section if isinstance(section, list) else [section]:
        source.load(Easy, each)
    assert [str(problem) for problem in source.check_sections()] == expected


def test_pydantic_speaks_for_itself(refused):
    """CFG-02: what a pydantic class refuses is mapped to paths and sources; aliases and validators work."""

    class Small(pydantic.BaseModel):
        size: typing.Annotated[int, pydantic.Field(gt=0)] = 1
        tags: list[str] = []
        raw: typing.Annotated[int, pydantic.BeforeValidator(lambda it: len(it))] = 0
        named: int = pydantic.Field(default=0, alias="Named")
        made: list[int] = pydantic.Field(default_factory=list)
        password: pydantic.SecretStr = pydantic.SecretStr("")
        token: typing.Annotated[str, pydantic.Field(max_length=3)] = ""

        @pydantic.field_validator("tags", mode="before")
        @classmethod
        def split(cls, value):
            return value.split(";")

        @pydantic.model_validator(mode="after")
        def check(self):
            if self.size == 13:
                raise ValueError("no 13")
            return self

    source = config.ConfigSource({"s": {"raw": "abc", "Named": 3}}, environ={"S_TAGS": "a;b", "S_PASSWORD": "hush"})
    loaded = source.load(Small, "s")
    assert (loaded.tags, loaded.raw, loaded.named, loaded.made) == (["a", "b"], 3, 3, [])
    assert loaded.password.get_secret_value() == "hush"
    wrong = config.ConfigSource({"s": {"size": 0, "token": "much too long"}}, environ={})
    assert refused(wrong.load, Small, "s").splitlines()[1:] == [
        "  - s.size: 0 is not valid: input should be greater than 0 (from dict #1)",
        "  - s.token: string should have at most 3 characters (from dict #1)",
    ]
    wrong = config.ConfigSource({"s": {"size": 13}}, environ={})
    assert refused(wrong.load, Small, "s").splitlines()[1:] == ["  - s: value error, no 13"]
    assert refused(config.ConfigSource({"s": {"sise": 13}}, environ={}).load, Small, "s").splitlines()[1:] == [
        "  - s.sise: unknown key, did you mean 'size'? (from dict #1)"
    ]


def test_pydantic_extras():
    """CFG-02: a pydantic class that says what becomes of unknown keys is obeyed."""

    class Allows(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")

    class Ignores(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="ignore")

    source = config.ConfigSource({"s": {"more": 1}})
    assert source.load(Allows, "s").more == 1
    assert source.load(Ignores, "s") == Ignores()


def test_kinds_inside_each_other():
    """CFG-11: classes of one kind hold those of another."""

    @dataclasses.dataclass
    class Middle:
        model: Model
        made: dict = dataclasses.field(init=False, default_factory=dict)

    @attrs.define
    class Top:
        middle: Middle
        made: int = attrs.field(init=False, default=3)

    assert config.ConfigSource(environ={"MIDDLE_MODEL_BAR": "x"}).load(Top) == Top(Middle(Model(bar="x")))


def test_validators_of_attrs(refused):
    """CFG-06: what a validator of attrs refuses is a problem of its field; secrets are not quoted."""

    @attrs.define
    class App:
        size: int = attrs.field(default=1, validator=attrs.validators.gt(0))
        password: str = attrs.field(default="long enough", validator=attrs.validators.min_len(5))

        def __attrs_post_init__(self):
            if self.size == 13:
                raise ValueError(f"no 13 with {self.password}")
            if self.size == 14:
                raise ValueError

    def load(**values):
        return config.ConfigSource({"a": values}, environ={}).load(App, "a")

    assert refused(lambda: load(size=0)).splitlines()[1:] == ["  - a.size: 'size' must be > 0: 0 (from dict #1)"]
    assert refused(lambda: load(password="abcd")).splitlines()[1:] == [
        "  - a.password: *** is not valid (ValueError) (from dict #1)"
    ]
    assert refused(lambda: load(size=13, password="secret")).splitlines()[1:] == ["  - a: no 13 with ***"]
    assert refused(lambda: load(size=14)).splitlines()[1:] == ["  - a: ValueError"]


def test_secrets_are_never_shown(refused):
    """CFG-06: the value of a secret field, by type or by name, is in no message."""

    @attrs.define
    class App:
        password: int
        pin: Secret[int]
        keys: dict[str, Secret[int]]
        api_token: bytes
        odd: typing.Any = attrs.field(default=None, converter=lambda value: int(value))

    values = {"password": "hush-1", "pin": "hush-2", "keys": {"a": "hush-3"}, "api_token": 77, "odd": "hush-1"}
    text = refused(config.ConfigSource({"a": values}, environ={}).load, App, "a")
    assert text.splitlines()[1:] == [
        "  - a.password: *** is not an integer (from dict #1)",
        "  - a.pin: *** is not an integer (from dict #1)",
        "  - a.keys.a: *** is not an integer (from dict #1)",
        "  - a.api_token: *** is not text (quote it) (from dict #1)",
        "  - a.odd: 'hush-1' is not valid: invalid literal for int() with base 10: '***' (from dict #1)",
    ]


def test_secret_values_load():
    """CFG-03: `Secret[T]` holds what T reads."""

    @attrs.define
    class App:
        plain: Secret
        number: Secret[int]

    loaded = config.ConfigSource({"plain": Secret("x")}, environ={"NUMBER": "5"}).load(App)
    assert (loaded.plain.reveal(), loaded.number.reveal()) == ("x", 5)
    assert toml.dumps({}) == ""


@attrs.define
class Leaf:
    x: int = 1


@attrs.define
class Branch:
    leaf: Leaf = Leaf(5)
    other: Leaf = Leaf(6)
    name: str = ""


@attrs.define
class Tree:
    branch: Branch = Branch(Leaf(7), Leaf(8))
    optional: Leaf | None = attrs.field(kw_only=True)


def test_defaults_two_levels_down():
    """CFG-11: the values of a default instance stand at every depth; a nested class that may be None and is required
    is None without a word; a variable below finds its way past its siblings (B-14)."""
    tree = config.ConfigSource({"branch": {"name": "x"}}, environ={"BRANCH_OTHER_X": "9"}).load(Tree)
    assert tree == Tree(Branch(Leaf(7), Leaf(9), "x"), optional=None)


def test_fields_without_annotations():
    """CFG-02: fields of attrs that have a type and no annotation, inherited ones among them."""
    base = attr.make_class("Base", {"x": attr.ib(type=int)})
    derived = attr.make_class("Derived", {"y": attr.ib(), "z": attr.ib(type=bool, default=False)}, bases=(base,))
    assert config.ConfigSource({"x": "1", "y": "2", "z": "yes"}, environ={}).load(derived) == derived(1, "2", True)


def test_fields_of_pydantic_that_are_computed():
    """CFG-02: a field of a pydantic dataclass that its constructor does not take is no setting."""

    @pydantic.dataclasses.dataclass
    class Made:
        x: int
        y: int = dataclasses.field(init=False, default=3)

    assert config.ConfigSource({"x": 1}, environ={}).load(Made) == Made(1)


def test_secrets_in_the_words_of_others(refused):
    """CFG-02: what a converter or a validator says about a secret is not repeated, short secrets least of all."""

    def convert(value):
        raise RuntimeError(f"bad {value}")

    def validate(instance, attribute, value):
        raise ValueError(f"cannot take {value}, nor {instance}")

    @attrs.define
    class One:
        password: str = config.var(converter=convert)

    @attrs.define
    class Other:
        token: str = attrs.field()
        name: str = attrs.field(validator=validate)

    text = refused(config.ConfigSource({"password": "hunter2"}, environ={}).load, One)
    assert text.splitlines()[1] == "  - password: *** is not valid (RuntimeError) (from dict #1)"
    text = refused(config.ConfigSource({"token": "xy", "name": "xy"}, environ={}).load, Other)
    assert "cannot take" not in text
    assert "the reason would show a secret" in text


def test_shapes_of_what_has_none():
    """CFG-10: the generated help of a class without fields is refused."""
    with pytest.raises(config.ConfigClassError, match="^int has no fields to load"):
        config.generate_env_help(int)


def test_a_nested_class_that_is_missing(refused):
    """CFG-11: where a nested class is required and nothing is given, its own required fields are named."""

    @attrs.define
    class Db:
        url: str

    @attrs.define
    class Needs:
        db: Db

    assert refused(config.ConfigSource(environ={}).load, Needs).splitlines()[1:] == [
        "  - db.url: missing; set it in a file or as DB_URL"
    ]


@dataclasses.dataclass
class Folder:
    path: str


@dataclasses.dataclass
class Bucket:
    name: str
    key: Secret[str]


@dataclasses.dataclass
class Storing:
    place: Folder | Bucket | None = None
    names: list[str] = dataclasses.field(default_factory=list)


def test_a_table_in_a_message_shows_its_keys_alone():
    """B-14: what fits no class of a union says why for each; no value is shown, for it may be a misspelt secret."""
    source = config.ConfigSource(
        {"store": {"place": {"name": "b", "kye": "hunter2"}, "names": {"password": "hunter2"}}}, environ={}
    )
    with pytest.raises(config.ConfigLoadError) as caught:
        source.load(Storing, "store")
    union, names = (problem.message for problem in caught.value.problems)
    assert union.startswith("a table of name, kye is no Folder (name: unknown key; kye: unknown key; path: missing;")
    assert "and is no Bucket (kye: unknown key, did you mean 'key'?; key: missing;" in union
    assert names == "a table of password is not a list"
    assert "hunter2" not in str(caught.value)
    source.merge({"store": {"place": None, "names": [{"password": "hunter2"}]}})
    with pytest.raises(config.ConfigLoadError) as caught:
        source.load(Storing, "store")
    assert "hunter2" not in str(caught.value)


def test_what_is_no_dictionary():
    """CFG-01: a path in place of a dictionary is told with how files are read."""
    with pytest.raises(config.ConfigError) as caught:
        config.ConfigSource("app.toml")
    assert str(caught.value) == "'app.toml' is no dictionary\n  fix:   read files by ConfigSource.files(...)"


def test_assignments_that_nothing_reads():
    """CFG-02: an assignment to a section that is read by nobody is found, and what may have been meant."""
    source = config.ConfigSource(environ={})
    source.override("stor.names=a", "store.names=a", "other=1")
    source.load(Storing, "store")

    assert [str(problem) for problem in source.check_assignments()] == [
        "stor.names: is read by nothing, did you mean store.names? (from --set stor.names)",
        "other: is read by nothing (from --set other)",
    ]
