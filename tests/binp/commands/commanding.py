"""What is commanded, and who commands it: run as a program, a second process on the same file.

As a program it reads JSON lines from its standard input and answers each with one on its standard output:
``["open", path]``, ``["many", [[command, argument, ...], ...]]`` with commands that are given one after the other
without waiting, ``[command, argument, ...]`` with what it gave, and ``["close"]``. A command is a method of `Commands`.
"""

import asyncio
import collections
import json
import logging
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from binp import BINP, Secret
from binp.runs import Trigger
from binp.store import open_store


class Things:
    """Things that run, the same in every process, and what has happened to them in this one."""

    def __init__(self, path, patient=False):
        self.binp = binp = BINP(db=open_store(path, group="g", synchronous="OFF"))
        self.folder = Path(path).parent
        #: names of what is alive, the most copies of one, how many there were of each, and which ended in what order
        self.alive, self.peak, self.begun, self.over = [], 0, collections.Counter(), []
        self.beats = 0
        # it is going to be served: services are left to that
        assert binp.app
        self.define_services()
        self.define_more_services()
        self.define_actions()
        self.define_policies()
        self.define_schedules()
        if patient:
            self.define_patient()

    @property
    def lives(self):
        """How many there were of all."""
        return self.begun.total()

    @property
    def states(self):
        """What each service is doing in this process."""
        return {info.name: str(info.status) for info in self.binp.service.services}

    def is_open(self, gate):
        """Whether that gate is open, for all processes."""
        return (self.folder / f"{gate}.gate").exists()

    def let(self, gate):
        """Open that gate."""
        (self.folder / f"{gate}.gate").touch()

    async def gate(self, name):
        """Wait until somebody opens that gate."""
        while not self.is_open(name):
            await asyncio.sleep(0.01)

    async def live(self, name, until=None):
        """Be alive, for ever or until a gate opens."""
        self.alive.append(name)
        self.begun[name] += 1
        self.peak = max(self.peak, self.alive.count(name))
        try:
            await (asyncio.Event().wait() if until is None else self.gate(until))
        finally:
            try:
                # told again, it is cancelled again: here
                await asyncio.sleep(0)
            finally:
                self.alive.remove(name)
                self.over.append(name)

    def define_services(self):
        binp = self.binp

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

        @binp.service(name="off", enabled=False)
        async def off():
            await self.live("off")

        @binp.service(name="done", autostart=False, restart="on-failure")
        async def done():
            self.begun["done"] += 1

    def define_more_services(self):
        """Those that make it hard."""
        binp = self.binp

        async def fail(name):
            if self.is_open("well"):
                await self.live(name)
            self.begun[name] += 1
            raise OSError("no")

        @binp.service(name="failing", autostart=False, restart_delay=0.05, max_restarts=1)
        async def failing():
            await fail("failing")

        @binp.service(name="late", autostart=False, restart_delay=3600, max_delay=3600)
        async def late():
            await fail("late")

        @binp.service(name="torn", autostart=False, restart=False)
        async def torn():
            inner = asyncio.get_running_loop().create_future()
            inner.cancel()
            await inner

        @binp.service(name="shy", autostart=False, ready=True)
        async def shy():
            await self.gate("shy")
            binp.service.ready()
            await self.live("shy")

        @binp.service(name="slow", autostart=False)
        async def slow():
            try:
                await self.live("slow", "never")
            finally:
                self.alive.append("slow")
                await self.gate("slow")
                self.alive.remove("slow")

        @binp.service(name="stubborn", autostart=False, stop_timeout=0.05)
        async def stubborn():
            try:
                await self.live("stubborn")
            except asyncio.CancelledError:
                await self.live("stubborn", "stubborn")

    def define_actions(self):
        binp = self.binp

        @binp.action(name="work", concurrency=1, per="room")
        async def work(room: str) -> None:
            await self.live(room, f"work {room}")

        @binp.action(name="double")
        async def double(x: int, y: int = 0) -> int:
            if x < 0:
                raise ValueError("below zero")
            return 2 * x + y

        @binp.action(name="login")
        async def login(user: str, password: Secret[str]) -> int:
            if password.reveal() == "wrong":
                raise ValueError("no entry")
            return len(password.reveal())

        @binp.action(name="steps")
        async def steps() -> list:
            first = await binp.journal.step("first", time.time)
            if not self.is_open("steps"):
                await binp.journal.step("second", lambda: self.live("steps"))
            return [first, await binp.journal.step("last", time.time)]

        @binp.action(name="thread")
        def thread() -> str:
            binp.journal.record("begun")
            while not self.is_open("thread"):
                threading.Event().wait(0.01)
            return "done"

        @binp.action(name="block")
        async def block() -> None:
            said = []
            told = logging.Handler()
            told.emit = lambda record: said.append(1) if "is blocked" in record.getMessage() else None
            logging.getLogger().addHandler(told)
            end = time.monotonic() + 60
            while not said and time.monotonic() < end:
                time.sleep(0.01)
            logging.getLogger().removeHandler(told)

    def define_policies(self):
        binp = self.binp

        @binp.action(name="only", concurrency=1, when_full="skip")
        async def only() -> None:
            await self.live("only")

        @binp.action(name="newest", concurrency=1, when_full="replace")
        async def newest(number: int) -> int:
            await self.live("newest", f"newest {number}")
            return number

        @binp.action(name="again", retries=5, retry_delay=3600, retry_max_delay=3600)
        async def again() -> None:
            raise OSError("not yet")

        @binp.action(name="short", timeout=0.05)
        async def short() -> None:
            await self.live("short")

        @binp.action(name="long", timeout=3600)
        async def long() -> None:
            await self.live("long")

    def define_schedules(self):
        binp = self.binp
        binp.schedule("0 0 1 1 *", name="yearly", args={"x": 4})(binp.action.find("double").function)

        @binp.schedule(every=timedelta(seconds=1), name="beat")
        async def beat() -> None:
            self.beats += 1

    def define_patient(self):
        """What a shutdown waits for, while another process takes over."""

        @self.binp.schedule(every=timedelta(seconds=1), name="report")
        @self.binp.action(name="report", grace=3600)
        async def report() -> None:
            await self.live("report", "report")

        @self.binp.schedule(every=timedelta(seconds=1), name="queued report", overlap="queue")
        @self.binp.action(name="queued report", grace=3600)
        async def queued_report() -> None:
            await self.live("queued report", "queued report")


class Commands:
    """Commands as they are given in the process where they are given."""

    def __init__(self, things):
        self.things = things
        self.binp = things.binp

    async def start_service(self, name):
        self.binp.service.start(name, actor="ann")

    async def stop_service(self, name):
        self.binp.service.stop(name, actor="ann")

    async def obeyed(self, name):
        return await self.binp.service.obeyed(name, timeout=60)

    async def services(self):
        return [info.model_dump(mode="json") for info in await self.binp.service.snapshot()]

    async def alive(self):
        """What is alive in this very process."""
        return self.things.alive

    async def begun(self, name):
        """How many of that there were in this very process."""
        return self.things.begun[name]

    async def start(self, action, arguments=None, once=None):
        if once is None:
            return (await self.binp.action.start(action, **(arguments or {}))).id
        # as it is done for a request with a key
        operation = self.binp.action.find(action)
        home = await self.binp.home.ensure()
        call = operation.form.bind(arguments or {})
        return (await home.runs.start(operation, call, trigger=Trigger("api", "ann"), once=once)).id

    async def rerun(self, run, arguments=None, once=None):
        return (await self.binp.action.rerun(run, arguments, trigger=Trigger("call", "ann"), once=once)).id

    async def cancel(self, run):
        return await self.binp.home.runs.cancel(run, actor="ann")

    async def pause(self, name):
        await self.binp.schedule.pause(name, actor="ann")

    async def resume(self, name):
        await self.binp.schedule.resume(name, actor="ann")

    async def fire(self, name, once=None):
        return (await self.binp.schedule.fire(name, trigger=Trigger("call", "ann"), once=once)).id

    async def leave(self):
        """Begin to shut down."""
        self.leaving = asyncio.ensure_future(self.binp.home.close())

    async def refusal(self, name, *arguments):
        """The type and text of the error that a command is refused with."""
        try:
            await getattr(self, name)(*arguments)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    async def many(self, commands):
        for name, *arguments in commands:
            await getattr(self, name)(*arguments)
            await asyncio.sleep(0)

    async def at_once(self, commands):
        """Give commands in one step of the loop, and what each gave."""
        return await asyncio.gather(*(getattr(self, name)(*arguments) for name, *arguments in commands))


async def begin(path, is_patient=False, how="serves"):
    things = Things(path, is_patient)
    things.binp.home.is_guest = how == "is a guest"
    await things.binp.home.open(serving=how == "serves")
    if how == "serves":
        things.binp.home.lead()
    return Commands(things)


async def answer(commands, what, arguments):
    if what == "open":
        return await begin(*arguments), None
    if what == "close":
        # whatever has gone wrong, the next test does not wait for it
        commands.binp.home.hurry()
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
