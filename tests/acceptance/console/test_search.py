"""Runs are searched in one language, typed or pressed, and counted over time."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("size", ["desktop", "phone"])]


def rows(page: Page) -> Locator:
    return page.get_by_role("list", name="Runs").get_by_role("listitem")


def bars(page: Page) -> Locator:
    return page.get_by_role("group", name="Runs by time").locator("a")


def test_runs_are_found_and_the_address_says_so(visit: Any, size: str) -> None:
    """A query is typed, or pressed together from states and actions; it survives a reload, and Back undoes it."""
    page = visit("runs", size=size)
    box = page.get_by_role("searchbox", name="Search")
    expect(rows(page)).to_have_count(25)
    page.get_by_role("group", name="State").get_by_role("button", name="failed").click()
    page.get_by_role("group", name="Action").get_by_role("button", name="stumble").click()
    expect(box).to_have_value("state:failed action:stumble")
    expect(rows(page).first).to_contain_text("stumble")
    expect(rows(page).filter(has_text="succeeded")).to_have_count(0)

    page.reload()
    expect(box).to_have_value("state:failed action:stumble")
    expect(page.get_by_role("button", name="failed")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(box).to_have_value("state:failed")
    page.get_by_role("group", name="State").get_by_role("button", name="all").click()
    expect(box).to_have_value("")
    box.fill("stairs")
    page.keyboard.press("Enter")
    expect(rows(page).first).to_contain_text("long/one")
    expect(rows(page).filter(has_text="greet")).to_have_count(0)
    rows(page).first.get_by_role("link", name="stairs").click()
    expect(box).to_have_value("label:stairs")
    box.fill("label:none")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No runs found")).to_be_visible()
    box.fill("")
    expect(rows(page)).to_have_count(25)


def test_what_is_wrong_in_a_query_is_shown_where_it_is(visit: Any, size: str) -> None:
    """What cannot be understood is marked beneath the box, with why and what helps; the list stays."""
    page = visit("runs", size=size)
    expect(rows(page)).to_have_count(25)
    box = page.get_by_role("searchbox", name="Search")
    box.fill("x\N{SNAKE} stat:failed label:x")
    page.keyboard.press("Enter")

    wrong = page.get_by_role("alert")
    expect(wrong.locator("mark")).to_have_text("stat")
    expect(wrong).to_contain_text("'stat' is not a search key")
    expect(wrong).to_contain_text("did you mean 'state'?")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_accessible_description(re.compile("is not a search key"))
    expect(rows(page)).to_have_count(25)
    box.fill("state:failed")
    page.keyboard.press("Enter")
    expect(wrong).to_have_count(0)
    expect(rows(page).filter(has_text="succeeded")).to_have_count(0)


def test_a_bar_leads_to_its_part_of_time(visit: Any, site: Any, size: str) -> None:
    """Runs are counted over time, by state; a bar narrows the query to its time, by a click or by keys."""
    total = site.call("/internal/runs/counts?q=action:greet")["total"]
    page = visit("runs?q=action:greet", size=size)
    expect(page.get_by_role("figure")).to_contain_text(f"{total} runs, 0 failed")
    last = bars(page).last
    expect(last).to_have_accessible_name(re.compile(r"\d+ succeeded|no runs"))
    filled = bars(page).filter(has=page.locator(".s-succeeded")).last
    name = filled.get_attribute("aria-label") or ""
    filled.click()
    box = page.get_by_role("searchbox", name="Search")
    expect(box).to_have_value(re.compile(r"^action:greet since:\S+ until:\S+$"))
    expect(page.get_by_role("figure")).to_contain_text(
        re.search(r": (\d+) succeeded", name)[1] + " run"  # type: ignore[index] # it is filled
    )

    page.goto(f"{page.url.split('#')[0]}#/runs?q=since:1h")
    # an hour in parts of five minutes: the bars of the query before are gone
    expect(bars(page).nth(11)).to_be_attached()
    expect(page.locator("svg [tabindex='0']")).to_have_count(1)
    bars(page).last.focus()
    left = page.evaluate("document.activeElement.previousElementSibling.getAttribute('href')")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("svg a:focus")).to_have_attribute("href", left)
    page.keyboard.press("Enter")
    expect(box).to_have_value(re.compile(r"^since:\S+T\S+ until:\S+T\S+$"))


def test_since_when_is_said_where_the_bars_begin(visit: Any, site: Any, size: str) -> None:
    """A few bars stand on the right; then the moment from which on they count is not said at the left edge."""
    site.start_run("greet", name="since")
    page = visit("runs?q=since:5m", size=size)

    expect(page.locator("figcaption span").first).to_have_text(re.compile(r"^[\d,]+ runs?, \d+ failed since "))


def test_numbers_follow_what_runs(visit: Any, site: Any, size: str) -> None:
    """The counts of states and actions go on while one looks."""
    page = visit("runs?q=action:ladder", size=size)
    before = site.call("/internal/runs/counts?q=action:ladder")["total"]
    site.start_run("ladder")

    expect(page.get_by_role("figure")).to_contain_text(re.compile(rf"\b{before + 1} runs?,"))
    expect(page.get_by_role("button", name=re.compile("^succeeded"))).to_contain_text(str(before + 1))


def test_a_search_that_took_too_long_goes_on(visit: Any, site: Any, size: str) -> None:
    """A page of a search that stopped says how far it looked, and goes on from there."""
    place = site.call("/internal/runs?limit=1")["runs"][0]["id"]

    def stop(route: Route) -> None:
        answer = route.fetch()
        told = answer.json() | {"runs": [], "stopped": place, "stopped_at": "2026-01-02T03:04:05Z", "has_more": True}
        route.fulfill(response=answer, body=json.dumps(told))

    page = visit("services", size=size)
    page.route(re.compile(r"/internal/runs\?q=slow&limit=\d+$"), stop)
    page.goto(f"{page.url.split('#')[0]}#/runs?q=slow")
    expect(page.get_by_text("The search looked back to Fri 2 Jan, 03:04:05.")).to_be_visible()
    expect(page.get_by_text("No runs found")).to_have_count(0)
    page.get_by_role("link", name="Go on").click()

    expect(page).to_have_url(re.compile(f"q=slow&before={place}$"))
    expect(rows(page).first).to_contain_text("long/one")
