"""All runs over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest


@pytest.fixture
async def runs(served: Any) -> Any:
    """Runs of two actions: three succeeded, one failed; the first one has records."""
    binp = served.binp

    @binp.action(name="talk", labels=["good"])
    async def talk(lines: int) -> list[int]:
        for line in range(lines):
            await binp.journal.record("line", number=line)
        await binp.journal.progress(1, 2, "half")
        return list(range(lines))

    @binp.action(name="fail")
    @binp.journal(operation="fail")
    async def fail() -> None:
        raise ValueError("no luck")

    await served.http.post("/internal/action/talk", json={"lines": 250})
    await served.http.post("/internal/action/talk", json={"lines": 0})
    await served.http.post("/internal/action/fail")
    await served.http.post("/internal/action/talk", json={"lines": 1})
    return served.http


async def operations(http: Any, **params: Any) -> list[str]:
    answer = await http.get("/internal/runs", params=params)
    assert answer.status_code == 200, answer.text
    return [run["operation"] for run in answer.json()["runs"]]


async def test_list(runs: Any) -> None:
    """All runs are listed, newest first, those that are not journaled included (decision 18)."""
    assert await operations(runs) == ["talk", "fail", "talk", "talk"]
    assert await operations(runs, journaled=True) == ["fail"]
    assert await operations(runs, operation="talk", limit=2) == ["talk", "talk"]
    assert await operations(runs, state=["failed", "running"]) == ["fail"]
    assert await operations(runs, label=["good", "bad"]) == ["talk"] * 3
    assert await operations(runs, state="queued") == []


async def test_the_latest_of_each(served: Any, runs: Any) -> None:
    """What ran seldom is not hidden by what runs often: each has its own latest runs, and who has none is there too."""

    @served.binp.schedule("0 0 1 1 *", name="yearly")
    async def by_time() -> None: ...

    @served.binp.journal
    async def inner() -> None: ...

    await inner()
    answer = await runs.get("/internal/runs/latest", params={"limit": 2})
    found = {name: [run["state"] for run in each] for name, each in answer.json().items()}
    assert set(found) == {"talk", "fail", "yearly"}
    assert (found["talk"], found["fail"]) == (["succeeded"] * 2, ["failed"])
    assert answer.json()["talk"][0]["id"] > answer.json()["talk"][1]["id"]
    assert (await runs.get("/internal/runs/latest", params={"limit": 51})).status_code == 422
    plain = await runs.get("/internal/runs/latest", params={"limit": 2}, headers={"accept-encoding": "identity"})
    assert ("content-encoding" in plain.headers, answer.headers["content-encoding"]) == (False, "gzip")
    assert plain.json() == answer.json()


async def test_query(runs: Any) -> None:
    """A query finds by words and conditions, together with the other parameters, which have to hold as well."""
    assert await operations(runs, q="luck") == ["fail"]
    assert await operations(runs, q="state:failed,running") == ["fail"]
    assert await operations(runs, q="action:talk -label:odd lines 250", label="good") == ["talk"]
    assert await operations(runs, q="action:talk", operation="fail") == []
    assert await operations(runs, q="since:1h until:today") == ["talk", "fail", "talk", "talk"]
    assert await operations(runs, q="until:1h") == []


async def test_query_that_makes_no_sense(runs: Any) -> None:
    """A query that cannot be understood is a 422 that says what, where and how to mend it."""
    answer = await runs.get("/internal/runs", params={"q": "luck stat:failed"})

    assert answer.status_code == 422
    assert answer.json() == {
        "type": "urn:binp:bad-query",
        "title": HTTPStatus(422).phrase,
        "status": 422,
        "detail": "'stat' is not a search key",
        "fix": "did you mean 'state'? for the text, quote it: \"stat:...\"",
        "where": "luck stat:failed\n     ^^^^",
        "start": 5,
        "stop": 9,
    }


async def test_words_that_are_not_known(runs: Any) -> None:
    """A misspelt word of a query or member of a body is a 422 that says what was meant, or what there is."""
    near = await runs.get("/internal/runs", params={"stat": "failed", "limit": "many"})
    far = await runs.get("/internal/runs", params={"xyz": "{1}"})
    body = await runs.put("/internal/schedule/x", json={"pausd": True})

    assert near.json()["errors"] == [
        {"loc": ["query", "limit"], "msg": near.json()["errors"][0]["msg"], "type": "int_parsing"},
        {"loc": ["query", "stat"], "msg": "is not known; did you mean 'state'?", "type": "extra_forbidden"},
    ]
    assert "valid integer" in near.json()["errors"][0]["msg"]
    (unknown,) = far.json()["errors"]
    assert unknown["msg"].startswith("is not known; known: q, operation, state, ")
    assert [one["msg"] for one in body.json()["errors"]] == ["is required", "is not known; did you mean 'paused'?"]


async def test_search_that_stops(runs: Any, monkeypatch: Any) -> None:
    """A search that takes too long says how far it got, and goes on from there."""
    monkeypatch.setattr("binp.store.sqlite._queries._WORK", 0.0)
    for name in ("_LEAST", "_LOOKED", "_MOST_LOOKED"):
        monkeypatch.setattr(f"binp.store.sqlite._search.{name}", 1)
    listed = (await runs.get("/internal/runs")).json()["runs"]
    found, params = [], {"q": "action:talk"}
    for _ in range(9):
        page = (await runs.get("/internal/runs", params=params)).json()
        found += page["runs"]
        if page["stopped"] is None:
            break
        assert page["has_more"]
        assert page["stopped_at"][:10] == listed[0]["started_at"][:10]
        params["before"] = page["stopped"]

    assert [run["id"] for run in found] == [run["id"] for run in listed if run["operation"] == "talk"]


async def test_keyset(runs: Any) -> None:
    """Pages are reached by the id of the last run, in both directions."""
    first = (await runs.get("/internal/runs", params={"limit": 2})).json()
    last = first["runs"][-1]["id"]
    second = (await runs.get("/internal/runs", params={"limit": 2, "before": last})).json()
    back = (await runs.get("/internal/runs", params={"limit": 2, "after": second["runs"][0]["id"]})).json()

    assert [first["has_more"], second["has_more"]] == [True, False]
    assert back["runs"] == first["runs"]
    assert [first["has_newer"], second["has_newer"], back["has_newer"]] == [False, False, False]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 201}, {"before": 2**53}, {"state": "odd"}, {"lable": "x"}])
async def test_list_that_makes_no_sense(runs: Any, params: Any) -> None:
    """What is no filter, or out of range, is a 422 (N-16)."""
    assert (await runs.get("/internal/runs", params=params)).status_code == 422


async def test_get(runs: Any) -> None:
    """A run shows arguments, result, labels, progress, error with traceback, and its first records."""
    listed = (await runs.get("/internal/runs")).json()["runs"]

    talk = (await runs.get(f"/internal/runs/{listed[-1]['id']}")).json()
    fail = (await runs.get(f"/internal/runs/{listed[1]['id']}")).json()

    assert (talk["arguments"], talk["result"], talk["labels"]) == ({"lines": 250}, list(range(250)), ["good"])
    assert (talk["progress"], talk["progress_total"], talk["progress_message"]) == (1, 2, "half")
    assert (talk["record_count"], len(talk["records"]), talk["records"][0]["fields"]) == (250, 200, {"number": 0})
    assert (fail["error_type"], fail["error"], fail["journal"]) == ("ValueError", "ValueError: no luck", "fail")
    assert "no luck" in fail["traceback"]
    began = datetime.fromisoformat(talk["started_at"])
    assert 0 < talk["duration"] <= (datetime.now(UTC) - began).total_seconds()


async def test_records(runs: Any) -> None:
    """Records are read on behind a number."""
    run = (await runs.get("/internal/runs")).json()["runs"][-1]["id"]

    page = (await runs.get(f"/internal/runs/{run}/records", params={"after": 200})).json()
    few = (await runs.get(f"/internal/runs/{run}/records", params={"limit": 2})).json()

    assert [record["seq"] for record in page] == list(range(201, 251))
    assert [record["seq"] for record in few] == [1, 2]
    assert (await runs.get(f"/internal/runs/{run}/records", params={"after": 900})).json() == []


@pytest.mark.parametrize(("run", "status"), [(7, 404), (2**53 - 1, 404), (2**53, 422), (-1, 422), ("x", 422)])
async def test_unknown(runs: Any, run: Any, status: int) -> None:
    """An unknown run is a 404, an id out of range a 422 (N-16)."""
    for method, path in [("GET", ""), ("GET", "/records"), ("POST", "/cancel")]:
        answer = await runs.request(method, f"/internal/runs/{run}{path}")
        assert answer.status_code == status
        if status == 404:
            assert answer.json()["detail"] == f"run {run} not found"


async def test_cancel(served: Any) -> None:
    """A run is cancelled; one that has ended is a conflict (N-07)."""

    @served.binp.action(name="forever")
    async def forever() -> None:
        await asyncio.Event().wait()

    started = (await served.http.post("/internal/actions/forever/runs")).json()
    assert (await served.http.post(f"{started['url']}/cancel")).status_code == 202
    run = await served.ended(started["run"])
    again = await served.http.post(f"{started['url']}/cancel")

    assert (run["state"], run["error"], run["cancel_requested"]) == ("cancelled", "cancelled", True)
    assert (again.status_code, again.json()["detail"]) == (409, f"run {started['run']} has ended: cancelled")


async def test_keys(served: Any) -> None:
    """Keys are looked at, whatever they are called."""
    await served.binp.kv.set(**{"a/b": {"x": 1}, "c": None})
    await served.binp.kv.select("n/s").set(d=1)

    names = (await served.http.get("/internal/kv/namespaces")).json()
    keys = (await served.http.get("/internal/kv/keys", params={"prefix": "a"})).json()
    value = (await served.http.get("/internal/kv/value", params={"namespace": "n/s", "key": "d"})).json()
    missing = await served.http.get("/internal/kv/value", params={"key": "d"})

    assert names == ["default", "n/s"]
    assert [(key["key"], key["value"]) for key in keys] == [("a/b", {"x": 1})]
    assert (value["value"], value["version"]) == (1, 1)
    assert (missing.status_code, missing.json()["detail"]) == (404, "key d not found in namespace default")


async def test_documentation(served: Any) -> None:
    """API-12: the platform has its own documentation, titled BINP, with the operation ids of the original."""
    schema = (await served.http.get("/internal/openapi.json")).json()

    ids = {operation["operationId"] for path in schema["paths"].values() for operation in path.values()}
    assert schema["info"]["title"] == "BINP"
    assert ids >= {
        "listActions",
        "invokeAction",
        "listJournals",
        "searchJournals",
        "getJournal",
        "listServices",
        "manageService",
    }
    for path in ("docs", "redoc"):
        page = await served.http.get(f"/internal/{path}")
        assert page.status_code == 200
        assert "/internal/openapi.json" in page.text


async def test_a_run_is_started_again(served: Any, binp: Any) -> None:
    """A run is started again with its arguments, or with others in their place; what cannot be is refused."""
    did: list[int] = []

    @binp.action(name="triple")
    async def triple(x: int, y: int = 0) -> int:
        did.append(x)
        if len(did) == 1:
            raise ValueError("not yet")
        return 3 * x + y

    async def rerun(run: int, body: Any = None) -> Any:
        answer = await served.http.post(f"/internal/runs/{run}/rerun", json=body)
        assert answer.status_code == 202, answer.text
        started = answer.json()
        assert answer.headers["location"] == started["url"]
        await binp.home.runs.watch.ended(started["run"])
        return (await served.http.get(f"/internal/runs/{started['run']}")).json()

    first = (await served.http.post("/internal/action/triple", json={"x": 4})).json()["run"]
    second = await rerun(first)
    assert (second["state"], second["result"], second["attempt"], second["origin"]) == ("succeeded", 12, 2, first)
    third = await rerun(second["id"], {"arguments": {"y": 1}})
    assert (third["result"], third["attempt"], third["arguments"], third["origin"]) == (13, 1, {"x": 4, "y": 1}, None)
    wrong = await served.http.post(f"/internal/runs/{first}/rerun", json={"arguments": {"x": "many"}})
    assert wrong.status_code == 422
    assert (await served.http.post("/internal/runs/5/rerun")).status_code == 404


async def test_it_is_started_again_once(served: Any, binp: Any) -> None:
    """Sent again with its key, a rerun starts nothing: it is answered with the first; other arguments are a 409."""

    @binp.action(name="twice")
    async def twice(x: int) -> int:
        return 2 * x

    first = (await served.http.post("/internal/action/twice", json={"x": 4})).json()["run"]
    url, headers = f"/internal/runs/{first}/rerun", {"idempotency-key": "k"}
    again = await served.http.post(url, headers=headers)
    same = await served.http.post(url, headers=headers)
    assert (same.status_code, same.json(), same.headers["location"]) == (202, again.json(), again.json()["url"])
    other = await served.http.post(url, headers=headers, json={"arguments": {"x": 5}})
    assert (other.status_code, other.json()["detail"]) == (409, "the key 'k' was used for another start of 'twice'")
    fresh = await served.http.post(url, headers={"idempotency-key": "k2"})
    assert fresh.json()["run"] not in (first, again.json()["run"])
    # the key of a press is another one
    press = await served.http.post("/internal/action/twice", json={"x": 6}, headers=headers)
    assert (press.status_code, press.json()["result"]) == (200, 12)


async def test_counts(runs: Any) -> None:
    """Runs are counted by time, action and state, as a query finds them."""

    async def counted(**params: Any) -> dict[str, Any]:
        answer = await runs.get("/internal/runs/counts", params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    everything = await counted()
    assert everything["actions"] == [{"name": "talk", "count": 3}, {"name": "fail", "count": 1}]
    assert everything["states"] == [{"name": "succeeded", "count": 3}, {"name": "failed", "count": 1}]
    assert (everything["total"], everything["is_complete"], everything["stopped_at"]) == (4, True, None)
    assert everything["seconds"] == 60
    for state, number in (("succeeded", 3), ("failed", 1), ("running", 0)):
        assert sum(bucket[state] for bucket in everything["buckets"]) == number
    week = await counted(q="since:7d", buckets=200)
    assert (len(week["buckets"]) in (169, 170), week["seconds"], week["total"]) == (True, 3600, 4)
    assert (await counted(q="luck"))["actions"] == [{"name": "fail", "count": 1}]
    assert (await counted(label="odd"))["total"] == 0
    assert (await runs.get("/internal/runs/counts", params={"q": "a:b"})).status_code == 422
    assert (await runs.get("/internal/runs/counts", params={"limit": 1})).status_code == 422
