"""The snippets of the documented interface, each in fresh processes: what runs once must run each time.

`BUVAR_SNIPPETS=20` runs each twenty times.
"""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

TIMES = int(os.environ.get("BUVAR_SNIPPETS", "3"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 + 10 * TIMES)]

#: the one repair: `import asyncio`
B1 = """
import asyncio
from buvar import context, plugin

class Foo:
    ...


async def task():
    asyncio.sleep(1)


async def server():
    my_component = context.get(Foo)
    await asyncio.Future()


# there is also plugin.Teardown and plugin.Cancel
async def prepare(load: plugin.Loader):
    await load('.another.plugin')

    # create some long lasting components
    my_component = context.add(Foo())

    # you may run simple tasks
    yield task()

    # you may run server tasks
    yield server()
"""

#: the two repairs: a colon, and what lets the class be named inside of itself
B2 = """
from __future__ import annotations
from buvar import di

class Bar:
    pass

class Foo:
    def __init__(self, bar: Bar = None):
        self.bar = bar

    @classmethod
    async def adapt(cls, baz: str) -> Foo:
        return Foo()

async def adapt(bar: Bar) -> Foo:
    foo = Foo(bar)
    return foo


async def task():
    foo = await di.nject(Foo, baz="baz")
    assert foo.bar is None

    bar = Bar()
    foo = await di.nject(Foo, bar=bar)
    assert foo.bar is bar

async def prepare():
    di.register(Foo.adapt)
    di.register(adapt)

    yield task()
"""

B3 = """
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

#: the one repair: three imports
B4 = """
import attr
import toml
from buvar import context, di
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

B5 = """
import sys

from buvar import log

log_config = log.LogConfig(tty=sys.stdout.isatty(), level="DEBUG")
log_config.setup()
"""

B7 = """
import pytest


async def prepare():
    from buvar import context

    context.add("foobar")


@pytest.mark.asyncio
@pytest.mark.buvar_plugins("tests.test_testing")
async def test_wrapped_stage_context():
    from buvar import context, plugin

    assert context.get(str) == "foobar"
    assert context.get(plugin.Cancel)


@pytest.mark.asyncio
@pytest.mark.buvar_plugins()
async def test_wrapped_stage_context_load(buvar_load):
    from buvar import context, plugin

    await buvar_load(prepare)
    assert context.get(str) == "foobar"
    assert context.get(plugin.Cancel)
"""

TOML = """
log_level = "DEBUG"
show_warnings = "yes"

[foobar]
some = "value"
"""

each_time = pytest.mark.parametrize("attempt", range(TIMES))


@pytest.fixture
def fresh(tmp_path, clean_environ):
    """Run Python in a new process and an empty folder, and answer what it printed; it must succeed."""

    def run(*arguments, **environ):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env={**clean_environ, **environ}, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    run.folder = tmp_path
    return run


@each_time
def test_bootstrap(tmp_path, clean_environ, attempt):
    """B1: the stage loads a plugin and one beside it, runs a task and a server, and ends well when it is told to."""
    folder = tmp_path / "some" / "module" / "with"
    (folder / "another").mkdir(parents=True)
    (folder / "prepare.py").write_text(B1)
    (folder / "another" / "plugin.py").write_text(
        "async def prepare():\n    async def ready():\n        print('ready', flush=True)\n    return ready()\n"
    )
    main = 'from buvar import plugin\n\nplugin.stage("some.module.with.prepare")\n'
    process = subprocess.Popen(
        [sys.executable, "-c", main], cwd=tmp_path, env=clean_environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=200)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    # the snippet itself forgets to await its sleep
    assert [line for line in errors.splitlines() if b"Error" in line or b"Traceback" in line] == []


@each_time
def test_dependency_injection(fresh, attempt):
    """B2, DI-17: the adapter whose needs are met is chosen, whatever else is registered."""
    (fresh.folder / "app.py").write_text(B2)
    code = "from buvar import plugin; assert plugin.stage('app') == [None]"
    fresh("-W", "error", "-c", code)


@each_time
def test_config(fresh, attempt):
    """B3: a source from a file and the environment fills classes."""
    (fresh.folder / "config.toml").write_text(TOML)
    fresh("-W", "error", "-c", B3, APP_FOOBAR_SOME="thing")


@each_time
def test_config_sections(fresh, attempt):
    """B4: classes that know their section are injected."""
    (fresh.folder / "config.toml").write_text(TOML)
    (fresh.folder / "app.py").write_text(B4)
    check = textwrap.dedent(
        """
        import app
        from buvar import di, plugin
        async def check():
            assert (await di.nject(app.FoobarConfig)).some == "thing"
            assert await di.nject(app.GeneralConfig) == app.GeneralConfig("DEBUG", True)
        plugin.stage("app", check)
        """
    )
    fresh("-W", "error", "-c", check, APP_FOOBAR_SOME="thing")


@each_time
def test_log(fresh, attempt):
    """B5: logging is set up; lines are JSON where nobody looks."""
    done = fresh("-W", "error", "-c", f"{B5}\nimport structlog\nstructlog.get_logger().debug('hello')\n")
    assert '"event":"hello"' in done.stderr


@each_time
def test_pytest(fresh, attempt):
    """B7: the fixtures and the marker, in pytest-asyncio's strict mode."""
    (fresh.folder / "tests").mkdir()
    (fresh.folder / "tests" / "__init__.py").touch()
    (fresh.folder / "tests" / "test_testing.py").write_text(B7)
    options = ["-W", "error", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]
    done = fresh("-m", "pytest", *options, "--asyncio-mode=strict")
    assert "2 passed" in done.stdout
