"""Each page does what it is for, on a desktop and on a phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Route, expect

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("size", ["desktop", "phone"])]

#: the runs that links lead to
NUMBERS = "links => links.map(one => Number(one.hash.split('/').at(-1)))"


def test_an_action_is_run_from_its_form(visit: Any, size: str) -> None:
    """An action is found, filled in, run, and its result is shown beside the form."""
    page = visit(size=size)
    page.get_by_role("link", name=re.compile("^greet")).first.click()
    page.get_by_label("Name").fill("you")
    page.get_by_label("Times").fill("2")
    page.get_by_role("button", name="Run").click()

    expect(page.get_by_label("The run")).to_contain_text("succeeded")
    expect(page.get_by_role("region", name="Result")).to_contain_text("hello you hello you")
    assert re.search(r"#/actions/greet\?run=\d+$", page.url)


def test_nothing_is_pushed_away_from_under_a_finger(enter: Any, site: Any, wait_live: Any, size: str) -> None:
    """What stands below the actions is not shown before them: where it stood, something else would be clicked."""
    page = enter(site, size=size).new_page()
    held: list[Route] = []
    page.route("**/internal/actions/", lambda route: held.append(route))
    with page.expect_response(re.compile("/internal/runs")) as runs:
        page.goto(f"{site.url}/static/index.html#/")
    wait_live(page)
    runs.value.finished()
    page.wait_for_timeout(500)
    assert page.locator("main a").all_inner_texts() == []
    for route in held:
        route.continue_()

    expect(page.get_by_role("heading", name="Latest runs")).to_be_visible()
    expect(page.locator("main a").first).to_contain_text("Say hello.")


def test_what_is_wrong_stands_at_its_field(visit: Any, size: str) -> None:
    """What the server refuses is said at the field that it is about, and that field gets the focus."""
    page = visit("actions/greet", size=size)
    page.get_by_label("Name").fill("you")
    page.get_by_label("Times").fill("many")
    page.get_by_role("button", name="Run").click()

    times = page.get_by_label("Times")
    expect(times).to_be_focused()
    expect(times).to_have_attribute("aria-invalid", "true")
    expect(times).to_have_accessible_description(re.compile("valid integer"))
    expect(page.get_by_label("Name")).to_have_value("you")


def test_an_error_is_told_with_its_traceback(visit: Any, size: str) -> None:
    """A run that failed shows its error, where it happened, and what was printed."""
    page = visit("actions/stumble", size=size)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("region", name="Error")).to_contain_text("ValueError: there is a step missing")
    page.get_by_role("link", name="Open", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("region", name="Traceback")).to_contain_text("many_fields.py")
    expect(page.get_by_role("region", name="Records")).to_contain_text("about to fail")


def test_runs_inside_of_a_run_are_shown(visit: Any, size: str) -> None:
    """A run lists those that were started inside of it, and they lead back to it; its version is told."""
    page = visit("actions/ladder", size=size)
    page.get_by_role("button", name="Run").click()
    page.get_by_role("link", name="Open", exact=True).click()

    inside = page.get_by_role("region", name="Child runs")
    expect(inside.get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Version")
    inside.get_by_role("link", name="rung").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("rung")
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Parent")


def test_older_runs_come_page_by_page(visit: Any, size: str) -> None:
    """Pages go on behind the last run and back again; none is shown twice, none is left out."""
    page = visit("runs?q=action:greet", size=size)
    rows = page.get_by_role("list", name="Runs").get_by_role("link")
    expect(rows).to_have_count(25)
    first = rows.evaluate_all(NUMBERS)
    page.get_by_role("link", name="Older").click()
    expect(rows.first).not_to_have_attribute("href", f"#/runs/{first[0]}")
    second = rows.evaluate_all(NUMBERS)

    assert set(first) & set(second) == set()
    assert first + second == sorted(first + second, reverse=True)
    page.get_by_role("link", name="Newer").click()
    expect(rows.first).to_have_attribute("href", f"#/runs/{first[0]}")


def test_a_run_is_watched_and_cancelled(visit: Any, site: Any, size: str) -> None:
    """A run shows its progress and its records while it goes on; it is cancelled, and run again."""
    run = site.start_run("long%2Fone", steps=3000)
    page = visit(f"runs/{run}", size=size)
    records = page.get_by_role("region", name="Records").get_by_role("listitem")
    expect(records.filter(has_text="step 4")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".meta")).to_contain_text("cancelled")
    expect(page.get_by_role("region", name="What happened")).to_contain_text("It was cancelled by session:")

    page.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(f"{run}$"))
    expect(page.locator(".meta")).to_contain_text("running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".meta")).to_contain_text("cancelled")


def test_a_new_run_appears_by_itself(visit: Any, site: Any, size: str) -> None:
    """The list of runs is live: a run that begins appears at its top and its state follows."""
    page = visit("runs?q=action:long/one", size=size)
    run = site.start_run("long%2Fone", steps=3000)
    row = page.locator(f"li:has(a[href$='/{run}'])")

    expect(row).to_contain_text("running")
    site.call(f"/internal/runs/{run}/cancel", {})
    expect(row).to_contain_text("cancelled")


def test_what_ran_long_ago_is_not_hidden_by_what_runs_often(visit: Any, site: Any, size: str) -> None:
    """An action tells its last run, however many runs of others came since."""
    site.start_run("greet", name="rarely")
    for _ in range(45):
        site.start_run("tune")
    page = visit("", size=size)
    card = page.locator("a.card").filter(has_text=re.compile("^greet"))

    expect(card).to_contain_text("succeeded")
    expect(card).not_to_contain_text("not run yet")


def test_services_are_started_and_stopped(visit: Any, size: str) -> None:
    """A service is started and stopped by its button, its state follows, and a failure says why."""
    page = visit("services", size=size)
    idle = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="idle"))
    expect(idle).to_contain_text("stopped")
    idle.get_by_role("button", name="Start idle").click()
    expect(idle).to_contain_text("running")
    idle.get_by_role("button", name="Stop idle").click()
    expect(idle).to_contain_text("stopped")

    shaky = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="shaky"))
    expect(shaky).to_contain_text("OSError: the other side hung up")
    expect(shaky).to_contain_text(re.compile("next start in (23|24) hr|next start tomorrow"))
    # one that runs again is no alarm
    mended = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="mended"))
    expect(mended).to_contain_text("running")
    expect(mended).to_contain_text(re.compile(r"Failed last .+: OSError: not yet"))
    expect(shaky.locator(".error")).to_have_count(1)
    expect(mended.locator(".error")).to_have_count(0)

    expect(mended.get_by_role("link", name="Runs of mended")).to_have_attribute("href", re.compile("action"))
    shaky.get_by_role("link", name=re.compile("ago|just now")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("shaky")
    expect(page.get_by_role("main")).to_contain_text("the other side hung up")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "actions/deploy",
        "actions/long%2Fone",
        "runs",
        "services",
        "schedules",
        "keys",
        "keys/a/b",
        "nowhere",
        "runs/1",
    ],
)
def test_nothing_sticks_out(visit: Any, size: str, path: str) -> None:
    """No page is wider than the screen, also where there is nothing to show; each has a heading and a title."""
    page = visit(path, size=size)
    page.wait_for_timeout(200)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.title().endswith(" · binp")


def test_320_pixels_are_enough(visit: Any, size: str) -> None:
    """On the narrowest of screens nothing has to be pushed sideways."""
    page = visit("actions/deploy", size=size)
    page.set_viewport_size({"width": 320, "height": 640})
    for path in ("", "actions/deploy", "runs", "services", "schedules", "keys", "keys/a/b"):
        page.goto(f"{page.url.split('#')[0]}#/{path}")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
