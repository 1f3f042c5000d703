"""The server as a plugin, in this process."""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import subprocess

import aiohttp
import aiohttp.web
import pytest

from buvar import config, context, di, fork, plugin
from buvar_aiohttp import AioHttpConfig, AioHttpConfigError, _config, _runner


@contextlib.asynccontextmanager
async def running(*plugins, components=None, **settings):
    """A stage around the plugins, with a server."""
    own = (components or context.current_context()).push()
    own.add(AioHttpConfig(**settings))
    async with plugin.Stage(components=own, cancel_timeout=1).running(*plugins, "buvar_aiohttp") as stage:
        yield stage


async def fetch(url, **options):
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return response.status, await response.text()


async def until_served(port):
    for _ in range(6000):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing listens")


async def routes(load: plugin.Loader):
    await load("buvar_aiohttp")
    app = await di.nject(aiohttp.web.Application)

    async def hello(request):
        return aiohttp.web.Response(text="hello")

    app.router.add_get("/hello/", hello)


async def test_the_plugin_provides_and_serves(port):
    """AIO-01, AIO-04: application, session and runner are components; the server ends with the stage."""
    async with running(routes, host="127.0.0.1", port=port) as stage:
        await until_served(port)
        assert await fetch(f"http://127.0.0.1:{port}/hello/") == (200, "hello")
        session = stage.context.get(aiohttp.ClientSession)
        async with session.get(f"http://127.0.0.1:{port}/hello/") as response:
            assert response.status == 200
        assert stage.context.get(aiohttp.web.AppRunner).addresses == [("127.0.0.1", port)]
    assert session.closed
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_connection_that_was_let_in_is_answered(port, monkeypatch):
    """A client that connected just before the end and was slow to ask is answered; one that asked keeps nobody."""
    monkeypatch.setattr(_runner, "_LINGER", 60.0)
    async with running(routes, host="127.0.0.1", port=port) as stage:
        await until_served(port)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/hello/") as response:
                assert await response.text() == "hello"  # and is kept alive
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stage.cancel.set()
            await asyncio.sleep(0.3)
            writer.write(b"GET /hello/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
            writer.close()


async def test_connections_that_have_asked_do_not_hold_up_the_end(port, monkeypatch):
    """The end waits for first requests alone; with none outstanding it takes no time, with one a bounded time."""
    loop = asyncio.get_running_loop()
    for silent, linger, least, most in ((False, 600.0, 0.0, 60.0), (True, 1.0, 0.9, 60.0)):
        monkeypatch.setattr(_runner, "_LINGER", linger)
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:
            async with running(routes, host="127.0.0.1", port=port):
                await until_served(port)
                async with session.get(f"http://127.0.0.1:{port}/hello/") as response:
                    assert response.status == 200
                if silent:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    stack.callback(writer.close)
                before = loop.time()
            assert least <= loop.time() - before < most


async def test_a_socket_that_is_closed_already(port):
    """A shared socket that somebody closed before the server ends is no problem."""
    components = context.push()
    with fork.Sockets(f"tcp://127.0.0.1:{port}").bind() as sockets:
        ((name, sock),) = sockets.items()
        components.add(sock, name=name)
        async with running(routes, components=components):
            await until_served(port)
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()


def test_names_that_are_not_there():
    """The package has what it names, and nothing else."""
    import buvar_aiohttp

    with pytest.raises(AttributeError, match="module 'buvar_aiohttp' has no attribute 'Server'"):
        buvar_aiohttp.Server


async def test_paths_are_normalised(port):
    """AIO-04: a missing slash at the end leads to the route that has one."""
    async with running(routes, host="127.0.0.1", port=port):
        await until_served(port)
        assert await fetch(f"http://127.0.0.1:{port}//hello") == (200, "hello")


async def test_each_request_has_a_layer_of_its_own(port):
    """AIO-04: what a request adds is seen by nobody else; it sees what plugins added, and itself."""

    async def own(load: plugin.Loader):
        await load("buvar_aiohttp")
        context.add("shared")

        async def handler(request):
            before = context.get(int, default=None)
            context.add(int(request.query["n"]))
            assert context.get(aiohttp.web.Request) is request
            await asyncio.sleep(0.01)
            return aiohttp.web.json_response([before, context.get(int), context.get(str)])

        context.get(aiohttp.web.Application).router.add_get("/", handler)

    async with running(own, host="127.0.0.1", port=port) as stage:
        await until_served(port)
        answers = await asyncio.gather(*(fetch(f"http://127.0.0.1:{port}/?n={n}") for n in range(5)))
        assert answers == [(200, f'[null, {n}, "shared"]') for n in range(5)]
        assert stage.context.get(int, default=None) is None


async def test_injection_works_in_handlers(port):
    """AIO-04: a handler with `Inject` parameters gets them from the context of its request."""

    async def own(load: plugin.Loader):
        await load("buvar_aiohttp")
        context.add("injected")

        @di.inject
        async def handler(request: aiohttp.web.Request, text: di.Inject[str]) -> aiohttp.web.Response:
            return aiohttp.web.Response(text=text + request.path)

        context.get(aiohttp.web.Application).router.add_get("/", handler)

    async with running(own, host="127.0.0.1", port=port):
        await until_served(port)
        assert await fetch(f"http://127.0.0.1:{port}/") == (200, "injected/")


async def test_an_application_of_ones_own_is_served(port):
    """An application that is a component already is used as it is."""
    app = aiohttp.web.Application()
    components = context.push()
    components.add(app)
    async with running(components=components, host="127.0.0.1", port=port) as stage:
        await until_served(port)
        assert stage.context.get(aiohttp.web.Application) is app


async def test_the_server_alone(port):
    """AIO-04: `prepare_server` brings the application along, and no session."""
    own = context.push()
    own.add(AioHttpConfig(host="127.0.0.1", port=port))
    async with plugin.Stage(components=own).running("buvar_aiohttp:prepare_server") as stage:
        await until_served(port)
        assert stage.context.get(aiohttp.ClientSession, default=None) is None


async def test_a_request_in_flight_is_answered(port):
    """On Cancel, a request that is being answered ends; one that does not end in time is cancelled."""
    seen, began = [], asyncio.Event()

    async def own(load: plugin.Loader):
        await load("buvar_aiohttp")
        router = context.get(aiohttp.web.Application).router

        async def short(request):
            seen.append("begun")
            await stage.cancel.wait()
            return aiohttp.web.Response(text="done")

        async def endless(request):
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def clean(app):
            yield
            seen.append("cleaned")

        context.get(aiohttp.web.Application).cleanup_ctx.append(clean)
        router.add_get("/short", short)
        router.add_get("/endless", endless)

    async with running(own, host="127.0.0.1", port=port) as stage:
        await until_served(port)
        short = asyncio.ensure_future(fetch(f"http://127.0.0.1:{port}/short"))
        endless = asyncio.ensure_future(fetch(f"http://127.0.0.1:{port}/endless"))
        await asyncio.wait_for(began.wait(), 200)
        while not seen:
            await asyncio.sleep(0.01)
        stage.cancel.set()
        assert await short == (200, "done")
    with pytest.raises(aiohttp.ClientError):
        await endless
    assert seen == ["begun", "cancelled", "cleaned"]


async def test_unix_path(tmp_path):
    """AIO-02, AIO-03: a path is served, from a shared socket where there is one."""
    path = str(tmp_path / "sock")

    async def ask():
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
            for _ in range(6000):
                with contextlib.suppress(OSError):
                    async with session.get("http://localhost/hello/") as response:
                        return await response.text()
                await asyncio.sleep(0.01)

    async with running(routes, path=path):
        assert await ask() == "hello"
    with fork.Sockets(f"unix://{path}").bind() as sockets:
        components = context.push()
        for name, sock in sockets.names().items():
            components.add(sock, name=name)
        async with running(routes, components=components, path=path) as stage:
            assert await ask() == "hello"
            (site,) = stage.context.get(aiohttp.web.AppRunner).sites
            assert site.name == f"http://unix:{path}:"


async def test_sites():
    """AIO-02: `site` gives the site of aiohttp that fits, and a ValueError where there is no address."""
    runner = aiohttp.web.AppRunner(aiohttp.web.Application())
    await runner.setup()
    try:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            assert type(AioHttpConfig(sock=sock).site(runner)) is aiohttp.web.SockSite
            assert type(AioHttpConfig(sock=sock, port=1).site(runner)) is aiohttp.web.SockSite
        assert type(AioHttpConfig(host="localhost").site(runner)) is aiohttp.web.TCPSite
        assert type(AioHttpConfig(port=80).site(runner)) is aiohttp.web.TCPSite
        assert type(AioHttpConfig(path="/run/x").site(runner)) is aiohttp.web.UnixSite
        with pytest.raises(ValueError, match="no address") as caught:
            AioHttpConfig().site(runner)
        assert isinstance(caught.value, AioHttpConfigError)
    finally:
        await runner.cleanup()


def test_defaults():
    """AIO-02: the fields and their defaults."""
    settings = AioHttpConfig()
    assert vars(settings) == {
        "host": None,
        "port": None,
        "path": None,
        "sock": None,
        "shutdown_timeout": 60.0,
        "ssl_context": None,
        "backlog": 128,
        "handle_signals": False,
        "access_log": None,
    }


async def test_access_log(port, caplog):
    """AIO-02: a dotted name, a logger, False for none, None for that of aiohttp."""
    mine = logging.getLogger("mine")
    caplog.set_level("INFO")
    for value, name in (
        ("aiohttp.log:access_logger", "aiohttp.access"),
        (mine, "mine"),
        (None, "aiohttp.access"),
        (False, None),
    ):
        caplog.clear()
        async with running(routes, host="127.0.0.1", port=port, access_log=value):
            await until_served(port)
            await fetch(f"http://127.0.0.1:{port}/hello/")
        logged = {record.name for record in caplog.records if "GET /hello/" in record.getMessage()}
        assert logged == ({name} if name else set())


def test_settings_from_a_source(tmp_path):
    """AIO-02: text stands for a shared socket, a certificate, a logger."""
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -keyout key -out cert && cat key cert > both",
        shell=True, cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with fork.Sockets("tcp://127.0.0.1:0").bind() as sockets, context.child() as components:
        (sock,) = sockets.values()
        components.add(sock, name=str(sock))
        source = config.ConfigSource(
            {"aiohttp": {"sock": "tcp://127.0.0.1", "ssl_context": str(tmp_path / "both"), "access_log": "x:y"}}
        )
        settings = source.load(AioHttpConfig, "aiohttp")
        assert settings.sock is sock
        assert isinstance(settings.ssl_context, ssl.SSLContext)
        assert settings.access_log == "x:y"
        given = config.ConfigSource({"aiohttp": {"sock": sock, "ssl_context": settings.ssl_context}})
        assert given.load(AioHttpConfig, "aiohttp").sock is sock
        with pytest.raises(config.ConfigError, match="sock"):
            config.ConfigSource({"aiohttp": {"sock": "tcp://other:1"}}).load(AioHttpConfig, "aiohttp")


async def test_run_without_a_stage(port):
    """AIO-02: `run` serves an application until it is cancelled."""
    app = aiohttp.web.Application()
    task = asyncio.ensure_future(AioHttpConfig(host="127.0.0.1", port=port).run(app))
    await until_served(port)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("turns", range(6))
def test_who_was_taken_at_the_end_is_answered(turns, monkeypatch):
    """AIO-04: in whatever turn of the loop a connection comes, it is answered or never taken: it is not hung up on."""
    monkeypatch.setattr(_runner, "_LINGER", 60.0)

    async def hello(request):
        return aiohttp.web.Response(text="hello")

    async def come():
        app = aiohttp.web.Application()
        app.router.add_get("/", hello)
        settings = AioHttpConfig(host="127.0.0.1", port=0)
        runner = settings.runner(app)
        cancel = plugin.Cancel()
        serving = asyncio.create_task(settings.run(app, runner=runner, cancel=cancel))
        while not runner.addresses:
            await asyncio.sleep(0.01)
        address = runner.addresses[0]
        cancel.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            with socket.create_connection(address) as client:
                client.setblocking(False)
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 12), 60)
        except OSError:
            answer = None
        await serving
        return answer

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as loop:
        assert loop.run(come()) in {b"HTTP/1.1 200", None}


async def test_a_taken_port_is_a_failed_task(port, caplog):
    """Decision 3: a server that cannot start is logged and counts as failed."""
    with socket.create_server(("127.0.0.1", port)):
        async with running(host="127.0.0.1", port=port) as stage:
            for _ in range(6000):
                if stage.failed:
                    break
                await asyncio.sleep(0.01)
            ((_, error),) = stage.failed
            assert isinstance(error, OSError)
            assert error.errno == errno.EADDRINUSE


class SocketlessSite:
    """Starts as on uvloop where an address could be bound, but another process listens on it: without a socket."""

    name = "http://127.0.0.1:5678"

    async def start(self):
        sockets = [None]
        sockets[0].getsockname()


class BrokenSite(SocketlessSite):
    async def start(self):
        self.missing  # noqa: B018 - that it is missing is the point


async def test_an_address_that_another_process_listens_on_first():
    """FRK-05: a server that got no socket is told as an address in use; another mistake stays what it is."""
    with pytest.raises(OSError) as caught:
        await _config._start(SocketlessSite())
    assert str(caught.value) == "[Errno 98] Address already in use: http://127.0.0.1:5678"
    with pytest.raises(AttributeError, match="missing"):
        await _config._start(BrokenSite())


async def raw(port, *parts):
    """Connect and send the first part of a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(parts))
    await writer.drain()
    return reader, writer


async def test_a_body_that_arrives_late_is_taken(port, monkeypatch):
    """AIO-04: a request whose body is still on its way when the server ends is answered, and told of the end."""
    monkeypatch.setattr(_runner, "_LINGER", 0.0)
    began, app = asyncio.Event(), aiohttp.web.Application()

    async def echo(request):
        began.set()
        return aiohttp.web.Response(text=await request.text())

    app.router.add_post("/", echo)
    cancel = plugin.Cancel()
    serving = asyncio.create_task(AioHttpConfig(host="127.0.0.1", port=port).run(app, cancel=cancel))
    await until_served(port)
    reader, writer = await raw(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    await asyncio.wait_for(began.wait(), 60)
    cancel.set()
    with pytest.raises(OSError):  # noqa: PT012 - until nobody listens any more
        while True:
            (await asyncio.open_connection("127.0.0.1", port))[1].close()
            await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0.01)
    writer.write(b"cd")
    head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 200")
    assert b"\r\nConnection: close\r\n" in head + b"\r\n"
    assert body == b"abcd"
    await asyncio.wait_for(serving, 60)


async def started(settings, app):
    """A runner that listens, and its port."""
    runner = settings.runner(app)
    await runner.setup()
    for site in settings.sites(runner):
        await site.start()
    return runner, runner.addresses[0][1]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_runner_that_is_cleaned_up_by_hand(fails, monkeypatch):
    """AIO-04: who cleans up the runner by hand waits for requests, too; `on_shutdown` may fail."""
    monkeypatch.setattr(_runner, "PATIENCE", 0.01)
    monkeypatch.setattr(_runner, "_LINGER", 0.0)
    began, go, cleaned = asyncio.Event(), asyncio.Event(), []
    app = aiohttp.web.Application()

    async def slow(request):
        began.set()
        await go.wait()
        return aiohttp.web.Response(text="done")

    async def fail(_):
        if fails:
            raise RuntimeError("no")

    async def clean(_):
        cleaned.append(True)

    app.router.add_get("/", slow)
    app.on_shutdown.append(fail)
    app.on_cleanup.append(clean)
    runner, port = await started(AioHttpConfig(host="127.0.0.1", port=0, shutdown_timeout=600.0), app)
    reader, writer = await raw(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(began.wait(), 60)
    ending = asyncio.create_task(runner.cleanup())
    # far longer than aiohttp itself has patience with it
    await asyncio.sleep(0.3)
    go.set()
    assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"done")
    writer.close()
    with pytest.raises(RuntimeError, match="no") if fails else contextlib.nullcontext():
        await asyncio.wait_for(ending, 60)
    assert cleaned == [True]
    assert runner.server is None


async def test_what_the_end_of_requests_raises_does_not_hinder_the_clean_up(monkeypatch):
    """AIO-04: the application is cleaned up even where looking after its connections fails."""
    cleaned, app = [], aiohttp.web.Application()

    async def clean(_):
        cleaned.append(True)

    def fail(_):
        raise RuntimeError("no")

    app.on_cleanup.append(clean)
    runner, _ = await started(AioHttpConfig(host="127.0.0.1", port=0), app)
    monkeypatch.setattr(_runner, "hurry", fail)
    with pytest.raises(RuntimeError, match="no"):
        await asyncio.wait_for(runner.cleanup(), 60)
    assert cleaned == [True]


def test_a_connection_that_does_not_tell_is_not_idle():
    """AIO-04: of a connection without the attribute that is private to aiohttp, none is closed for being idle."""
    assert not _runner._is_waiting(object())


@pytest.mark.parametrize("turns", range(3))
async def test_who_is_made_known_late_is_answered(turns, monkeypatch):
    """AIO-04: a connection that the loop had taken, and tells of when the listener is closed already, is answered."""
    app = aiohttp.web.Application()

    async def hello(request):
        return aiohttp.web.Response(text="hello")

    app.router.add_get("/", hello)
    settings = AioHttpConfig(host="127.0.0.1", port=0)
    runner = settings.runner(app)
    cancel, loop, taken = plugin.Cancel(), asyncio.get_running_loop(), []
    here, there = socket.socketpair()

    async def take():
        for _ in range(turns):
            await asyncio.sleep(0)
        await loop.connect_accepted_socket(server, here)

    serving = asyncio.create_task(settings.run(app, runner=runner, cancel=cancel))
    while not runner.sites:
        await asyncio.sleep(0.01)
    server = runner.server
    stop = aiohttp.web.TCPSite.stop

    async def stop_and_take(site):
        await stop(site)
        taken.append(asyncio.create_task(take()))

    monkeypatch.setattr(aiohttp.web.TCPSite, "stop", stop_and_take)
    with there:
        there.setblocking(False)
        there.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        cancel.set()
        # the process would be gone then
        await asyncio.wait_for(serving, 60)
        assert there.recv(12) == b"HTTP/1.1 200"


async def test_the_application_hears_of_the_end_once(port):
    """AIO-04: websockets are closed by `on_shutdown`, once, before anybody waits for them; they hold up nothing."""
    heard, sockets = [], []

    async def own(load: plugin.Loader):
        await load("buvar_aiohttp")
        app = context.get(aiohttp.web.Application)

        async def talk(request):
            sockets.append(aiohttp.web.WebSocketResponse())
            await sockets[0].prepare(request)
            async for _ in sockets[0]:
                pass
            return sockets[0]

        async def hear(app):
            heard.append(len(sockets))
            await sockets[0].close(code=1001)

        app.router.add_get("/talk", talk)
        app.on_shutdown.append(hear)

    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with running(own, host="127.0.0.1", port=port, shutdown_timeout=600.0) as stage:
            await until_served(port)
            client = await stack.enter_async_context(session.ws_connect(f"http://127.0.0.1:{port}/talk"))
            stage.cancel.set()
            assert (await asyncio.wait_for(client.receive(), 60)).data == 1001
    assert heard == [1]
