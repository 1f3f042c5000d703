"""What is commanded, and who commands it: run as a program, a second process on the same file.

As a program it reads JSON lines from its standard input and answers each with one on its standard output:
``["open", path]``, ``["many", [[command, argument, ...], ...]]`` with commands that are given one after the other
without waiting, ``[command, argument, ...]`` with what it gave, and ``["close"]``. A command is a method of `Commands`.
"""

import asyncio
import json
import sys
from datetime import timedelta

from binp import BINP
from binp.runs import Trigger
from binp.store import open_store


class Things:
    """Things that run, the same in every process, and what has happened to them in this one."""

    def __init__(self, path):
        self.binp = binp = BINP(db=open_store(path, group="g", synchronous="OFF"))
        #: names of what is alive, the most copies of one, how many there were, and what was closed
        self.alive, self.peak, self.lives, self.beats = [], 0, 0, 0
        # it is going to be served: services are left to that
        assert binp.app

        @binp.service(name="poll", restart_delay=0.05)
        async def poll():
            await self.live("poll")

        @binp.service(name="deaf", autostart=False, restart_delay=0.05, stop_timeout=0.5)
        async def deaf():
            try:
                await self.live("deaf")
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)

        @binp.service(name="web", autostart=False, after="deaf", ready=True)
        async def web():
            binp.service.ready()
            await self.live("web")

        @binp.action(name="work", concurrency=1, per="room")
        async def work(room: str) -> None:
            await self.live(room)

        @binp.action(name="double")
        async def double(x: int, y: int = 0) -> int:
            if x < 0:
                raise ValueError("below zero")
            return 2 * x + y

        binp.schedule("0 0 1 1 *", name="yearly", args={"x": 4})(double)

        @binp.schedule(every=timedelta(seconds=1), name="beat")
        async def beat() -> None:
            self.beats += 1

    async def live(self, name):
        self.alive.append(name)
        self.lives += 1
        self.peak = max(self.peak, self.alive.count(name))
        try:
            await asyncio.Event().wait()
        finally:
            try:
                # told again, it is cancelled again: here
                await asyncio.sleep(0)
            finally:
                self.alive.remove(name)


class Commands:
    """Commands as they are given in the process where they are given."""

    def __init__(self, binp):
        self.binp = binp

    async def start_service(self, name):
        self.binp.service.start(name, actor="ann")

    async def stop_service(self, name):
        self.binp.service.stop(name, actor="ann")

    async def services(self):
        return [info.model_dump(mode="json") for info in await self.binp.service.snapshot()]

    async def start(self, action, arguments):
        return (await self.binp.action.start(action, **arguments)).id

    async def rerun(self, run, arguments=None):
        return (await self.binp.action.rerun(run, arguments, trigger=Trigger("call", "ann"))).id

    async def cancel(self, run):
        return await self.binp.home.runs.cancel(run, actor="ann")

    async def pause(self, name):
        await self.binp.schedule.pause(name, actor="ann")

    async def resume(self, name):
        await self.binp.schedule.resume(name, actor="ann")

    async def fire(self, name):
        return (await self.binp.schedule.fire(name, trigger=Trigger("call", "ann"))).id

    async def many(self, commands):
        for name, *arguments in commands:
            await getattr(self, name)(*arguments)
            await asyncio.sleep(0)


async def answer(commands, what, arguments):
    if what == "open":
        binp = Things(*arguments).binp
        await binp.home.open(serving=True)
        binp.home.lead()
        return Commands(binp), None
    if what == "close":
        await commands.binp.home.close()
        return None, None
    return commands, await getattr(commands, what)(*arguments)


async def main():
    commands = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, *arguments = json.loads(line)
        try:
            commands, value = await answer(commands, what, arguments)
            said = {"value": value}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
