"""A form knows every kind of field; what is filled in arrives, and what is wrong stands where it belongs."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

GIVEN = {
    "target": {"service": "web", "version": "1.2"},
    "regions": ["us", "eu"],
    "secret": 3,
    "notify": {"kind": "hook", "url": "http://x", "retries": 5},
    "ratio": "0.25",
    "day": "2026-02-03",
    "wait": 90.0,
    "dry_run": False,
    "maybe": True,
    "size": "large",
    "pair": [7, "b"],
    "options": {"a": 1},
    "anything": [None, {"x": 1}],
}


def fill(page: Any) -> None:
    page.get_by_label("Service").fill("web")
    page.get_by_label("Version").fill("1.2")
    for index, region in enumerate(["us", "eu"]):
        page.get_by_role("group", name="Regions").get_by_role("button", name="Add").click()
        page.get_by_role("group", name="Regions").get_by_role("combobox").nth(index).select_option(region)
    page.get_by_label("Password").fill("abc")
    page.get_by_label("Notify, kind").select_option("Hook")
    page.get_by_label("Url").fill("http://x")
    page.get_by_label("Retries").fill("5")
    page.get_by_label("Ratio").fill("0.25")
    page.get_by_label("When").fill("2026-02-03T04:05:06")
    page.get_by_label("Day").fill("2026-02-03")
    page.get_by_label("Wait").fill("PT1M30S")
    page.get_by_label("Dry run").click()
    page.get_by_label("Maybe").select_option("true")
    page.get_by_label("Size, kind").select_option("string")
    page.get_by_role("textbox", name="Size", exact=True).fill("large")
    page.get_by_role("group", name="Pair").get_by_role("textbox").first.fill("7")
    page.get_by_role("group", name="Pair").get_by_role("textbox").last.fill("b")
    page.get_by_label("Options").fill('{"a": 1}')
    page.get_by_label("Anything").fill('[null, {"x": 1}]')


def test_every_kind_of_field_arrives(visit: Any, site: Any) -> None:
    """What is filled in is what the function gets; nothing but its secret is missing from its run."""
    page = visit("actions/deploy")
    fill(page)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("region", name="Result")).to_be_visible()
    run = site.call(f"/internal/runs/{page.url.rpartition('=')[2]}")

    assert {name: run["result"][name] for name in GIVEN} == GIVEN
    assert run["result"]["when"].startswith("2026-02-03T04:05:06")
    assert "abc" not in str(run["arguments"])


def test_a_run_fills_the_form_again(visit: Any, site: Any) -> None:
    """The form that is opened from a run holds its arguments, but for the secret, which was never kept."""
    site.call(
        "/internal/action/deploy", {"target": {"service": "again"}, "regions": ["us"], "password": "x", "size": "l"}
    )
    run = site.call("/internal/runs?operation=deploy&limit=1")["runs"][0]["id"]
    page = visit(f"runs/{run}")
    page.get_by_role("link", name="Edit").click()

    expect(page.get_by_label("Service")).to_have_value("again")
    expect(page.get_by_role("group", name="Regions").get_by_role("combobox")).to_have_count(1)
    expect(page.get_by_label("Password")).to_have_value("")
    expect(page.get_by_label("Size, kind")).to_have_value("1")
    expect(page.get_by_text("Secrets are not kept")).to_be_visible()


def test_wrong_fields_are_marked_wherever_they_are(visit: Any) -> None:
    """Errors inside of objects, lists and choices stand at their fields; the first one gets the focus."""
    page = visit("actions/deploy")
    fill(page)
    page.get_by_label("Version").fill("one")
    page.get_by_label("Retries").fill("99")
    page.get_by_role("group", name="Pair").get_by_role("textbox").first.fill("seven")
    page.get_by_role("button", name="Run").click()

    expect(page.get_by_label("Version")).to_be_focused()
    for field in (
        page.get_by_label("Version"),
        page.get_by_label("Retries"),
        page.get_by_role("group", name="Pair").get_by_role("textbox").first,
    ):
        expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("[aria-invalid=true]")).to_have_count(3)


def test_a_form_is_json_as_well(visit: Any) -> None:
    """The arguments can be seen and written as JSON; going back and forth changes nothing."""
    page = visit("actions/greet")
    page.get_by_label("Name").fill("json")
    page.get_by_role("button", name="JSON").click()
    text = page.get_by_label("Arguments as JSON")
    expect(text).to_have_value('{\n  "name": "json",\n  "times": 1\n}')
    text.fill('{"name": "again", "times": 2')
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not JSON")
    text.fill('{"name": "again", "times": 2}')
    page.get_by_role("button", name="Form").click()

    expect(page.get_by_label("Name")).to_have_value("again")
    expect(page.get_by_label("Times")).to_have_value("2")


def test_a_moment_with_a_zone_is_on_the_readers_clock(visit: Any) -> None:
    """A field for a moment knows no zone: what is typed is sent with the reader's offset, and is shown so again."""
    page = visit("actions/meet")
    page.get_by_role("textbox", name="At", exact=True).fill("2026-11-01T10:00:30")
    expect(page.get_by_role("textbox", name="At", exact=True)).to_have_accessible_description("on your clock (UTC)")
    page.get_by_role("button", name="Run", exact=True).click()

    expect(page.get_by_role("region", name="Result")).to_contain_text("2026-11-01T10:00:30+00:00")
    page.get_by_role("link", name="Open").click()
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_role("textbox", name="At", exact=True)).to_have_value("2026-11-01T10:00:30")
