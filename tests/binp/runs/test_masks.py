"""What is secret is taken out of all that is kept of a run."""

from __future__ import annotations

import dataclasses
import json
import logging

import attrs
import pytest
from pydantic import BaseModel, SecretStr

from binp import Inject, Secret
from binp.operations import InvalidArguments
from binp.runs._masks import Masks
from binp.store.contract import RunQuery
from buvar import di

VALUE = "hunter2'\"\\n ü"


@dataclasses.dataclass
class Login:
    user: str
    password: Secret[str]


@attrs.define
class Vault:
    secrets: list[Secret[bytes]]


class Settings(BaseModel):
    key: Secret[str] | None = None


@dataclasses.dataclass
class Mail:
    """What is injected, with a secret of its own."""

    password: Secret[str]


def masks(*values):
    made = Masks()
    made.add(values)
    return made


@pytest.mark.parametrize(
    "holder",
    [
        Secret("sesame-1"),
        Login("me", Secret("sesame-1")),
        Vault([Secret(b"sesame-1")]),
        Settings(key=Secret("sesame-1")),
        {"a": [(Secret("sesame-1"),)]},
        Secret({"deep": ["sesame-1"]}),
        SecretStr("sesame-1"),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_secrets_are_found_where_they_are(holder):
    """A secret is found in fields and containers, and what it holds may be a container itself."""
    assert masks(holder).text("open sesame-1, please") == "open ***, please"


def test_a_secret_is_found_however_it_is_written():
    """As it is, escaped by repr and JSON, and in a URL; each line of one that has several."""
    found = masks(Secret(VALUE), Secret("-----BEGIN KEY-----\nabcdefgh12345678\n"))
    for text in (VALUE, repr(VALUE), json.dumps(VALUE), f"https://me:hunter2%27%22%5Cn%20%C3%BC@host {VALUE!r}"):
        assert "hunter2" not in found.text(text)
    assert found.text("the line abcdefgh12345678 failed") == "the line *** failed"


def test_short_texts_are_left_alone():
    """What has less than four characters would be found everywhere."""
    found = masks(Secret("abc"), Secret(""), Secret(None), Secret(True), Secret(12), Secret("abcd"))
    assert found.text("abc abcd True 12 None") == "abc *** True 12 None"


def test_the_longest_wins():
    """Nothing is left of a secret that begins with another one."""
    assert masks(Secret("open"), Secret("opensesame")).text("opensesame open") == "*** ***"


def test_json_stays_json():
    """Numbers and keys are masked as well, and what comes out is JSON."""
    found = masks(Secret(123456), Secret('qu"ote'))
    text = json.dumps({"pin": 123456, 'qu"ote': ['qu"ote', 1.5, None, True, 2**70]})
    assert json.loads(found.json(text)) == {"pin": "***", "***": ["***", 1.5, None, True, 2**70]}


def test_a_child_masks_what_its_parent_was_given():
    """What is secret outside is secret inside, not the other way round."""
    outer = masks(Secret("outer-secret"))
    inner = Masks(outer)
    inner.add([Secret("inner-secret")])
    assert inner.text("outer-secret inner-secret") == "*** ***"
    assert outer.text("outer-secret inner-secret") == "*** inner-secret"


class Rude(dict):
    def values(self):
        raise RuntimeError("no")


def test_looking_for_secrets_breaks_nothing():
    """N-09: arguments that cannot be looked at, and containers without an end, are left alone."""
    cycle: list[object] = [Secret("sesame-1")]
    cycle.append(cycle)
    found = masks(Rude(a=1), cycle, [[[[[[[Secret("too deep")]]]]]]])
    assert found.text("sesame-1") == "***"


async def whole_of(binp, run):
    """All that is kept of a run, as one text."""
    row = await binp.home.store.get_run(run)
    records = await binp.home.store.get_records(run)
    return f"{row} {records}"


async def test_a_secret_that_is_revealed_is_nowhere_in_the_history(binp, capsys, caplog):
    """N-08: not in error, traceback, variables, records, fields, output, logs, labels, progress, and not of a child."""

    @binp.journal
    async def connect(address: str, key: str):
        raise ConnectionError(f"cannot open {address}")

    @binp.action(name="op")
    async def op(password: Secret[str], login: Login):
        plain = password.reveal()
        words = ["sent", plain]
        print("printing", plain)
        binp.journal.record(f"record {plain}", field=plain, nested={"a": [login.password.reveal()]})
        binp.journal.labels(plain)
        binp.journal.progress(1, 2, plain)
        logging.getLogger("shop").warning("logging %s", plain)
        try:
            await connect(f"https://me:{plain}@host", key=plain)
        except ConnectionError as error:
            raise ValueError(f"wrong: {plain} {words}") from error

    with caplog.at_level(logging.INFO):
        handle = await binp.action.start(
            "op", password="correct horse", login={"user": "me", "password": "battery staple"}
        )
        await handle.wait()
    for run in (await binp.home.store.find_runs(RunQuery())).runs:
        whole = await whole_of(binp, run.id)
        assert "correct horse" not in whole
        assert "battery staple" not in whole
        assert "***" in whole
    row = await binp.home.store.get_run(handle.id)
    assert row.error == "ValueError: wrong: *** ['sent', '***']"
    assert row.records == 3
    # what the function itself writes elsewhere is its own; what the platform logs of it is not
    platform = [record.getMessage() for record in caplog.records if record.name != "shop"]
    assert platform
    assert "correct horse" not in "".join(platform)
    assert "printing correct horse" in capsys.readouterr().out


async def test_the_secrets_of_what_is_injected_are_masked(binp):
    """A dependency with a secret field may be revealed by mistake as well."""

    def mail() -> Mail:
        return Mail(Secret("mail password"))

    di.register(mail, replace=True)

    @binp.action(name="op")
    async def op(mail: Inject[Mail]):
        raise RuntimeError(f"login with {mail.password.reveal()} was refused")

    run = await (await binp.action.start("op")).wait()
    assert run.error == "RuntimeError: login with *** was refused"


async def test_a_direct_call_may_give_the_value_itself(binp):
    """Where a Secret is expected, a plain text in a direct call is as secret."""

    @binp.journal
    async def op(password: Secret[str]):
        raise RuntimeError(f"{password} is wrong")

    with pytest.raises(RuntimeError, match="sesame-1"):
        await op("sesame-1")
    [run] = (await binp.home.store.find_runs(RunQuery())).runs
    assert (run.arguments, run.error) == ('{"password":"***"}', "RuntimeError: *** is wrong")


async def test_what_is_returned_is_masked_in_the_history_alone(binp):
    """The caller gets the result as it is, the history without the secret."""

    @binp.action(name="op")
    async def op(password: Secret[str]):
        return {"login": f"me:{password.reveal()}"}

    handle = await binp.action.start("op", password="sesame-1")
    assert await handle.result() == {"login": "me:sesame-1"}
    assert (await handle.wait()).result == '{"login":"me:***"}'


async def test_a_run_with_masked_arguments_is_not_executed_with_the_mask(binp):
    """What held a secret of its parent in a plain argument has to be given again: the mask is not what it had."""
    started = []

    @binp.action(name="child")
    async def child(address: str, port: int = 1):
        raise RuntimeError("no")

    @binp.action(name="op")
    async def op(password: Secret[str]):
        started.append(await binp.action.start("child", address=f"https://me:{password.reveal()}@host"))
        await started[0].wait()

    await (await binp.action.start("op", password="sesame-1")).wait()
    row = await binp.home.store.get_run(started[0].id)
    assert row.arguments == '{"address":"https://me:<masked>@host","port":1}'
    with pytest.raises(InvalidArguments, match="address: held a secret, which was not kept: give it again"):
        await binp.action.rerun(row.id)
    again = await binp.action.rerun(row.id, {"address": "other"})
    assert (await again.wait()).arguments == '{"address":"other","port":1}'
