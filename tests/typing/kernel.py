"""What a type checker sees of the kernel; checked by mypy, never run."""

from typing import assert_type

from buvar import context, di
from buvar.components import Components
from buvar.di import Inject
from buvar.secret import Secret


class Pool:
    """Something to be injected."""

    async def fetch(self, key: str) -> int:
        return len(key)


async def handler(key: str, *, pool: Inject[Pool]) -> int:
    # inside the function an injected parameter is what it injects
    assert_type(pool, Pool)
    return await pool.fetch(key)


async def resolving() -> None:
    assert_type(await di.nject(Pool), Pool)


def looking_up(components: Components) -> None:
    assert_type(context.add(Pool()), Pool)
    assert_type(context.get(Pool), Pool)
    assert_type(context.get(Pool, default=None), Pool | None)
    assert_type(components.get(Pool), Pool)


def hiding() -> None:
    assert_type(Secret("x").reveal(), str)
    assert_type(Secret(1), Secret[int])
