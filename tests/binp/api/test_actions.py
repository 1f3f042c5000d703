"""Actions over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from binp import Secret
from binp.store.sqlite._tend import Erase


@pytest.fixture
def actions(binp: Any) -> list[int]:
    """Some actions; what the slow one did is in the list."""
    done: list[int] = []

    @binp.action(name="double")
    async def double(x: int = 1) -> int:
        """Double it."""
        return 2 * x

    @binp.action(name="a/b c", description="slash", labels=["odd"])
    def slash() -> None:
        pass

    @binp.action(name="broken")
    async def broken(kind: str = "value") -> None:
        if kind == "silent":
            raise KeyError
        raise ValueError("no luck")

    @binp.action(name="slow")
    async def slow(seconds: float = 0.05) -> None:
        await asyncio.sleep(seconds)
        done.append(1)

    @binp.action(name="secret")
    async def secret(password: Secret[str], count: int) -> None:
        pass

    return done


async def test_list(served: Any, actions: Any) -> None:
    """API-01: actions are listed in the order of their definition."""
    answer = await served.http.get("/internal/actions/")

    assert answer.status_code == 200
    assert answer.json()[:2] == [
        {"name": "double", "description": "Double it."},
        {"name": "a/b c", "description": "slash"},
    ]


@pytest.mark.parametrize(("body", "result"), [(None, 2), ({}, 2), ({"x": 4}, 8), ({"x": "4"}, 8)])
async def test_invoke(served: Any, actions: Any, body: Any, result: int) -> None:
    """API-02: invoking waits for the end; arguments are optional, as a client of the original sends none."""
    answer = await served.http.post("/internal/action/double", json=body)

    assert answer.status_code == 200
    told = answer.json()
    assert (told["name"], told["result"]) == ("double", result)
    assert told["duration"] >= 0
    run = await served.binp.home.store.get_run(told["run"])
    assert (run.trigger, run.actor, run.state) == ("api", "token", "succeeded")


async def test_invoke_from_the_console(served: Any, actions: Any) -> None:
    """API-02: a run that a browser session started says so."""
    from binp.auth import make_ticket

    token = served.headers["authorization"].removeprefix("Bearer ")
    del served.http.headers["authorization"]
    login = await served.http.get("/", params={"ticket": make_ticket(token)})
    again = await served.http.get("/", params={"ticket": make_ticket(token)}, headers={"cookie": ""})
    answer = await served.http.post("/internal/action/double", headers={"sec-fetch-site": "same-origin"})

    assert (login.status_code, login.headers["location"]) == (303, "/")
    assert again.status_code == 303
    run = await served.binp.home.store.get_run(answer.json()["run"])
    assert run.trigger == "console"
    assert run.actor.startswith("session:")


async def test_a_command_line_says_that_it_is_one(served: Any, actions: Any) -> None:
    """What is started with the token may be said to come from a command line, and from nothing else."""
    triggers = []
    for said in ("cli", "schedule", ""):
        answer = await served.http.post("/internal/action/double", headers={"X-Binp-Trigger": said})
        triggers.append((await served.binp.home.store.get_run(answer.json()["run"])).trigger)

    assert triggers == ["cli", "api", "api"]


@pytest.mark.parametrize("path", ["a/b c", "a%2Fb%20c"])
async def test_name_with_slash(served: Any, actions: Any, path: str) -> None:
    """API-02: an action is reachable whatever its name is (N-17)."""
    assert (await served.http.post(f"/internal/action/{path}")).status_code == 200
    assert (await served.http.get(f"/internal/actions/{path}")).json()["labels"] == ["odd"]
    assert (await served.http.post(f"/internal/actions/{path}/runs")).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "action/nope"), ("GET", "actions/nope"), ("POST", "actions/nope/runs")]
)
async def test_unknown(served: Any, actions: Any, method: str, path: str) -> None:
    """API-02: an unknown action is a 404 in the words of the original."""
    answer = await served.http.request(method, f"/internal/{path}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "action nope not found"


@pytest.mark.parametrize(
    ("kind", "detail", "error"), [("value", "ValueError: no luck", "ValueError"), ("silent", "KeyError", "KeyError")]
)
async def test_failing_action(served: Any, actions: Any, kind: str, detail: str, error: str) -> None:
    """API-02: a failing action is a problem with message, type and run (N-04)."""
    answer = await served.http.post("/internal/action/broken", json={"kind": kind})

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["detail"], told["error_type"], told["status"]) == (detail, error, 500)
    detail_of_run = (await served.http.get(f"/internal/runs/{told['run']}")).json()
    assert (detail_of_run["state"], detail_of_run["error"]) == ("failed", detail)
    assert "raise" in detail_of_run["traceback"]


async def test_cancelled_action(served: Any, actions: Any) -> None:
    """API-02: an action that was cancelled while it was waited for says so (N-07)."""
    waiting = asyncio.ensure_future(served.http.post("/internal/action/slow", json={"seconds": 60}))
    run = await first_run(served)
    assert (await served.http.post(f"/internal/runs/{run}/cancel")).status_code == 202

    answer = await waiting

    assert answer.status_code == 409
    assert (answer.json()["type"], answer.json()["run"]) == ("urn:binp:run-cancelled", run)
    assert answer.json()["detail"] == "the run was cancelled"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"x": "many"}, [("x", "int_parsing")]),
        ({"y": 1}, [("y", "extra_forbidden")]),
        ({"x": 1.5, "y": 1}, [("x", "int_from_float"), ("y", "extra_forbidden")]),
    ],
)
@pytest.mark.parametrize("path", ["action/double", "actions/double/runs"])
async def test_arguments_that_do_not_fit(served: Any, actions: Any, path: str, body: Any, errors: Any) -> None:
    """API-02: arguments that do not fit are a 422 that names each field; no run is made (N-06)."""
    answer = await served.http.post(f"/internal/{path}", json=body)

    assert answer.status_code == 422
    assert [(error["loc"][-1], error["type"]) for error in answer.json()["errors"]] == errors
    assert (await served.http.get("/internal/runs")).json()["runs"] == []


@pytest.mark.parametrize("body", [b"[1]", b"nonsense", b'"x"'])
async def test_body_that_is_no_object(served: Any, actions: Any, body: bytes) -> None:
    """API-02: a body that is no object of arguments is a 422 as well."""
    answer = await served.http.post(
        "/internal/action/double", content=body, headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("path", ["action/double", "actions/double/runs"])
async def test_what_is_wrong_with_a_body(served: Any, actions: Any, path: str) -> None:
    """API-02: broken JSON is told with the place; JSON that does not say that it is some with the header that does."""
    broken = await served.http.post(
        f"/internal/{path}", content=b'{"x": 2', headers={"content-type": "application/json"}
    )
    form = await served.http.post(f"/internal/{path}", content=b'{"x": 2}', headers={"content-type": "text/plain"})

    assert broken.json()["detail"] == "the body is not JSON: Expecting ',' delimiter at character 7"
    assert (form.status_code, form.json()["fix"]) == (422, "send JSON, with the header Content-Type: application/json")


async def test_rejected_secret_is_not_echoed(served: Any, actions: Any) -> None:
    """API-02: what was sent for a secret comes back in no answer."""
    answer = await served.http.post("/internal/action/secret", json={"password": "hunter2", "count": "hunter2"})

    assert answer.status_code == 422
    assert "hunter2" not in answer.text


async def test_form(served: Any, actions: Any) -> None:
    """API-01: an action shows the JSON Schema of its arguments."""
    answer = await served.http.get("/internal/actions/double")

    assert answer.json()["arguments"]["properties"]["x"] == {"title": "X", "default": 1, "type": "integer"}


async def test_start_in_the_background(served: Any, actions: Any) -> None:
    """Starting answers at once with the run and where to see it (N-26)."""
    answer = await served.http.post("/internal/actions/slow/runs", json={"seconds": 0.05})

    told = answer.json()
    assert answer.status_code == 202
    assert told["url"] == answer.headers["location"] == f"/internal/runs/{told['run']}"
    assert (await served.http.get(told["url"])).json()["state"] == "running"
    assert (await served.ended(told["run"]))["state"] == "succeeded"


async def test_client_that_goes_away_cancels_nothing(served: Any, actions: list[int]) -> None:
    """A run goes on when whoever waits for it goes away (N-26)."""
    waiting = asyncio.ensure_future(served.http.post("/internal/action/slow"))
    run = await first_run(served)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert (await served.ended(run))["state"] == "succeeded"
    assert actions == [1]


async def test_shutting_down(served: Any, actions: Any) -> None:
    """While the server shuts down nothing is started, and the client is told to come back."""
    served.binp.home.runs.stop_accepting()

    answer = await served.http.post("/internal/action/double")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "'double' was not started: this process is shutting down"
    assert answer.json()["passes"] is True


async def first_run(served: Any) -> int:
    """Id of the newest run, once there is one."""
    async with asyncio.timeout(60):
        while not (runs := (await served.http.get("/internal/runs")).json()["runs"]):
            await asyncio.sleep(0.01)
    return int(runs[0]["id"])


async def test_a_press_is_started_once(served: Any, actions: Any) -> None:
    """Sent again with its key, a press starts nothing: it is answered with the first run, ended or not."""
    headers = {"idempotency-key": "k1"}
    first = (await served.http.post("/internal/actions/slow/runs", json={"seconds": 0.3}, headers=headers)).json()
    second = await served.http.post("/internal/actions/slow/runs", json={"seconds": 0.3}, headers=headers)
    assert (second.status_code, second.json()) == (202, first)
    third = await served.http.post("/internal/action/slow", json={"seconds": 0.3}, headers=headers)
    assert (third.status_code, third.json()["run"], actions) == (200, first["run"], [1])

    other = await served.http.post("/internal/action/slow", json={"seconds": 0.1}, headers=headers)
    assert other.status_code == 409
    assert other.json()["detail"] == "the key 'k1' was used for another start of 'slow'"
    fresh = await served.http.post("/internal/action/slow", json={"seconds": 0}, headers={"idempotency-key": "k2"})
    assert fresh.json()["run"] != first["run"]


@pytest.mark.parametrize("path", ["action/slow", "actions/slow/runs"])
async def test_a_press_whose_run_was_erased(served: Any, actions: Any, binp: Any, path: str) -> None:
    """Sent again after its run was erased, a press starts nothing, and the answer says what became of it."""
    headers = {"idempotency-key": "k1"}
    url = f"/internal/{path}"
    run = (await served.http.post(url, json={"seconds": 0}, headers=headers)).json()["run"]
    await served.ended(run)
    began = (await binp.home.store.get_once("press slow k1")).at
    assert await binp.home.store.write(Erase(runs=(run,), at=began + 1))
    assert await binp.home.store.get_run(run) is None

    answer = await served.http.post(url, json={"seconds": 0}, headers=headers)

    at = datetime.fromtimestamp(began // 1_000_000, UTC).isoformat()
    assert (answer.status_code, actions) == (410, [1])
    assert answer.json() == {
        "type": "urn:binp:gone",
        "title": "Gone",
        "status": 410,
        "detail": f"the key 'k1' was used for a start of 'slow' at {at}: its run {run} has been erased since",
        "fix": "nothing was started; if it is to be started once more, send it with another key",
        "run": run,
    }


async def test_what_is_asked_before_a_press(served: Any, binp: Any) -> None:
    """The question is made of the arguments, which are validated like those of a start; nothing is started."""

    @binp.action(name="heat", confirm=lambda room, target: f"Heat {room} to {target} degrees?", timeout=9, retries=2)
    async def heat(room: str, target: float = 20) -> None: ...

    @binp.action(name="wipe", confirm="Really?", concurrency=3, grace="3h")
    async def wipe() -> None: ...

    @binp.action(name="call", concurrency=1, per=("host", "port"), when_full="skip")
    async def call(host: str, port: int) -> None: ...

    @binp.action(name="broken", confirm=lambda: "?")
    async def broken(room: str) -> None: ...

    @binp.action(name="plain")
    async def plain() -> None: ...

    async def ask(name: str, **arguments: Any) -> Any:
        return await served.http.post(f"/internal/actions/{name}/question", json=arguments)

    assert (await ask("heat", room="bath")).json() == {"question": "Heat bath to 20 degrees?"}
    assert (await ask("wipe")).json() == {"question": "Really?"}
    assert (await ask("plain")).json() == {"question": None}
    assert (await ask("heat", target=3)).status_code == 422
    answer = await ask("broken", room="bath")
    assert answer.status_code == 500
    assert "what to ask before 'broken' is started cannot be said: TypeError" in answer.json()["detail"]
    form = (await served.http.get("/internal/actions/heat")).json()
    assert (form["confirm"], form["timeout"], form["retries"], form["concurrency"]) == (True, 9, 2, None)
    assert (form["per"], form["when_full"]) == ([], None)
    assert (form["grace"], form["process"]) == (None, False)
    wiped = (await served.http.get("/internal/actions/wipe")).json()
    assert (wiped["concurrency"], wiped["per"], wiped["when_full"], wiped["grace"]) == (3, [], "queue", 10800)
    called = (await served.http.get("/internal/actions/call")).json()
    assert (called["concurrency"], called["per"], called["when_full"]) == (1, ["host", "port"], "skip")
    assert (await served.http.get("/internal/runs")).json()["runs"] == []
