"""A wheel in an empty environment, on a machine without node, is all that a person needs to run an action by mouse."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def python(checkout: Path, tmp_path: Path, download_environ: dict[str, str]) -> Path:
    """The Python of an environment that holds the wheel, and what it asks for."""
    quiet = ["-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *quiet, *offline, "-w", tmp_path, checkout], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    made = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, env=download_environ)
    constraints = ["-c", checkout / "constraints.txt"]
    subprocess.run([made, "-m", "pip", "install", *quiet, *constraints, wheel], check=True, env=download_environ)
    return made


def test_an_installed_wheel_runs_an_action_in_a_browser(
    chromium: str, python: Path, tmp_path: Path, serve: Any, browser: Any, watch: Any, wait_live: Any
) -> None:
    """N-25: the printed link opens the console; an action runs from its form, and its records appear while it runs."""
    (tmp_path / "nothing").mkdir()
    at = serve(python=python, PATH=str(tmp_path / "nothing"))
    said = subprocess.run([python, "-c", "import binp; print(binp.__file__)"], capture_output=True, text=True, cwd="/")
    context = browser.new_context()
    watch.on(context)
    page = context.new_page()
    page.goto(at.link)
    wait_live(page)
    page.get_by_role("link", name=re.compile("^long.one")).first.click()
    page.get_by_label("Steps").fill("3000")
    page.get_by_role("button", name="Run").click()
    run = page.get_by_label("The run")
    expect(run).to_contain_text("running")
    expect(run).to_contain_text(re.compile(r"step \d"))
    expect(run).to_contain_text(re.compile(r"step \d\d"))
    expect(run).to_contain_text("running")
    run.get_by_role("button", name="Cancel").click()

    expect(run).to_contain_text("cancelled")
    assert Path(said.stdout.strip()).is_relative_to(tmp_path.resolve())
    context.close()
    at.stop()
