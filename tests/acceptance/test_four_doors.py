"""One action, four ways in: the same wrong argument is told in the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from binp import BINP
from binp.operations import InvalidArguments

OPS = """
from typing import Annotated, Literal
from annotated_types import Ge, Le
from binp import BINP, Inject

binp = BINP()

class Thermostat: ...

@binp.action(name="heat")
async def heat(
    room: Literal["bath", "office"], target: Annotated[float, Ge(5), Le(25)], *, it: Inject[Thermostat]
) -> None: ...
"""

#: arguments, and what is said of them
WRONG = [
    ({"room": "attic", "target": 20}, "room: Input should be 'bath' or 'office'"),
    ({"room": "bath", "target": 30}, "target: Input should be less than or equal to 25"),
    ({"room": "bath"}, "target: is required"),
    ({"room": "bath", "target": 20, "it": 1}, "it: there is no such parameter"),
    ({"room": "bath", "target": 20, "romm": 1}, "romm: there is no such parameter; did you mean 'room'?"),
]


def load(db: Path) -> BINP:
    """The same file, in this process."""
    names: dict[str, Any] = {"__name__": "ops"}
    exec(compile(OPS.replace("BINP()", f"BINP(db={str(db)!r})", 1), "ops.py", "exec"), names)
    made = names["binp"]
    assert isinstance(made, BINP)
    made.schedule("@daily", name="night")(names["heat"])
    return made


async def test_the_same_wrong_argument_gives_the_same_message(
    server: Any, binp: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    """REST body, command line, a schedule and Python say the same of what does not fit; what is injected is in none."""
    here = load(tmp_path / "here.db")
    for arguments, said in WRONG:
        rest = server.ask("POST", "/internal/action/heat", arguments, status=422)["detail"]
        command = binp("action", "invoke", "heat", *(f"{name}={value}" for name, value in arguments.items()))
        assert command.returncode == 2
        with pytest.raises(InvalidArguments) as python:
            await here.action.start("heat", **arguments)
        here.schedule("@daily", name="night", args=arguments)(here.action.find("heat").function)
        (schedule,) = await here.schedule.schedules()

        assert rest == str(python.value) == schedule.problem == f"action 'heat' cannot be called like this: {said}"
        assert re.sub(r":\n  ", ": ", command.stderr) == f"Error: {rest}\n"
    form = server.ask("GET", "/internal/actions/heat")
    assert set(form["arguments"]["properties"]) == {"room", "target"}
    await here.home.close()
