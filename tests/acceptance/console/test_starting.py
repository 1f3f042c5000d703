"""What a press starts: after a question where one is to be asked, once however often it is sent, and again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Route, expect

pytestmark = pytest.mark.slow

sizes = pytest.mark.parametrize("size", ["desktop", "phone"])


@pytest.fixture
def hold(site: Any) -> Iterator[Callable[[str], int]]:
    """Start an action that goes on until the test has ended."""
    started: list[int] = []

    def start(action: str, **arguments: Any) -> int:
        started.append(site.start_run(action, pause=300, **arguments))
        return started[-1]

    yield start
    for run in started:
        site.call(f"/internal/runs/{run}/cancel", {})
        # what the next test starts must find its place free
        while not site.call(f"/internal/runs/{run}")["ended_at"]:
            time.sleep(0.05)


@sizes
def test_a_question_is_asked_first(visit: Any, site: Any, size: str) -> None:
    """What is to be asked is asked with the arguments; Escape and Cancel start nothing, and Run starts it."""
    page = visit("actions/remove", size=size)
    name = f"house {size}"
    page.get_by_label("Name").fill(name)
    run = page.get_by_role("button", name="Run", exact=True)
    run.click()
    dialog = page.get_by_role("dialog", name=f"Remove {name} for good?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(run).to_be_focused()

    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    before = [one for one in runs_of(site, "remove") if one["arguments"]["name"] == name]
    assert before == []
    expect(page.get_by_label("Name")).to_have_value(name)

    run.click()
    dialog.get_by_role("button", name="Run").click()
    expect(page.get_by_role("region", name="Result")).to_contain_text(f"removed {name}")


def test_a_question_is_answered_by_keys_alone(visit: Any) -> None:
    """The Tab key stays between the answers, and what is wrong is said before anything is asked."""
    page = visit("actions/remove")
    page.get_by_label("Pause").fill("long")
    page.get_by_label("Pause").press("Enter")
    expect(page.get_by_label("Pause")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Pause").fill("0")
    page.get_by_label("Name").fill("keys")
    page.get_by_label("Name").press("Enter")
    dialog = page.get_by_role("dialog", name="Remove keys for good?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Tab")
        # the browser's own bar is a stop, too, and nothing else of the page
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    dialog.get_by_role("button", name="Run").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("region", name="Result")).to_contain_text("removed keys")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@sizes
def test_axe_finds_nothing_in_a_question(visit: Any, axe: Any, size: str, scheme: str) -> None:
    """The dialog of a question, and the rules of an action above its form, are as accessible as a page."""
    page = visit("actions/remove", size=size, scheme=scheme)
    for rule in ("at most 10 min", "2 retries", "one at a time", "asks for confirmation", "a shutdown waits up to 3 h"):
        expect(page.get_by_text(rule, exact=True)).to_be_visible()
    page.get_by_label("Name").fill("axe")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("dialog", name="Remove axe for good?").wait_for()

    assert axe(page, "question") == []


def test_a_rule_says_what_becomes_of_the_others(visit: Any) -> None:
    """Of an action that lets no second run wait the page says what becomes of it."""
    page = visit("actions/alone")

    expect(page.get_by_text("one at a time, others are skipped", exact=True)).to_be_visible()


def test_what_is_sent_twice_is_started_once(visit: Any, site: Any, watch: Any) -> None:
    """A start whose answer is lost is sent again with its key, and what it started is shown; a double click is one."""
    watch.allowed.append("ERR_FAILED")
    page = visit("actions/greet")
    keys: list[str] = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        if len(keys) == 1:
            route.abort()
        else:
            route.fulfill(response=answer)

    page.route("**/internal/actions/greet/runs", lose)
    page.get_by_label("Name").fill("lost and found")
    page.get_by_role("button", name="Run").dblclick()
    expect(page.get_by_role("region", name="Result")).to_contain_text("hello lost and found")

    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len([one for one in runs_of(site, "greet") if one["arguments"]["name"] == "lost and found"]) == 1


@sizes
def test_a_run_that_failed_is_tried_again(visit: Any, site: Any, size: str) -> None:
    """Run again makes a further attempt of a run that did not succeed, which says of which one."""
    run = site.call("/internal/action/stumble", {})["run"]
    page = visit(f"runs/{run}", size=size)
    page.get_by_role("button", name="Run again").click()

    expect(page).not_to_have_url(re.compile(f"{run}$"))
    expect(page.locator(".meta")).to_contain_text("attempt 2")
    expect(page.get_by_role("region", name="Facts").get_by_role("link", name=f"#{run}")).to_be_visible()


def test_again_is_asked_for_as_well(visit: Any, site: Any) -> None:
    """What asks before it is started asks before it is started again."""
    run = site.start_run("remove", name="again")
    page = visit(f"runs/{run}")
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Remove again for good?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert page.url.endswith(f"/{run}")
    page.get_by_role("button", name="Run again").click()
    dialog.get_by_role("button", name="Run").click()

    expect(page).not_to_have_url(re.compile(f"{run}$"))
    expect(page.get_by_role("region", name="Result")).to_contain_text("removed again")


@sizes
def test_what_waits_says_so(visit: Any, site: Any, hold: Any, size: str) -> None:
    """A run that waits for its turn says so, and can be cancelled and not be run again."""
    hold("remove", name="first")
    page = visit(f"runs/{site.start_run('remove', name='second')}", size=size)
    expect(page.locator(".meta")).to_contain_text("queued")
    expect(page.get_by_role("main")).to_contain_text("It is waiting to start.")
    expect(page.get_by_role("button", name="Run again")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator(".meta")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Run again")).to_be_visible()


@sizes
def test_what_was_left_out_says_why(visit: Any, site: Any, hold: Any, size: str) -> None:
    """A run that was not started says why."""
    hold("alone")
    left_out = site.start_run("alone")
    page = visit(f"runs/{left_out}", size=size)
    expect(page.locator(".meta")).to_contain_text("skipped")
    reason = site.call(f"/internal/runs/{left_out}")["records"][0]["message"]

    expect(page.get_by_role("region", name="What happened")).to_contain_text(reason)


def runs_of(site: Any, operation: str) -> list[Any]:
    found = site.call(f"/internal/runs?operation={operation}&limit=20")["runs"]
    return [site.call(f"/internal/runs/{one['id']}") for one in found]
