"""Files over HTTP: sent as parts of a form, returned to be downloaded."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict

from binp import Accept, File
from binp.files import described_in
from binp.store.contract import State

CONTENT = b"a,b\n1,2\n"


@pytest.fixture
def actions(binp: Any) -> list[Path]:
    """Actions that take and return files; the paths of those that were taken."""
    seen: list[Path] = []

    @binp.action(name="import_csv")
    async def import_csv(file: File, times: int = 1) -> str:
        seen.append(file.path)
        return f"{file.name} {file.type} {file.size} {len(file.read_bytes()) * times}"

    @binp.action(name="small")
    async def small(file: Annotated[File, Accept(".csv", "image/*", size=100)] | None = None) -> str | None:
        return file and file.name

    @binp.action(name="several")
    async def several(files: list[File]) -> list[str]:
        return [file.read_text() for file in files]

    @binp.action(name="export")
    async def export(name: str = "x.csv", kind: str = "text/csv") -> File:
        async def lines() -> AsyncIterator[bytes]:
            yield b"a,b\n"
            yield b"1,2\n"

        return File(lines(), name=name, type=kind)

    return seen


def folder(db: str) -> Path:
    return Path(db.removeprefix("sqlite:///") + ".files")


def left(db: str) -> list[str]:
    return sorted(path.name for path in folder(db).rglob("*") if path.is_file())


async def none_left(db: str) -> None:
    """Wait until no file is left: the end of a run is in the history a moment before its files are put away."""
    async with asyncio.timeout(60):
        while left(db):
            await asyncio.sleep(0.01)


async def test_taken(served: Any, actions: list[Path], db: str) -> None:
    """Files in: a file comes as a part of a form, is there as long as its run needs it, and its digest stays."""
    answer = await served.http.post(
        "/internal/action/import_csv", files={"file": ("../../x.csv", CONTENT, "text/csv")}, data={"times": "2"}
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["result"] == "x.csv text/csv 8 16"
    run = await served.ended(answer.json()["run"])
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert run["arguments"] == {
        "file": {"$file": "x.csv", "size": 8, "type": "text/csv", "sha256": digest},
        "times": 2,
    }
    assert actions[0].parent.parent == folder(db)
    await none_left(db)


async def test_json_part(served: Any, actions: Any) -> None:
    """Files in: other arguments may come as one part of JSON; a list takes each part of its name."""
    answer = await served.http.post(
        "/internal/action/import_csv",
        files={"arguments": (None, '{"times": 3}', "application/json"), "file": ("x", CONTENT)},
    )
    several = await served.http.post("/internal/action/several", files=[("files", b"a"), ("files", b"b")])
    placed = await served.http.post("/internal/action/several", files=[("files.1", b"a"), ("files.0", b"b")])
    one = await served.http.post("/internal/action/several", files=[("files", ("x", b"a"))])

    assert answer.json()["result"].endswith(" 24")
    assert several.json()["result"] == ["a", "b"], several.text
    assert placed.json()["result"] == ["b", "a"]
    assert one.json()["result"] == ["a"]


async def test_idempotent(served: Any, actions: Any, db: str) -> None:
    """Files in: sent again with the same key, a start is answered with the first run, and its file is not kept."""
    given = {"headers": {"idempotency-key": "k"}, "files": {"file": ("x.csv", CONTENT)}}

    first = await served.http.post("/internal/actions/import_csv/runs", **given)
    again = await served.http.post("/internal/actions/import_csv/runs", **given)
    other = await served.http.post(
        "/internal/actions/import_csv/runs", **{**given, "files": {"file": ("x.csv", b"other")}}
    )

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert other.status_code == 409
    await served.ended(first.json()["run"])
    await none_left(db)


@pytest.mark.parametrize(
    ("name", "content", "status", "text"),
    [
        ("x.csv", b"x" * 101, 413, "x.csv has more than 100 bytes"),
        ("x.txt", b"x", 422, "file: x.txt is text/plain, and what is taken is .csv, image/*"),
        ("x.CSV", b"x", 200, None),
        ("x.png", b"x", 200, None),
    ],
)
async def test_accepted(served: Any, actions: Any, db: str, name: str, content: bytes, status: int, text: Any) -> None:
    """Files in: what a parameter does not take is refused, and nothing of it is left."""
    answer = await served.http.post("/internal/action/small", files={"file": (name, content)})

    assert answer.status_code == status
    if text:
        assert text in answer.json()["detail"]
        await none_left(db)


async def test_too_large(served: Any, binp: Any, actions: Any, db: str) -> None:
    """Files in: the settings' limit ends an upload while it comes; the answer names the setting."""
    binp.home.runs.files.shelf.limits = type(binp.home.runs.files.shelf.limits)(size=1000, total=10_000)

    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 100
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await served.http.post("/internal/action/import_csv", content=body(), headers=headers)

    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["detail"]
    assert answer.json()["where"] == "[binp.files] size or BINP_FILES_SIZE"
    await none_left(db)


NESTED = b'{"x":' + b"[" * 990 + b"]" * 990 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n\r\n\r\nx\r\n--b--",
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\nabc',
        b"--b\r\n" + b"x" * 10_000,
        b"--b" + b"x" * 10_000,
        b'--b\r\ncontent-disposition: form-data; name="arguments"\r\n\r\n[1]\r\n--b--',
        b'--b\r\ncontent-disposition: form-data; name="files.5000"\r\n\r\n[1]\r\n--b--',
        b'--b\r\ncontent-disposition: form-data; name="files.9"\r\n\r\n[1]\r\n--b--',
        b'--b\r\ncontent-disposition: form-data; name="x' + b".0" * 3000 + b'"\r\n\r\n1\r\n--b--',
        b'--b\r\ncontent-disposition: form-data; name="arguments"\r\n\r\n{"x":'
        + b"[" * 990
        + b"]" * 990
        + b"}\r\n--b--",
        b'--b\r\ncontent-disposition: form-data; name="arguments"\r\n\r\n' + b"[" * 100_000 + b"\r\n--b--",
    ],
)
async def test_bad_form(served: Any, actions: Any, db: str, body: bytes) -> None:
    """Files in: what is no form, or breaks off, is refused, and nothing of it is left."""
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await served.http.post("/internal/action/import_csv", content=body, headers=headers)

    assert answer.status_code in (400, 422), answer.text
    await none_left(db)


async def test_same_message(served: Any, binp: Any, actions: Any) -> None:
    """Files in: what is no file is refused with the same words over HTTP and in Python."""
    answer = await served.http.post("/internal/action/import_csv", json={"file": "/etc/passwd"})
    with pytest.raises(ValueError, match="file: a file is expected"):
        await binp.action.start("import_csv", file="/etc/passwd")

    assert answer.status_code == 422
    assert "file: a file is expected" in answer.json()["detail"]


async def test_again(served: Any, actions: Any) -> None:
    """Files in: a run is not started again without its file, which is not kept; with another one it is."""
    first = (await served.http.post("/internal/action/import_csv", files={"file": ("x.csv", CONTENT)})).json()["run"]

    refused = await served.http.post(f"/internal/runs/{first}/rerun")
    again = await served.http.post(f"/internal/runs/{first}/rerun", files={"file": ("y.csv", b"y")})

    assert refused.status_code == 422
    assert "the file is not there any more: give it again" in refused.json()["detail"]
    assert again.status_code == 202, again.text
    assert (await served.ended(again.json()["run"]))["result"] == "y.csv text/csv 1 1"


async def test_python(served: Any, binp: Any, actions: Any, tmp_path: Path, db: str) -> None:
    """Files in: Python gives a path, bytes or a file; the run has a copy of its own."""
    path = tmp_path / "p.csv"
    path.write_bytes(CONTENT)

    results = [
        await (await binp.action.start("import_csv", file=given)).result()
        for given in (path, CONTENT, File(path), File(iter([b"a", b"b"]), name="i.txt"))
    ]

    assert results == [
        "p.csv text/csv 8 8",
        "file application/octet-stream 8 8",
        "p.csv text/csv 8 8",
        "i.txt text/plain 2 2",
    ]
    assert path not in actions
    assert path.read_bytes() == CONTENT
    await none_left(db)
    with pytest.raises(ValueError, match="there is no file"):
        await binp.action.start("import_csv", file=tmp_path / "none")


async def test_returned(served: Any, actions: Any, db: str) -> None:
    """Files out: a file that is returned is kept with its run, and downloaded, also in parts; never shown."""
    answer = (await served.http.post("/internal/action/export")).json()
    run = answer["run"]

    assert answer["result"] == {
        "$file": "x.csv",
        "size": 8,
        "type": "text/csv",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    whole = await served.http.get(f"/internal/runs/{run}/file")
    part = await served.http.get(f"/internal/runs/{run}/file", headers={"range": "bytes=4-"})
    assert whole.content == CONTENT
    assert whole.headers["content-disposition"] == 'attachment; filename="x.csv"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-type"].startswith("text/csv")
    assert (part.status_code, part.content) == (206, b"1,2\n")


async def test_returned_inside(served: Any, binp: Any, db: str) -> None:
    """Files out: files inside of what is returned are kept, and downloaded each by its digest."""

    class Sheet(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        file: File

    @dataclasses.dataclass
    class Page:
        file: File

    @binp.action(name="several")
    async def several() -> dict[str, Any]:
        once = File(iter([b"on", b"ce"]), name="once.txt")
        return {"rows": 3, "a": File(b"A", name="a.txt"), "b": [Sheet(file=once), Page(File(b"p", name="p.html"))]}

    @binp.action(name="single")
    async def single() -> list[File]:
        return [File(b"1", name="1.txt")]

    answer = (await served.http.post("/internal/action/several")).json()
    found = {one["$file"]: one["sha256"] for one in described_in(answer["result"])}
    assert set(found) == {"a.txt", "once.txt", "p.html"}
    assert answer["result"]["rows"] == 3
    url = f"/internal/runs/{answer['run']}/file"
    got = {name: await served.http.get(url, params={"sha256": digest}) for name, digest in found.items()}
    assert {name: one.content for name, one in got.items()} == {"a.txt": b"A", "once.txt": b"once", "p.html": b"p"}
    assert got["p.html"].headers["content-type"] == "application/octet-stream"
    assert got["a.txt"].headers["content-disposition"] == 'attachment; filename="a.txt"'
    which = await served.http.get(url)
    assert (which.status_code, "name one by its sha256" in which.json()["detail"]) == (404, True)
    assert (await served.http.get(url, params={"sha256": "0" * 64})).status_code == 404
    alone = (await served.http.post("/internal/action/single")).json()["run"]
    assert (await served.http.get(f"/internal/runs/{alone}/file")).content == b"1"
    value = await (await binp.action.start("several")).result()
    assert value["b"][0].file.read_bytes() == b"once"

    binp.home.runs.files.shelf.release(answer["run"], result=True)
    assert (await served.http.get(url, params={"sha256": found["a.txt"]})).status_code == 410


async def test_too_many_inside(served: Any, binp: Any, db: str) -> None:
    """Files out: a run that returns more than there may be of all fails, and leaves nothing behind."""
    binp.home.runs.files.shelf.limits = type(binp.home.runs.files.shelf.limits)(size=15, total=20)

    @binp.action(name="many")
    async def many(number: int) -> list[File]:
        return [File(bytes([65 + index]) * 9, name="x") for index in range(number)]

    good = await served.http.post("/internal/action/many", json={"number": 2})
    bad = await served.http.post("/internal/action/many", json={"number": 3})

    assert (good.status_code, bad.status_code) == (200, 500)
    assert "no room for more" in bad.json()["detail"]
    await none_left(db)


async def test_what_looks_like_a_file(served: Any, binp: Any, db: str) -> None:
    """Files out: a description that a function made itself leads to no file."""

    @binp.action(name="liar")
    async def liar(digest: str) -> dict[str, str]:
        return {"$file": "x", "sha256": digest}

    for digest in ("../../secret", "0" * 64):
        run = (await served.http.post("/internal/action/liar", json={"digest": digest})).json()["run"]
        answer = await served.http.get(f"/internal/runs/{run}/file", params={"sha256": digest})
        assert answer.status_code == 410


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.html", "text/html"), ("x.svg", "image/svg+xml"), ('a"b\r\nset-cookie: x.html', "text/html"), ("ä.csv", "no")],
)
async def test_harmless(served: Any, actions: Any, name: str, kind: str) -> None:
    """Files out: whatever a file is called and said to be, a browser saves it, and nothing becomes a header."""
    run = (await served.http.post("/internal/action/export", json={"name": name, "kind": kind})).json()["run"]

    answer = await served.http.get(f"/internal/runs/{run}/file")

    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "set-cookie" not in answer.headers
    assert "html" not in answer.headers["content-type"]
    assert "svg" not in answer.headers["content-type"]


async def test_no_file(served: Any, binp: Any, actions: Any, db: str) -> None:
    """Files out: where there is no file, or none any more, the answer says so; strangers get none."""
    other = (await served.http.post("/internal/action/small")).json()["run"]
    run = (await served.http.post("/internal/action/export")).json()["run"]
    stranger = await served.http.get(f"/internal/runs/{run}/file", headers={"authorization": "Bearer no"})
    (folder(db) / "out" / str(run)).unlink()

    answers = [await served.http.get(f"/internal/runs/{each}/file") for each in (other, run, 1)]

    assert stranger.status_code == 401
    assert [answer.status_code for answer in answers] == [404, 410, 404]
    assert "returned no file" in answers[0].json()["detail"]
    assert "not kept any more" in answers[1].json()["detail"]


async def test_result_too_large(served: Any, binp: Any, actions: Any, db: str) -> None:
    """Files out: a result larger than the setting makes the run fail, and says which."""
    binp.home.runs.files.shelf.limits = type(binp.home.runs.files.shelf.limits)(size=4, total=10_000)

    answer = await served.http.post("/internal/action/export")

    assert answer.status_code == 500
    assert "more than 4 bytes" in answer.json()["detail"]
    await none_left(db)


async def test_room(served: Any, binp: Any, actions: Any, db: str) -> None:
    """Files out: the oldest results make room for new ones."""
    binp.home.runs.files.shelf.limits = type(binp.home.runs.files.shelf.limits)(size=100, total=20)
    runs = [(await served.http.post("/internal/action/export")).json()["run"] for _ in range(3)]

    assert left(db) == sorted(map(str, runs[1:]))


async def test_swept(served: Any, binp: Any, actions: Any, db: str) -> None:
    """Files out: what belongs to runs that have ended or were erased is taken away; what is needed stays."""
    run = (await served.http.post("/internal/action/export")).json()["run"]
    for name in (f"in/{run}.{'0' * 64}", "in/5.x", "out/5"):
        place = folder(db) / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x")

    await binp.home.runs.files.sweep()

    assert left(db) == [str(run)]


async def test_swept_while_it_begins(served: Any, binp: Any, actions: Any, db: str) -> None:
    """Files in: a run whose row is not written yet keeps its files, whoever sweeps meanwhile."""
    await served.http.post("/internal/action/small", json={})
    files, operation = binp.home.runs.files, binp.action.find("import_csv")
    call = await files.keep(operation.form.bind({"file": File(b"x", name="x")}))
    run: Any = SimpleNamespace(id=binp.home.store.new_id(), has_files=False)
    files.claim(call, run)
    await files.sweep()
    assert len(left(db)) == 1

    files.release(run, SimpleNamespace(state=State.SUCCEEDED))
    await none_left(db)


async def test_schema(served: Any, actions: Any) -> None:
    """Files in: the form says where a file is taken, which, and how large."""
    form = (await served.http.get("/internal/actions/small")).json()["arguments"]["properties"]["file"]

    assert form["anyOf"][0] == {
        "type": "string",
        "format": "binary",
        "x-accept": [".csv", "image/*"],
        "x-max-bytes": 100,
    }


async def test_queued(served: Any, binp: Any, db: str) -> None:
    """Files in: a run that waits over a restart finds its file."""
    go = asyncio.Event()

    @binp.action(name="one", concurrency=1)
    async def one(file: File) -> str:
        await go.wait()
        return file.read_text()

    first = (await served.http.post("/internal/actions/one/runs", files={"file": ("a", b"first")})).json()["run"]
    second = (await served.http.post("/internal/actions/one/runs", files={"file": ("b", b"second")})).json()["run"]
    async with asyncio.timeout(60):
        while (await served.http.get(f"/internal/runs/{first}")).json()["state"] != "running":
            await asyncio.sleep(0.01)
    binp.home.hurry()
    await binp.home.close()
    assert [name.partition(".")[0] for name in left(db)] == [str(second)]

    go.set()
    await binp.home.open(serving=True)
    binp.home.lead()
    assert (await served.ended(second))["result"] == "second"
    await none_left(db)
