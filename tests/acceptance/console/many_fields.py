"""What the browser tests look at: every kind of field, an action that is slow, one that fails, services, schedules."""

import asyncio
import enum
import os
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, SecretStr

from binp import BINP, Accept, File

binp = BINP()


class Region(enum.Enum):
    EU = "eu"
    US = "us"


class Mail(BaseModel):
    kind: Literal["mail"] = "mail"
    to: str


class Hook(BaseModel):
    kind: Literal["hook"] = "hook"
    url: str
    retries: int = Field(3, ge=0, le=9)


class Target(BaseModel):
    """What is deployed, and in which version."""

    service: str
    version: Annotated[str, Field(pattern=r"^\d+\.\d+$", description="as in 1.2", examples=["1.2"])] = "1.0"


@binp.action
async def greet(name: str, times: int = 1) -> str:
    """Say hello."""
    return " ".join(["hello", name] * times)


@binp.action
async def deploy(
    target: Target,
    regions: list[Region],
    password: SecretStr,
    notify: Annotated[Mail | Hook, Field(discriminator="kind")] | None = None,
    ratio: Decimal = Decimal("0.5"),
    when: datetime | None = None,
    day: date = date(2026, 1, 1),
    wait: timedelta = timedelta(seconds=1),
    dry_run: bool = True,
    maybe: bool | None = None,
    size: int | str = 5,
    pair: tuple[int, str] = (1, "a"),
    options: dict[str, int] | None = None,
    anything: Any = None,
) -> dict[str, Any]:
    """Deploy a service to some regions.

    Each kind of field that a form can have is in this one.
    """
    given = {"notify": notify, "ratio": str(ratio), "when": when, "day": day, "wait": wait.total_seconds()}
    rest = {"dry_run": dry_run, "maybe": maybe, "size": size, "pair": pair, "options": options, "anything": anything}
    return {"target": target, "regions": regions, "secret": len(password.get_secret_value()), **given, **rest}


@binp.action(name="long/one")
async def climb(steps: int = 300, pause: float = 0.1) -> int:
    """Go step by step, and say so."""
    binp.journal.labels("slow", "stairs")
    for step in range(steps):
        binp.journal.record(f"step {step}", height=step * 0.17, view={"clear": True, "peaks": ["a", "b"]})
        binp.journal.progress(step, total=steps, message=f"on step {step}")
        await asyncio.sleep(pause)
    return steps


@binp.action
def stumble(deep: bool = True) -> None:
    """Fail."""
    print("about to fail")
    raise ValueError("there is a step missing" if deep else "oh")


@binp.journal
async def rung(number: int) -> int:
    """One of the ladder's."""
    return number


@binp.action
async def ladder() -> None:
    """Go up, rung by rung."""
    for number in range(2):
        await rung(number)


@binp.action(
    confirm=lambda name, pause=0.0: f"Remove {name} for good?" if name else "",
    timeout=600,
    retries=2,
    concurrency=1,
    grace="3h",
)
async def remove(name: str, pause: float = 0) -> str:
    """Remove something."""
    await asyncio.sleep(pause)
    return f"removed {name}"


@binp.action(concurrency=1, when_full="skip")
async def alone(pause: float = 0) -> None:
    """Run, unless it runs already."""
    await asyncio.sleep(pause)


@binp.action
async def tune(pitch: float = 440.0, seconds: float | None = None) -> int:
    """Write a key."""
    return await binp.kv.select("music").put("a/pitch", pitch, ttl=seconds)


@binp.action
async def meet(at: AwareDatetime) -> str:
    """Meet at a moment."""
    return at.isoformat()


# what comes once a year comes into nobody's way
@binp.schedule("30 2 25-31 3 *", tz="Europe/Berlin", args={"name": "spring"}, name="greet/spring", missed="skip")
@binp.schedule("0 0 1 1 *", args={"times": 2}, name="greet rarely", overlap="queue")
async def greet_by_time(name: str = "", times: int = 1) -> str:
    """Say hello when it is time."""
    return await greet(name, times)


if os.environ.get("TICKS"):

    @binp.schedule(every=timedelta(seconds=3))
    async def tick() -> None:
        """Come again and again."""


@binp.service
async def steady() -> None:
    """Keeps going."""
    await asyncio.Event().wait()


@binp.service(autostart=False)
async def idle() -> None:
    """Runs when somebody starts it."""
    await asyncio.Event().wait()


@binp.service(restart_delay=0)
async def mended() -> None:
    """Fails once, and runs from then on."""
    if not await binp.kv.get("mended"):
        await binp.kv.set(mended=True)
        raise OSError("not yet")
    await asyncio.Event().wait()


@binp.service(restart_delay=86_400)
async def shaky() -> None:
    """Fails at once."""
    raise OSError("the other side hung up")


@binp.action
async def shout(
    file: Annotated[File, Accept(".txt", size=1000)], other: File | None = None
) -> File | dict[str, list[File]]:
    """Give a text back in capitals."""
    loud = [File(one.read_bytes().upper(), name=f"loud {one.name}") for one in (file, other) if one is not None]
    return {"both": loud} if other is not None else loud[0]
