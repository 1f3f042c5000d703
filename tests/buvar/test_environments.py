"""The kernel in environments that hold little: its own dependencies alone, and other people's test runs."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KERNEL = ("attrs", "cattrs", "structlog", "orjson")
HEAVY = ("fastapi", "pydantic", "sqlite3", "aiohttp", "starlette", "uvicorn", "click", "rich")


def needed(names):
    """The distributions and what they need, by name."""
    found = {}
    waiting = list(names)
    while waiting:
        distribution = metadata.distribution(waiting.pop())
        if distribution.name not in found:
            found[distribution.name] = distribution
            for requirement in map(Requirement, distribution.requires or ()):
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    waiting.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def environment(checkout, clean_environ, tmp_path_factory):
    """Make an environment with just the named distributions, the kernel's dependencies and this package."""

    def make(*names):
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, env=clean_environ)
        (site,) = folder.glob("lib/python*/site-packages")
        for distribution in needed((*KERNEL, *names)).values():
            for file in distribution.files or ():
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    (site / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(distribution.locate_file(file), site / file)
        # this package as an installer leaves it: its modules, and what it says about itself
        (site / "this.pth").write_text(f"{checkout / 'src'}\n")
        own = metadata.distribution("binp")
        for file in own.files or ():
            if file.name in ("METADATA", "entry_points.txt"):
                (site / file).parent.mkdir(exist_ok=True)
                shutil.copy(own.locate_file(file), site / file)

        def run(*arguments, cwd: Path = folder):
            return subprocess.run(
                [folder / "bin/python", "-W", "error", *arguments],
                cwd=cwd, env=clean_environ, capture_output=True, text=True, timeout=200, check=False,
            )  # fmt: skip

        return run

    return make


@pytest.fixture(scope="module")
def kernel_only(environment):
    """An environment with the kernel's dependencies alone."""
    return environment()


@pytest.fixture(scope="module")
def with_pytest(environment):
    """An environment of somebody who has pytest and nothing that goes with it."""
    return environment("pytest")


def test_the_environment_is_bare(kernel_only):
    """The environment of these tests really lacks what it is to lack."""
    done = kernel_only("-c", "import fastapi")
    assert "No module named 'fastapi'" in done.stderr
    assert "No module named 'pydantic'" in kernel_only("-c", "import pydantic").stderr


def test_every_module_of_the_kernel(kernel_only):
    """SUR-01: with the kernel's dependencies alone, every module imports and loads nothing heavy."""
    done = kernel_only(
        "-c",
        "import importlib, pkgutil, sys, buvar\n"
        "assert not {name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])\n"
        "names = [found.name for found in pkgutil.walk_packages(buvar.__path__, 'buvar.')]\n"
        "for name in names:\n"
        "    if name not in ('buvar.__main__', 'buvar.testing'):\n"
        "        importlib.import_module(name)\n"
        "for name in buvar.__all__: getattr(buvar, name)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])\n"
        "assert not loaded, loaded\n"
        "print(len(names))",
        *HEAVY,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert int(done.stdout) > 40


def test_the_kernel_works_alone(kernel_only, tmp_path):
    """SUR-01: with the kernel's dependencies alone, plugins run with configuration, injection and logging."""
    (tmp_path / "app.py").write_text(
        "import attrs, structlog\n"
        "from buvar import config, di, plugin\n"
        "@attrs.define\n"
        "class App(config.Config, section='app'):\n    name: str = 'nobody'\n"
        "async def prepare(app: App, cancel: plugin.Cancel):\n"
        "    async def task():\n"
        "        structlog.get_logger('app').info('hello', name=app.name)\n"
        "    yield task()\n"
    )
    done = kernel_only("-m", "buvar", "app", "--set", "app.name=you", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"event":"hello"' in done.stderr
    assert '"name":"you"' in done.stderr


def test_a_foreign_project(with_pytest, tmp_path):
    """TST-04: without pytest-mock, aiohttp and pydantic a foreign project's test passes (B-18)."""
    (tmp_path / "test_it.py").write_text("def test():\n    assert True\n")
    done = with_pytest("-m", "pytest", "-p", "no:cacheprovider", "--trace-config", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "buvar.testing" in done.stdout


def test_our_fixtures_without_any_other_plugin(with_pytest, tmp_path):
    """TST-04: synchronous tests may use the marker and the fixtures where pytest is all there is."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "from buvar import context\n"
        "async def prepare():\n    context.add('inside')\n"
        "@pytest.mark.buvar_plugins.with_args(prepare)\n"
        "def test(buvar_plugin_context, config, override, leak_check, clock):\n"
        "    assert context.get(str) == 'inside'\n"
    )
    done = with_pytest("-m", "pytest", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


LOOP_SCOPE = "asyncio_default_fixture_loop_scope=function"  # or it warns
#: Other plugins of pytest, and what a test of somebody who has them looks like.
RUNNERS = {
    "asyncio-strict": ("pytest-asyncio", ["--asyncio-mode=strict", "-o", LOOP_SCOPE], "@pytest.mark.asyncio"),
    "asyncio-auto": ("pytest-asyncio", ["--asyncio-mode=auto", "-o", LOOP_SCOPE], ""),
    "anyio": ("anyio", ["-p", "anyio"], "@pytest.mark.anyio"),
}


@pytest.fixture(scope="module")
def with_runner(environment):
    """An environment of somebody who has pytest and one plugin that runs coroutines; made once for each."""
    made = {}

    def give(name):
        if name not in made:
            made[name] = environment("pytest", name)
        return made[name]

    return give


@pytest.mark.parametrize("runner", RUNNERS)
def test_our_fixtures_with_one_other_plugin(with_runner, tmp_path, runner):
    """TST-02, TST-04: asynchronous tests may use the marker and the fixtures with any of the plugins that run them."""
    plugin, options, mark = RUNNERS[runner]
    (tmp_path / "test_it.py").write_text(
        f"""
import asyncio
import pytest
from buvar import context, plugin

@pytest.fixture
def anyio_backend():
    return "asyncio"

class Pool:
    is_open = True

async def prepare(teardown: plugin.Teardown):
    pool = context.add(Pool())
    opened.append(pool)
    teardown.add(lambda: setattr(pool, "is_open", False))

opened = []

{mark}
@pytest.mark.buvar_plugins.with_args(prepare)
async def test_marked(buvar_plugin_context, leak_check, clock, config, override):
    assert context.get(Pool) is buvar_plugin_context.get(Pool)
    await asyncio.gather(asyncio.sleep(3600), clock.advance(3600))

{mark}
@pytest.mark.buvar_plugins()
async def test_by_hand(buvar_load):
    await buvar_load(prepare)
    assert context.get(Pool).is_open

def test_afterwards():
    assert [pool.is_open for pool in opened] == [False, False]
"""
    )
    run = with_runner(plugin)
    for name in ("aiohttp", "pydantic", "pytest_mock"):
        assert f"No module named '{name}'" in run("-c", f"import {name}").stderr
    done = run("-m", "pytest", "-p", "no:cacheprovider", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
