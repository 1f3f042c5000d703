"""`python -m buvar`, and what `import buvar` offers."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

import buvar
from buvar.__main__ import main

PLUGIN = """
import asyncio
import attrs
from buvar import config, context, di

@attrs.define
class App(config.Config, section="app"):
    name: str = "nobody"

async def prepare():
    app = await di.nject(App)
    print("hello", app.name, flush=True)

async def failing():
    async def task():
        raise LookupError("no luck")
    async def server():
        await asyncio.Future()
    yield server()
    yield task()

async def broken():
    raise LookupError("no luck")

async def serving():
    async def server():
        print("ready", flush=True)
        await asyncio.Future()
    yield server()

async def reloading(source: config.ConfigSource):
    async def task():
        changed = asyncio.Event()
        source.watch(lambda change: changed.set())
        print((await di.nject(App)).name, flush=True)
        await changed.wait()
        print((await di.nject(App)).name, flush=True)
    yield task()

async def leaving():
    async def task():
        raise SystemExit(7)
    yield task()
"""


@pytest.fixture
def command(tmp_path, clean_environ):
    """Start `python -m buvar` in a folder with a module `app`."""
    (tmp_path / "app.py").write_text(PLUGIN)
    (tmp_path / "app.toml").write_text("[app]\nname = 'file'\n")

    def start(*arguments, **environ):
        return subprocess.Popen(
            [sys.executable, "-m", "buvar", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**clean_environ, **environ},
        )  # fmt: skip

    def run(*arguments, **environ):
        process = start(*arguments, **environ)
        output, errors = process.communicate(timeout=200)
        return process.returncode, output, errors

    run.start = start
    return run


def test_runs_plugins(command):
    """PLG-01: plugins run with configuration from files, environment and `--set`."""
    assert command("app") == (0, "hello nobody\n", "")
    assert command("app", "--config", "app.toml") == (0, "hello file\n", "")
    options = ["--config", "app.toml", "--env-prefix", "X"]
    assert command("app", *options, X_APP_NAME="environment") == (0, "hello environment\n", "")
    assert command("app", *options, "--set", "app.name=set", X_APP_NAME="environment") == (0, "hello set\n", "")


def test_a_failed_task_ends_everything(command):
    """PLG-08: the first failure ends the process with status 1, logged with traceback and plugin (B-07)."""
    status, output, errors = command("app:failing")
    line = json.loads(errors)
    assert (status, output) == (1, "")
    assert (line["event"], line["plugin"]) == ("A task of the plugin app:failing failed", "app:failing")
    assert line["exception"].endswith("LookupError: no luck")


def test_a_plugin_that_cannot_be_loaded(command):
    """PLG-11: an error of loading ends the process with status 1 and is logged."""
    status, _, errors = command("app:broken")
    assert status == 1
    line = json.loads(errors)
    assert line["event"] == "The plugins could not be run to their end"
    assert line["exception"].endswith("LookupError: no luck\nwhile loading the plugin app:broken")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "missing.toml"], "cannot read the configuration file missing.toml: No such file or directory"),
        (["--set", "x"], "'x' is not an assignment"),
        (["--set", "app.nam=x"], "one problem in the configuration of App"),
        (
            ["--log-level", "DEBG"],
            "one problem in the configuration of LogConfig",
        ),
    ],
)
def test_wrong_settings(command, arguments, message):
    """PLG-01: a wrong command line or configuration ends with status 2 and its message, without a traceback."""
    status, output, errors = command("app", *arguments)
    assert (status, output) == (2, "")
    assert errors.startswith(f"python -m buvar: {message}")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ap", "there is no module 'ap'\n  fix:   did you mean 'app'?"),
        ("app.py", "there is no module 'app.py'\n  fix:   name the module, not its file: app"),
        ("app", "the module app has no function 'prepare'"),
    ],
)
def test_a_name_that_stands_for_no_plugin(command, tmp_path, name, message):
    """PLG-01: a wrong name ends with status 2 and what would be right, without a traceback."""
    (tmp_path / "app.py").write_text("async def prepar(): ...")
    status, output, errors = command(name)
    assert (status, output) == (2, "")
    assert errors.startswith(f"python -m buvar: {message}")
    assert "Traceback" not in errors


def test_variables_from_a_file(command, tmp_path):
    """PLG-01: a file of variables may be named, and what nothing reads is told."""
    (tmp_path / ".env").write_text("X_APP_NAME=listed\nX_APP_NAM=typo\n")
    status, output, errors = command("app", "--config", ".env", "--env-prefix", "X")
    assert (status, output) == (0, "hello listed\n")
    line = json.loads(errors)
    assert line["level"] == "warning"
    assert line["event"] == (
        "Unused setting: X_APP_NAM is read by nothing, did you mean X_APP_NAME? "
        "(from variable X_APP_NAM in .env line 2)"
    )


def test_hup_reloads(command, tmp_path):
    """PLG-12: HUP reads the configuration again and ends nothing."""
    process = command.start("app:reloading", "--config", "app.toml")
    assert process.stdout.readline() == "file\n"
    (tmp_path / "app.toml").write_text("[app]\nname = 'again'\n")
    process.send_signal(signal.SIGHUP)
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, output) == (0, "again\n")
    assert json.loads(errors)["event"] == "The configuration was reloaded; changed: app"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_well(command, number):
    """PLG-07: INT and TERM end the process with status 0 (B-09)."""
    process = command.start("app:serving")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=200)
    assert (process.returncode, output, errors) == (0, "", "")


def test_leaving(command):
    """PLG-08: the status of a task that leaves the process is that of the process."""
    assert command("app:leaving")[0] == 7


def test_how_to_log(command, tmp_path):
    """LOG-01: the section ``log`` of the files says how to log, and the option wins over its level."""
    (tmp_path / "app.toml").write_text("[log]\nlevel = 'ERROR'\nadd_pid = false\n")
    status, _, errors = command("app", "--config", "app.toml", "--env-prefix", "ZZ", ZZ_UNKNOWN="1")
    assert (status, errors) == (0, "")
    status, _, errors = command(
        "app", "--config", "app.toml", "--env-prefix", "ZZ", "--log-level", "info", ZZ_UNKNOWN="1"
    )
    assert (json.loads(errors)["event"][:14], "pid" in json.loads(errors)) == ("Unused setting", False)
    status, _, errors = command("app", "--log-level", "DEBG")
    assert "  - log.level: there is no log level 'DEBG'; did you mean 'DEBUG'? (from --set log.level)" in errors
    status, _, errors = command("app", "--set", "log.levl=info")
    assert status == 2
    assert "log.levl: unknown key, did you mean 'level'?" in errors


def test_in_this_process(tmp_path, monkeypatch, capsys, reset_config_sections, buvar_adapters_setup_contextvars):
    """PLG-01: the same, called as a function; a wrong configuration exits with status 2."""
    (tmp_path / "here.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    assert main(["here"]) == 0
    assert main(["here:failing"]) == main(["here:broken"]) == 1
    with pytest.raises(SystemExit) as caught:
        main(["here", "--set", "app.nam=x"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["here", "--log-level", "x"])
    assert caught.value.code == 2
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setenv("ZZ_UNKNOWN", "1")
    assert main(["here", "--env-prefix", "ZZ"]) == 0
    assert capsys.readouterr().out == "hello nobody\nhello nobody\n"


def test_top_level_names():
    """SUR-03: the top level offers the documented names, and its version as text and as a tuple of texts."""
    from buvar import components, config, plugin

    assert buvar.ComponentLookupError is components.ComponentLookupError
    assert buvar.Components is components.Components
    assert buvar.ConfigSource is config.ConfigSource
    assert (buvar.Cancel, buvar.Teardown, buvar.run, buvar.stage) == (
        plugin.Cancel, plugin.Teardown, plugin.run, plugin.stage,
    )  # fmt: skip
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", buvar.__version__)
    assert buvar.__version_info__ == tuple(buvar.__version__.split("."))
    assert set(buvar.__all__) <= set(dir(buvar))
    with pytest.raises(AttributeError, match=r"^module 'buvar' has no attribute 'nothing'$"):
        buvar.nothing


def test_modules():
    """SUR-01, SUR-02: the documented modules can be imported."""
    import importlib

    for name in ("plugin", "context", "di", "config", "log", "fork", "components", "util", "testing", "plugins.bg"):
        importlib.import_module(f"buvar.{name}")


def test_import_is_light(run_python):
    """SUR-03: `import buvar` loads nothing heavy, and the plugin layer neither."""
    run_python(
        "import sys, buvar\n"
        "assert {name for name in sys.modules if name.startswith('buvar')} == {'buvar'}\n"
        "buvar.stage\n"
        "heavy = {'fastapi', 'pydantic', 'sqlite3', 'cattrs', 'attr', 'structlog', 'uvloop', 'pytest'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    assert os.getpid()
