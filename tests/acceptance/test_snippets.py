"""The four snippets of the documented API run as they are printed there."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

S1 = """
from binp import BINP
from asyncio import sleep

binp = BINP()

@binp.action
async def invoke():
    '''
    Do something
    '''
    await sleep(3) # emulate some work
    print("done")
"""

S2 = """
from binp import BINP
from asyncio import sleep

binp = BINP()

@binp.action(name='Do Something', description='Emulate some heavy work')
async def invoke():
    await sleep(3)
    print("done")
"""

S3 = """
from binp import BINP

binp = BINP()

async def save_something():
    # save multiple values to storage
    await binp.kv.set(name="reddec", repo="binp", year=2020)
    # get single value
    name = await binp.kv.get('name')
    assert name == 'reddec'
"""

S4 = """
from binp import BINP
from pydantic.main import BaseModel

binp = BINP()

class Author(BaseModel):
    name: str
    repo: str
    year: int

async def save_something():
    value = Author(name="reddec", repo="binp", year=2020)
    # save class with key name equal to fully-qualified class name
    await binp.kv.save(value)
    # restore
    saved_value = await binp.kv.load(Author)
    assert value == saved_value
"""

USE_ACTION = """
import asyncio
assert [(i.name, i.description) for i in binp.action.actions] == [{info!r}]
assert asyncio.run(binp.action.invoke({name!r})) is True
"""

TWICE = """
import asyncio, gc, threading, warnings
warnings.simplefilter("error")
for _ in range(2):
    asyncio.run(save_something())
    assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
    gc.collect()
"""


def run(code: str, cwd) -> subprocess.CompletedProcess[str]:
    (cwd / "snippet.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-W", "error", "snippet.py"], cwd=cwd, capture_output=True, text=True, timeout=200
    )


@pytest.mark.parametrize(
    ("snippet", "info"),
    [(S1, ("invoke", "Do something")), (S2, ("Do Something", "Emulate some heavy work"))],
    ids=["S1", "S2"],
)
def test_action_snippets(tmp_path, snippet, info):
    """S1, S2: an action, by its default name and by a given one, is listed and can be invoked."""
    quick = "import asyncio\nreal = asyncio.sleep\nasyncio.sleep = lambda seconds: real(seconds / 100)\n"
    done = run(quick + snippet + textwrap.dedent(USE_ACTION).format(info=info, name=info[0]), tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("snippet", [S3, S4], ids=["S3", "S4"])
def test_kv_snippets_twice_in_one_process(tmp_path, snippet):
    """S3, S4, decision 13: without a server, twice in one process: committed, no thread left, no ResourceWarning."""
    done = run(snippet + TWICE, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    check = "import asyncio\nfrom binp import BINP\nprint(asyncio.run(BINP().kv.namespaces()))\n"
    assert run(check, tmp_path).stdout == "['default']\n"
