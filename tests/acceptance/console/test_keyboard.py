"""Everything can be done without a mouse, and be heard instead of seen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


def focused(page: Page) -> str:
    return page.evaluate(
        "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText).trim()"
    )


def go(page: Page, key: str) -> None:
    """Press g and another key; for the page no time passes between the two, however busy the machine is."""
    page.clock.set_fixed_time(page.evaluate("Date.now()"))
    page.keyboard.press("g")
    page.keyboard.press(key)


def tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if focused(page).startswith(name):
            return
    raise AssertionError(f"Tab never comes to {name!r}")


def test_an_action_is_run_by_keys_alone(visit: Any) -> None:
    """From the list of actions to the result of a run, and on to its page, with Tab, Enter and letters."""
    page = visit()
    expect(page.get_by_role("link", name=re.compile("^greet")).first).to_be_visible()
    while not focused(page).startswith("greet"):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_label("Name")).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('input')"):
            break
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Result")).to_contain_text("hello keys")
    tab_to(page, "Open")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"#/runs/\d+$"))
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_run_is_cancelled_by_keys_alone(visit: Any, site: Any) -> None:
    """From anywhere to the runs, to one of them, and its end, with four keys."""
    site.start_run("long%2Fone", steps=3000)
    page = visit()
    go(page, "r")
    expect(page.get_by_role("heading", name="Runs")).to_be_focused()
    expect(page.get_by_role("list", name="Runs").get_by_role("link").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".meta")).to_contain_text("running")
    page.keyboard.press("c")

    expect(page.locator(".meta")).to_contain_text("cancelled")


def test_a_service_is_toggled_by_keys_alone(visit: Any) -> None:
    """A service is stopped and started with Tab and Enter; the button keeps the focus."""
    page = visit()
    go(page, "s")
    expect(page.get_by_role("heading", name="Services")).to_be_focused()
    expect(page.get_by_role("heading", name="idle")).to_be_visible()
    tab_to(page, "Start idle")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop idle")).to_be_enabled()
    tab_to(page, "Stop idle")
    page.keyboard.press("Space")

    expect(page.get_by_role("button", name="Start idle")).to_be_enabled()


def test_a_schedule_is_paused_by_keys_alone(visit: Any) -> None:
    """A schedule is paused and let go on with letters and Enter; the button keeps the focus."""
    page = visit()
    go(page, "t")
    expect(page.get_by_role("heading", name="Schedules")).to_be_focused()
    expect(page.get_by_role("heading", name="greet rarely")).to_be_visible()
    tab_to(page, "Pause greet rarely")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume greet rarely")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("button", name="Pause greet rarely")).to_be_focused()


def test_a_key_is_written_by_keys_alone(visit: Any, site: Any) -> None:
    """A key is found with the slash, opened, edited with a letter, and saved with Tab and Enter."""
    site.call("/internal/kv/value?namespace=keyboard&key=tempo", "slow", method="PUT")
    page = visit("keys?namespace=keyboard")
    expect(page.get_by_role("link", name="tempo")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("te")
    tab_to(page, "tempo")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_label("JSON")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type('"fast"')
    tab_to(page, "Save")
    page.keyboard.press("Enter")

    expect(page.get_by_role("region", name="Value", exact=True).first).to_contain_text('"fast"')


def test_letters_in_a_field_are_letters(visit: Any) -> None:
    """Who types into a field goes nowhere; the question mark shows the keys, Escape hides them."""
    page = visit("actions/greet")
    page.get_by_label("Name").fill("")
    page.get_by_label("Name").press_sequentially("gr?c")
    expect(page.get_by_label("Name")).to_have_value("gr?c")
    expect(page).to_have_url(re.compile("actions/greet$"))
    page.get_by_role("heading", level=1).focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_hidden()


def test_the_first_tab_skips_to_the_content(visit: Any) -> None:
    """The first stop of the Tab key is a link past the navigation; it leaves the page where it is."""
    page = visit("services")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    tab_to(page, "Skip to content")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page).to_have_url(re.compile("#/services$"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing(visit: Any, axe: Any, site: Any, size: str, scheme: str) -> None:
    """WCAG 2.2 AA as far as a program can tell, on every page, and on one full of errors."""
    failed = site.call("/internal/runs?state=failed")["runs"][0]["id"]
    long = site.call("/internal/runs?label=stairs&state=succeeded")["runs"][0]["id"]
    site.call("/internal/kv/value?key=axe&ttl=86400", {"on": list(range(40))}, method="PUT")
    page = visit(size=size, scheme=scheme)
    found = []
    lists = [
        "",
        "runs?q=state:succeeded+label:stairs",
        "runs?q=label:none",
        "runs?q=stat:x",
        "services",
        "schedules",
        "keys",
    ]
    single = ["actions/deploy", f"actions/long%2Fone?run={long}", f"runs/{failed}", f"runs/{long}", "keys/default/axe"]
    for path in [*lists, *single, "nowhere"]:
        page.goto(f"{site.url}/static/index.html#/{path}")
        page.wait_for_timeout(400)
        expect(page.locator(".bones")).to_have_count(0)
        if path == "actions/deploy":
            page.get_by_role("button", name="Run").click()
            page.locator("[aria-invalid=true]").first.wait_for()
        if path == "keys/default/axe":
            page.get_by_role("button", name="Edit").click()
            page.get_by_label("JSON").wait_for()
        found += axe(page, path)

    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_dialogs(visit: Any, axe: Any, scheme: str) -> None:
    """The sheet of keys, and the one that asks for a login, keep the same rules."""
    page = visit("services", scheme=scheme)
    page.get_by_role("button", name="Shortcuts").click()
    found = axe(page, "shortcuts")
    page.keyboard.press("Escape")
    page.context.clear_cookies()
    page.get_by_role("button", name="Stop steady").click()
    page.get_by_role("dialog", name="You are not logged in").wait_for()

    assert found + axe(page, "login") == []
