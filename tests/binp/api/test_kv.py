"""Key-value state over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import math

import pytest

URL = "/internal/kv/value"


async def put(served, key, value, *, headers=None, **query):
    return await served.http.put(URL, params={"key": key, **query}, content=json.dumps(value), headers=headers)


async def test_a_key_is_written_read_and_removed(served):
    """A key is put, found with its version as ETag and all that is known of it, and removed."""
    before = dt.datetime.now(dt.UTC)
    assert (await put(served, "a/b c", {"x": [1]})).json() == {"namespace": "default", "key": "a/b c", "version": 1}
    written = await put(served, "a/b c", None, namespace="default", ttl=60)
    found = await served.http.get(URL, params={"key": "a/b c"})
    same = await served.http.get(URL, params={"key": "a/b c"}, headers={"if-none-match": '"2"'})
    removed = await served.http.delete(URL, params={"key": "a/b c"})
    missing = await served.http.delete(URL, params={"key": "a/b c"})

    assert (written.status_code, written.headers["etag"]) == (200, '"2"')
    assert (found.status_code, found.headers["etag"]) == (200, '"2"')
    kept = found.json()
    assert (kept["value"], kept["text"], kept["version"], kept["module"], kept["run"]) == (None, "null", 2, None, None)
    assert kept["actor"] == "token"
    assert before <= dt.datetime.fromisoformat(kept["updated_at"]) <= dt.datetime.now(dt.UTC)
    left = dt.datetime.fromisoformat(kept["expires_at"]) - before
    assert dt.timedelta(seconds=59) < left < dt.timedelta(seconds=600)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"2"')
    assert (removed.status_code, removed.content) == (204, b"")
    assert (missing.status_code, missing.json()["detail"]) == (404, "key a/b c not found in namespace default")
    assert (await served.http.get(URL, params={"key": "a/b c"})).status_code == 404


async def test_a_key_is_written_in_an_expected_version_alone(served):
    """If-Match and If-None-Match decide whether a key is written or removed; else it is a 412 with both versions."""
    created = await put(served, "x", 1, headers={"if-none-match": "*"})
    again = await put(served, "x", 2, headers={"if-none-match": "*"})
    changed = await put(served, "x", 3, headers={"if-match": '"1"'})
    late = await put(served, "x", 4, headers={"if-match": '"1"'})
    missing = await put(served, "y", 4, headers={"if-match": '"1"'})
    kept = await served.http.delete(URL, params={"key": "x"}, headers={"if-match": '"1"'})
    gone = await served.http.delete(URL, params={"key": "x"}, headers={"if-match": '"2"'})

    assert [answer.status_code for answer in (created, again, changed, late, missing, kept, gone)] == [
        200,
        412,
        200,
        412,
        412,
        412,
        204,
    ]
    problem = late.json()
    assert late.headers["content-type"] == "application/problem+json"
    assert (problem["type"], problem["expected"], problem["found"]) == ("urn:binp:conflict", 1, 2)
    assert problem["detail"] == "key 'x' of namespace 'default' is in version 2, and was expected in version 1"
    assert (again.json()["expected"], again.json()["found"]) == (None, 1)
    assert (missing.json()["expected"], missing.json()["found"]) == (1, None)


@pytest.mark.parametrize(
    ("content", "headers", "query"),
    [
        ("", {}, {}),
        ("{", {}, {}),
        ("NaN", {}, {}),
        ("[" * 100_000, {}, {}),
        (b"\xff", {}, {}),
        ("1", {"if-match": "*"}, {}),
        ("1", {"if-match": 'W/"1"'}, {}),
        ("1", {"if-match": '"0"'}, {}),
        ("1", {"if-match": '"99999999999999999999"'}, {}),
        ("1", {"if-match": '"1", "2"'}, {}),
        ("1", {"if-none-match": '"1"'}, {}),
        ("1", {"if-none-match": "*", "if-match": '"1"'}, {}),
        ("1", {}, {"ttl": "0"}),
        ("1", {}, {"ttl": "inf"}),
        ("1", {}, {"ttl": "nan"}),
        ("1", {}, {"tttl": "5"}),
        ("1", {}, {"key": "x" * 1001}),
    ],
)
async def test_what_makes_no_sense_is_refused(served, content, headers, query):
    """A body that is not JSON, headers and parameters without sense are a 422, and nothing is written."""
    answer = await served.http.put(URL, params={"key": "x", **query}, content=content, headers=headers)

    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] in ("urn:binp:refused", "urn:binp:invalid-request")
    assert await served.binp.kv.keys() == []


async def test_values_that_json_cannot_carry_are_shown(served):
    """NaN is null in the value, and is itself in the text; an integer of any size is exact in both."""
    await served.binp.kv.set(nan=[math.nan, math.inf], big=2**80)
    listed = (await served.http.get("/internal/kv/keys")).json()
    nan = (await served.http.get(URL, params={"key": "nan"})).json()
    big = (await served.http.get(URL, params={"key": "big"})).json()
    await put(served, "big", 2**80 + 1)

    assert [each["value"] for each in listed] == [2**80, [None, None]]
    assert (nan["value"], nan["text"]) == ([None, None], "[NaN, Infinity]")
    assert (big["value"], big["text"]) == (2**80, str(2**80))
    assert await served.binp.kv.get("big") == 2**80 + 1


async def test_keys_are_listed_without_long_values(served):
    """A list has what is known of each key; a value of more than 4,096 characters is left out, and said to be."""
    await served.binp.kv.set(a=1, long="x" * 4095)
    short, long = (await served.http.get("/internal/kv/keys")).json()
    whole = (await served.http.get(URL, params={"key": "long"})).json()

    assert set(short) == {
        "namespace",
        "key",
        "value",
        "is_cut",
        "module",
        "version",
        "updated_at",
        "expires_at",
        "run",
        "actor",
    }
    assert (short["value"], short["is_cut"]) == (1, False)
    assert (long["value"], long["is_cut"]) == (None, True)
    assert (whole["value"], whole["is_cut"]) == ("x" * 4095, False)


async def test_when_a_key_expires_can_be_left_as_it_is(served):
    """Writing a key sets when it expires, or leaves that as it is."""
    await served.binp.kv.put("x", 1, ttl=3600)
    expires = (await served.binp.kv.entry("x")).expires_at

    await put(served, "x", 2, keep_ttl=True)
    assert (await served.binp.kv.entry("x")).expires_at == expires
    await put(served, "x", 3)
    assert (await served.binp.kv.entry("x")).expires_at is None
    await put(served, "new", 3, keep_ttl=True, ttl=60)
    assert (await served.binp.kv.entry("new")).expires_at is not None


async def test_the_history_of_a_key(served):
    """The history has each version with who made it, the newest first, and leaves alone how much of it is kept."""
    few = served.binp.kv.select("few", history=3)
    await few.set(x=1)
    await put(served, "x", 2, namespace="few")
    await served.http.delete(URL, params={"key": "x", "namespace": "few"})
    await put(served, "x", 4, namespace="few")

    query = {"key": "x", "namespace": "few"}
    found = (await served.http.get("/internal/kv/history", params=query)).json()
    one = (await served.http.get("/internal/kv/history", params={**query, "limit": 1})).json()

    assert [(each["version"], each["event"], each["value"], each["text"], each["actor"]) for each in found] == [
        (4, "set", 4, "4", "token"),
        (3, "removed", None, None, "token"),
        (2, "set", 2, "2", "token"),
    ]
    assert one == found[:1]
    assert (await served.http.get("/internal/kv/history", params={"key": "y"})).status_code == 404
