"""What a type checker sees of the platform; checked by mypy, never run."""

from typing import assert_type

from pydantic import BaseModel

from binp.action import Action
from binp.journals import Journals
from binp.kv import KV
from binp.service import Service
from buvar.di import Inject

action = Action()
journal = Journals()
service = Service()


class Client:
    """Something to be injected."""


@action
async def plain(amount: int) -> str:
    return str(amount)


@action(name="with options", description="What it does.")
@journal
async def with_options(amount: int, *, client: Inject[Client]) -> str:
    # inside the function an injected parameter is what it injects
    assert_type(client, Client)
    return str(amount)


@journal(operation="sum up")
def synchronous(first: int, second: int) -> int:
    return first + second


@service(name="forever")
async def forever() -> None: ...


async def decorated_functions_keep_their_types() -> None:
    assert_type(await plain(1), str)
    assert_type(await plain(amount=1), str)
    assert_type(await with_options(1, client=Client()), str)
    assert_type(synchronous(1, second=2), int)
    assert_type(await forever(), None)


class Rates(BaseModel):
    """Something to be kept."""

    euro: float


async def state_keeps_its_type(kv: KV) -> None:
    assert_type(await kv.load(Rates), Rates | None)


async def wrong_calls_are_errors() -> None:
    await plain("1")  # type: ignore[arg-type]  # the parameter is a number
    synchronous(1)  # type: ignore[call-arg]  # the second number is missing
