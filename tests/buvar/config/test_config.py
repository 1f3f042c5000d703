"""Sections by class, fields by declaration, and the generated help."""

import dataclasses
import sys
import types

import attr
import attrs
import pydantic
import pytest
import toml

from buvar import config, context, di, plugin
from buvar.secret import Secret


@pytest.fixture(autouse=True)
def own_adapters(buvar_adapters_setup_contextvars):
    """What a test registers stays in it."""


def test_snippet_of_sections(tmp_path, monkeypatch):
    """CFG-07, CFG-08: the snippet of sections runs, once its imports are there (snippet B4, B-14c)."""
    (tmp_path / "config.toml").write_text('log_level = "DEBUG"\nshow_warnings = "yes"\n[foobar]\nsome = "value"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_FOOBAR_SOME", "thing")
    space = {"attr": attr, "toml": toml, "context": context, "di": di, "__name__": "snippet"}
    exec(compile(SNIPPET, "snippet", "exec", dont_inherit=True), space)
    seen = []

    async def check():
        seen.append((await di.nject(space["FoobarConfig"])).some)
        seen.append(await di.nject(space["GeneralConfig"]))

    plugin.stage(space["prepare"], check)
    assert seen == ["thing", space["GeneralConfig"](log_level="DEBUG", show_warnings=True)]


SNIPPET = """
from buvar import config, plugin


@attr.s(auto_attribs=True)
class GeneralConfig(config.Config):
    log_level: str = "INFO"
    show_warnings: bool = config.bool_var(False)


@attr.s(auto_attribs=True)
class FoobarConfig(config.Config, section="foobar"):
    some: str


async def prepare(load: plugin.Loader):
    # this would by typically placed in the main CLI entry point
    source = context.add(config.ConfigSource(toml.load('config.toml'), env_prefix="APP"))

    # to provide the adapter to di, which could also be done in the main entry point
    await load(config)
    foobar_config = await di.nject(FoobarConfig)
"""


async def test_sections_are_injected(monkeypatch):
    """CFG-07: a section comes from the source in the keywords or the context; without one, from the environment."""

    @attrs.define
    class X(config.Config, section="foobar"):
        some: str = "default"

    await config.prepare()
    assert await di.nject(X) == X()
    monkeypatch.setenv("FOOBAR_SOME", "environment")
    assert await di.nject(X) == X("environment")
    monkeypatch.delenv("FOOBAR_SOME")
    assert await di.nject(X, source=config.ConfigSource({"foobar": {"some": "keyword"}})) == X("keyword")
    with context.child():
        context.add(config.ConfigSource({"foobar": {"some": "context"}}))
        assert await di.nject(X) == X("context")


@pytest.mark.parametrize("options", [{}, {"section": None}], ids=["no section", "section=None"])
async def test_root_config(options):
    """CFG-08: without section, and with `section=None`, a class is filled from the root (B-14c)."""

    @dataclasses.dataclass
    class General(config.Config, **options):
        level: str = "INFO"

    await config.prepare()
    source = config.ConfigSource({"level": "DEBUG", "other": {"x": 1}})
    assert await di.nject(General, source=source) == General("DEBUG")


def test_registry():
    """CFG-09: named sections are registered; a class that names none is not, and has the section of its base."""

    class Mixin(config.Config):
        pass

    class X(Mixin, section="x"):
        pass

    class Y(X):
        pass

    class Skips(X, section=config.skip_section):
        pass

    assert config.Config.__buvar_config_sections__ == {"x": X}
    assert Mixin.__buvar_config_section__ is config.skip_section
    assert Y.__buvar_config_section__ == "x"


@pytest.mark.parametrize(("section", "name"), [("x", "the section 'x'"), (None, "the root section")])
def test_duplicate_sections(section, name):
    """CFG-09: a section that is taken is a ConfigError when the second class is made."""

    class First(config.Config, section=section):
        pass

    with pytest.raises(config.ConfigError) as caught:

        class Second(config.Config, section=section):
            pass

    place = f"{__name__}.test_duplicate_sections.<locals>"
    assert isinstance(caught.value, config.DuplicateSectionError)
    assert (caught.value.section, caught.value.taken_by) == (section, First)
    assert str(caught.value) == (
        f"{name} of {place}.Second is taken by {place}.First\n  fix:   give one of them another section"
    )


@pytest.mark.parametrize("decorate", [attrs.define, attr.s(auto_attribs=True), dataclasses.dataclass(slots=True)])
def test_slotted_classes_keep_their_section(decorate):
    """CFG-09: a decorator that makes the class anew keeps its section and takes no second one."""

    @decorate
    class X(config.Config, section="x"):
        some: int = 1

    assert config.Config.__buvar_config_sections__ == {"x": X}
    assert config.ConfigSource({"some": 2}).load(X) == X(2)


FUTURE = """
from __future__ import annotations
import attrs, dataclasses
from typing import TYPE_CHECKING
from buvar import config
if TYPE_CHECKING:
    from nowhere import Nothing

@dataclasses.dataclass
class Plain:
    db: Db | None = None

@attrs.define
class Db:
    dsn: str

@attrs.define
class App(config.Config, section="app"):
    db: Db
    more: list[Db] = attrs.field(factory=list)

@attrs.define
class Broken:
    it: Nothing

def local():
    @attrs.define
    class Inner:
        x: int

    @attrs.define
    class Outer(config.Config, section="outer"):
        inner: Inner
        me: Outer | None = None
        later: Later = 5

    class Later: pass
    return Outer
"""


def test_future_annotations(monkeypatch):
    """CFG-02: classes of a module with `from __future__ import annotations` load, local ones too (B-14b)."""
    module = types.ModuleType("future_module")
    monkeypatch.setitem(sys.modules, "future_module", module)
    exec(compile(FUTURE, "future_module.py", "exec", dont_inherit=True), vars(module))
    source = config.ConfigSource({"db": {"dsn": "x"}, "more": [{"dsn": "y"}]}, environ={})
    assert source.load(module.Plain).db.dsn == "x"
    assert source.load(module.App).more[0].dsn == "y"
    outer = module.local()
    with pytest.raises(config.ConfigClassError) as caught:
        config.ConfigSource({"inner": {"x": "5"}}, environ={}).load(outer)
    assert caught.value.field == "later"
    with pytest.raises(config.ConfigClassError) as caught:
        source.load(module.Broken)
    assert (caught.value.cls, caught.value.field) == (module.Broken, "it")
    assert str(caught.value) == (
        "the annotation 'Nothing' of Broken.it cannot be resolved: name 'Nothing' is not defined\n"
        "  fix:   import the name at module level, outside `if TYPE_CHECKING`"
    )


@pytest.mark.parametrize("decorate", [attr.s(auto_attribs=True), attrs.define, dataclasses.dataclass])
def test_declared_fields(decorate, refused):
    """CFG-04: bool_var, list_var and var work in attrs classes and dataclasses (B-14c)."""

    def positive(instance, field, value):
        if value <= 0:
            raise ValueError(f"{field.name} is not positive")

    @decorate
    class App:
        needed: bool = config.bool_var()
        more: list[str] = config.list_var()
        flag: bool = config.bool_var(False, name="switch", help="Turns it on.")
        tags: list = config.list_var(["a"])
        size: int = config.var(3, converter=int, validator=positive)
        typed: int = config.var(3, validator=positive)
        made: dict = config.var(factory=dict)
        plain: str = config.var("x", help="Text.")

    if decorate is dataclasses.dataclass:
        assert App(True, more=[]) == App(True, [], False, ["a"], 3, 3, {}, "x")
        assert App(True, more=[]).tags is not App(True, more=[]).tags
    else:
        assert App("on", "b,c", "y", '["d"]', "4") == App(True, ["b", "c"], True, ["d"], 4)
        with pytest.raises(ValueError, match="is not a boolean"):
            App("ture", [])
        with pytest.raises(ValueError, match="is not a list"):
            App(True, [], tags=5)
    given = {"needed": "yes", "switch": 1, "tags": "x, y", "more": ("z",), "size": "7"}
    loaded = config.ConfigSource({"a": given}, environ={"A_MADE": "k=v"}).load(App, "a")
    assert loaded == App(True, ["z"], True, ["x", "y"], 7, 3, {"k": "v"}, "x")
    wrong = {"needed": "ture", "flag": "x", "more": 5, "size": "x", "typed": 0}
    lines = refused(config.ConfigSource({"a": wrong}, environ={}).load, App, "a").splitlines()
    expected = [
        "  - a.needed: 'ture' is not a boolean (use true/false, yes/no, on/off or 1/0) (from dict #1)",
        "  - a.more: 5 is not a list (from dict #1)",
        "  - a.switch: 'x' is not a boolean (use true/false, yes/no, on/off or 1/0) (from dict #1)",
        "  - a.size: 'x' is not valid: invalid literal for int() with base 10: 'x' (from dict #1)",
    ]
    if decorate is dataclasses.dataclass:  # attrs validates by itself, when all fields can be made
        expected.append("  - a.typed: 0 is not valid: typed is not positive (from dict #1)")
    assert lines[1:] == expected
    with pytest.raises(TypeError, match="^give a default or a factory, not both$"):
        config.var(1, factory=int)


@attrs.define
class Pool:
    size: int = attrs.field(default=3, metadata={"help": "Connections."})
    password: Secret[str] = Secret("hush")


@attrs.define
class Described:
    dsn: str = config.var(help="Where the data is.")
    pool: Pool = attrs.field(factory=lambda: Pool(size=5))
    again: "Described | None" = None
    tags: list[str] = attrs.field(factory=lambda: ["a"])
    limits: dict[str, int] = attrs.field(factory=lambda: {"x": 1})
    token: str = "visible"
    other: complex = 1j
    maybe: int | None = None
    own: int = attrs.field(default=attrs.Factory(lambda self: 5, takes_self=True))


def test_env_help():
    """CFG-10: the table of variables: name, type, default, help; secrets are masked."""
    assert config.generate_env_help(Described, "APP").splitlines() == (
        [
            "APP_DSN            str             required  Where the data is.",
            "APP_TAGS           list[str]       ['a']",
            "APP_LIMITS         dict[str, int]  {'x': 1}",
            "APP_TOKEN          str             ***",
            "APP_OTHER          complex         1j",
            "APP_MAYBE          int | None      None",
            "APP_OWN            int",
            "APP_POOL_SIZE      int             5         Connections.",
            "APP_POOL_PASSWORD  secret          ***",
        ]
    )
    assert config.generate_env_help(Pool).splitlines()[0].startswith("SIZE ")
    assert config.generate_env_help(attrs.make_class("Empty", {})) == ""


def test_toml_help():
    """CFG-10: the commented file; taking away the comment signs of values gives a file that loads."""
    text = config.generate_toml_help(Described, "app")
    assert text == (
        "[app]\n"
        "# Where the data is. (str, required)\n# dsn = \n"
        '# list[str]\n# tags = ["a"]\n'
        '# dict[str, int]\n# limits = {"x" = 1}\n'
        "# str\n# token = \n"
        '# complex\n# other = "1j"\n'
        "# int | None\n# maybe = \n"
        "# int\n# own = \n"
        "\n[app.pool]\n"
        "# Connections. (int)\n# size = 5\n"
        "# secret\n# password = \n"
    )
    assert config.generate_toml_help(Pool).startswith("# Connections. (int)\n")


def test_walking_and_reading(monkeypatch):
    """CFG-10: `traverse_attrs` walks all leaves, `create_env_config` reads the environment's part."""
    target = {}
    leaves = [(path, field.name, tp) for _, path, field, tp in config.traverse_attrs(Pool, target)]
    assert leaves == [(("size",), "size", int), (("password",), "password", Secret[str])]
    hints = {"size": float, "password": str}
    assert [tp for *_, tp in config.traverse_attrs(Pool, get_type_hints=lambda cls: hints)] == [float, str]
    monkeypatch.setenv("APP_POOL__SIZE", "7")
    monkeypatch.setenv("APP_DSN", "x")
    assert config.create_env_config(Described, "APP") == {"dsn": "x", "pool": {"size": "7"}}
    assert config.create_env_config(Pool, "NOTHING") == {}


def test_fields_by_shape():
    """CFG-10: `has` and `get_fields` know attrs, dataclass and pydantic classes."""

    class Model(pydantic.BaseModel):
        x: int = 1

    data = dataclasses.make_dataclass("Data", ["x"])
    made = attrs.make_class("Made", ["x"])
    assert [config.has(each) for each in (Model, data, made, int, list[int], Pool(), None)] == [True] * 3 + [False] * 4
    assert [field.name for field in (*config.get_fields(data), *config.get_fields(made))] == ["x", "x"]
    assert [field.default for field in config.get_fields(Model)] == [1]
    assert [path for _, path, _, _ in config.traverse_attrs(Model)] == [("x",)]


def test_nothing_heavy_is_imported(run_python):
    """SUR-03: the configuration imports none of attrs, cattrs and pydantic before they are needed."""
    run_python(
        "import dataclasses, sys\n"
        "from buvar import config\n"
        "cls = dataclasses.make_dataclass('cls', [('x', int)])\n"
        "assert config.ConfigSource({'x': 1}).load(cls).x == 1\n"
        "assert not {'attr', 'cattrs', 'pydantic'} & set(sys.modules)\n"
        "assert config.ConfigLoadError and 'cattrs' in sys.modules\n"
        "try:\n    config.nothing\nexcept AttributeError as error:\n"
        "    assert str(error) == \"module 'buvar.config' has no attribute 'nothing'\"\n"
        "else:\n    raise SystemExit(1)"
    )


async def test_a_class_that_nothing_fills(reset_config_sections, buvar_adapters_setup_contextvars):
    """CFG-07: where the plugin was not loaded, the error says that it is to be."""

    @dataclasses.dataclass
    class Lonely(config.Config, section="lonely"):
        port: int = 1

    with pytest.raises(di.ResolveError) as caught:
        await di.nject(Lonely)
    assert caught.value.fix == "load the plugin that fills such classes first: await load(config)"
