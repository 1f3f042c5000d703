"""The original's own benchmark: one program for its wheel and for this project's kernel."""

# the original reads annotations where `register` is called, so they are no text here
from typing import Any

from kernel_cases.graph import WHOLE_BAZ, Bar, Baz, Bim, Bum, Foo, Operation, prepare

from buvar import context, di


async def make_baz(bar: Bar, bam: Foo = 1, bim: Bim = "default", *, bum: Bum, foo: Foo = None) -> Baz:  # type: ignore[assignment]  # the original benchmark is so
    return Baz(foo=foo, bam=bam, bim=bim, bar=bar, bum=bum)


def original() -> Operation:
    adapters = di.Adapters()
    adapters.register(Bar, make_baz)

    async def operation() -> tuple[Any, Any]:
        context.add(Foo())
        context.add(Foo(name="bar"), name="bar")
        baz, bum = await adapters.nject(Baz, Bum, bum=Bum())
        return baz, bum

    def check(found: tuple[Any, Any]) -> None:
        assert found == (WHOLE_BAZ, {"bum": True})

    return prepare(operation, check)
