"""The history of journaled functions, as clients of the original read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from binp.store.sqlite._connect import connect_reader


@pytest.fixture
async def history(served: Any) -> Any:
    """25 runs of a journaled function; every fifth failed."""
    journal = served.binp.journal

    @journal(operation="count", description="counts")
    async def count(number: int) -> None:
        await journal.record("counting", number=number)
        await journal.labels(f"mod{number % 3}")
        if number % 5 == 0:
            raise ValueError(number)

    @journal
    async def other() -> None:
        pass

    for number in range(25):
        try:
            await count(number)
        except ValueError:
            pass
    await other()
    return served.http


def numbers(answer: Any) -> list[str]:
    return [headline["error"] or headline["labels"][0] for headline in answer.json()]


async def test_pages(history: Any) -> None:
    """API-03: 20 per page, newest first; a page below 0 is the first; behind the last one there is nothing."""
    first = (await history.get("/internal/journals/")).json()
    second = (await history.get("/internal/journals/", params={"page": 1})).json()

    assert [len(first), len(second)] == [20, 6]
    ids = [headline["id"] for headline in first + second]
    assert ids == sorted(ids, reverse=True)
    assert (await history.get("/internal/journals/", params={"page": -3})).json() == first
    assert (await history.get("/internal/journals/", params={"page": 10**9})).json() == []
    assert first[0]["started_at"].endswith(("Z", "+00:00"))


@pytest.mark.parametrize("page", [10**20, 2**53, "x"])
async def test_page_out_of_range(history: Any, page: Any) -> None:
    """API-03, API-04: a page that is no small number is a 422, never a failure (N-16)."""
    assert (await history.get("/internal/journals/", params={"page": page})).status_code == 422
    assert (await history.post("/internal/journals/search", params={"page": page}, json={})).status_code == 422


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 26),
        ({"operation": "count"}, 25),
        ({"operation": "coun"}, 0),
        ({"failed": True}, 5),
        ({"failed": False}, 21),
        ({"pending": True}, 0),
        ({"pending": False}, 26),
        ({"labels": ["mod0", "mod1"]}, 17),
        ({"labels": []}, 26),
        ({"operation": "count", "failed": True, "labels": ["mod0"]}, 2),
        ({"operation": None, "failed": None, "pending": None, "labels": None}, 26),
    ],
)
async def test_search(history: Any, query: Any, count: int) -> None:
    """API-04: all given conditions hold, newest first (N-05, decision 11)."""
    first = (await history.post("/internal/journals/search", json=query)).json()
    second = (await history.post("/internal/journals/search?page=1", json=query)).json()

    ids = [headline["id"] for headline in first + second]
    assert len(ids) == count
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize("query", [{"operaton": "x"}, {"failed": "perhaps"}, {"labels": "x"}])
async def test_search_that_makes_no_sense(history: Any, query: Any) -> None:
    """API-04: an unknown field is a 422 (N-16)."""
    answer = await history.post("/internal/journals/search", json=query)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", next(iter(query))]


async def test_get(history: Any) -> None:
    """API-05: a journal has its records with their fields."""
    newest = (await history.post("/internal/journals/search", json={"operation": "count"})).json()[0]

    journal = (await history.get(f"/internal/journal/{newest['id']}")).json()

    assert (journal["operation"], journal["description"], journal["labels"]) == ("count", "counts", ["mod0"])
    assert [(record["message"], record["params"]) for record in journal["records"]] == [("counting", {"number": 24})]


@pytest.mark.parametrize(("number", "status"), [(7, 404), (-1, 404), (10**23, 422), (2**53, 422), ("x", 422)])
async def test_get_nothing(history: Any, number: Any, status: int) -> None:
    """API-05: an unknown journal is a 404 in the words of the original, an id out of range a 422 (N-16)."""
    answer = await history.get(f"/internal/journal/{number}")

    assert answer.status_code == status
    if status == 404:
        assert answer.json()["detail"] == f"journal {number} not found"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the file by whoever opens it to read, from here on."""
    asked: list[str] = []

    def connect(path: Path) -> Any:
        connection = connect_reader(path)
        connection.set_trace_callback(lambda text: None if text.startswith("--") else asked.append(text))
        return connection

    monkeypatch.setattr("binp.store.sqlite._queries.connect_reader", connect)
    # on a slow machine what takes long would be asked in several steps
    for name in ("_WORK", "_PATIENCE"):
        monkeypatch.setattr(f"binp.store.sqlite._queries.{name}", 3600.0)
    return asked


async def test_lists_do_not_ask_for_each(statements: list[str], history: Any, served: Any) -> None:
    """API-03, API-05, N-26: a page asks far less often than it has runs, and a run with many records as with few."""
    journal = served.binp.journal

    @journal(operation="said")
    async def say(count: int) -> int | None:
        for number in range(count):
            journal.record("line", number=number)
        return journal.current

    few, many = await say(1), await say(150)

    async def asked(method: str, path: str, **given: Any) -> tuple[int, int]:
        statements.clear()
        answer = (await history.request(method, f"/internal/{path}", **given)).json()
        return len(statements), len(answer["records"] if isinstance(answer, dict) else answer)

    for path, body in (("journals/", None), ("journals/search", {"operation": "count"})):
        method = "GET" if body is None else "POST"
        most = await asked(method, path, json=body)
        rest = await asked(method, path, json=body, params={"page": 1})
        assert (most[1], rest[1]) == (20, 8 if body is None else 5)
        assert 0 < most[0] <= 10
        assert 0 < rest[0] <= 10
    assert (await asked("GET", f"journal/{few}"))[1] == 1
    (for_few, _), (for_many, count) = await asked("GET", f"journal/{few}"), await asked("GET", f"journal/{many}")
    assert count == 150
    assert 0 < for_many == for_few <= 10
