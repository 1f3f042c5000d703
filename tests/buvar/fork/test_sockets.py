"""Sockets by URI: bound and listening, shared, found again under their names, and cleaned up."""

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import threading

import pytest

from buvar import fork


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "socket")


@contextlib.contextmanager
def bound(uri):
    with fork.Socket(uri) as sock:
        sock.bind()
        yield sock


def pass_fds(monkeypatch, descriptors, names=""):
    """Pretend that systemd passed these: they are made the numbers from 3 on by what the kernel reads."""
    monkeypatch.setattr("buvar.fork._sockets.listen_fds", lambda: dict(zip(descriptors, names.split(":"), strict=True)))


def test_a_socket_listens_and_knows_its_names():
    """FRK-03: `bind()` takes no argument, binds, listens, and does not block; a second time changes nothing."""
    with fork.Socket("tcp://127.0.0.1:0") as sock:
        assert (str(sock), sock.address, sock.is_listening) == ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", False)
        sock.bind()
        port = sock.getsockname()[1]
        sock.bind()

        assert sock.is_listening
        assert sock.address == f"tcp://127.0.0.1:{port}"
        assert str(sock) == "tcp://127.0.0.1:0"
        assert sock.getblocking() is False
        assert sock.get_inheritable() is False
        with socket.create_connection(("127.0.0.1", port)):
            pass
    assert sock.is_listening is False


def test_equality_is_by_uri(path):
    """FRK-03: sockets are equal, and hash alike, when their URIs are."""
    with fork.Socket("tcp://LOCALHOST:80") as one, fork.Socket("tcp://localhost:80/") as two, socket.socket() as plain:
        assert one == two
        assert hash(one) == hash(two)
        assert one != plain
        assert one.uri.gethost() == "localhost"


def test_ipv6():
    """B-15c: IPv6 addresses work, beside a socket of version 4 on the same port."""
    with bound("tcp://[::1]:0") as sock:
        assert sock.family == socket.AF_INET6
        port = sock.getsockname()[1]
        assert sock.address == f"tcp://[::1]:{port}"
        with bound(f"tcp://127.0.0.1:{port}"), socket.create_connection(("::1", port)):
            pass
    with bound("tcp://[::]:0") as any6, bound(f"tcp://:{any6.getsockname()[1]}") as any4:
        assert any4.is_listening


def test_a_taken_port_is_explained():
    """A port that is taken is an OSError that says which, why and what to do."""
    with bound("tcp://127.0.0.1:0") as taken, fork.Socket(taken.address) as sock:
        with pytest.raises(fork.SocketNotUsableError) as caught:
            sock.bind()
    error = caught.value
    assert isinstance(error, OSError)
    assert (error.errno, error.uri) == (errno.EADDRINUSE, str(sock))
    assert str(error) == (
        f"cannot listen on {sock}: Address already in use\n"
        "  fix:   end the program that listens there, or use another address"
    )


def test_a_path_that_cannot_be_used_is_explained(tmp_path):
    """B-15c: a path that is too long, in no folder, or of something else is told with what mends that."""
    (tmp_path / "file").touch()
    with fork.Socket(f"unix://{tmp_path}/taken") as taken:
        taken.bind()
        expected = {
            "x" * 200: "use a shorter path: an address holds about 100 bytes",
            "no/socket": f"make the folder {tmp_path}/no first",
            "file/socket": f"make the folder {tmp_path}/file first",
            "file": "remove what is there, which is no socket, or use another path",
            "taken": "end the program that listens there, or use another path",
        }
        for name, fix in expected.items():
            with fork.Socket(f"unix://{tmp_path}/{name}") as sock, pytest.raises(fork.SocketNotUsableError) as caught:
                sock.bind()
            assert caught.value.fix == fix


def test_an_address_of_another_machine_is_explained():
    """An address that is not of this machine, and a host that nobody knows, are explained."""
    with fork.Socket("tcp://192.0.2.1:80") as sock, pytest.raises(fork.SocketNotUsableError, match="127.0.0.1"):
        sock.bind()
    with pytest.raises(fork.SocketNotUsableError, match="cannot listen on tcp://no-such-host.invalid:80"):
        fork.Socket("tcp://no-such-host.invalid:80")


def test_a_folder_that_may_not_be_written_is_explained(path, monkeypatch):
    """A refusal by the system says what may be done."""

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("buvar.fork._sockets._remove_stale", refuse)
    with (
        fork.Socket(f"unix://{path}") as sock,
        pytest.raises(fork.SocketNotUsableError, match="systemd"),
    ):
        sock.bind()


def test_a_unix_socket_comes_and_goes(path):
    """B-15c: the file is there while the socket listens, and removed by the process that made it."""
    with bound(f"unix://{path}") as sock:
        assert sock.address == str(sock) == f"unix://{path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    assert not os.path.exists(path)


def test_a_file_that_was_left_behind_is_replaced(path):
    """A stale socket file is removed, and only if nobody listens."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with bound(f"unix://{path}"):
        with fork.Socket(f"unix://{path}") as second, pytest.raises(fork.SocketNotUsableError, match="in use"):
            second.bind()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_busy_listener_is_no_dead_one(path, monkeypatch):
    """A listener whose queue is full is alive."""
    monkeypatch.setattr("buvar.fork._sockets._PROBE", 0.05)
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(path)
        busy.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(path)
        with fork.Socket(f"unix://{path}") as second, pytest.raises(fork.SocketNotUsableError, match="in use"):
            second.bind()
    assert os.path.exists(path)


def test_another_file_is_not_touched(path):
    """Whatever else stands at the path stays."""
    with open(path, "w") as file:
        file.write("precious")
    with fork.Socket(f"unix://{path}") as sock, pytest.raises(fork.SocketNotUsableError):
        sock.bind()
    with open(path) as file:
        assert file.read() == "precious"


def test_the_file_of_a_successor_is_not_removed(path):
    """Who closes removes its own file only."""
    with bound(f"unix://{path}"):
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(path)
            inode = os.stat(path).st_ino
    assert os.stat(path).st_ino == inode


def test_two_who_start_at_once(path):
    """Of several programs that find the same stale file, exactly one gets the address."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    socks = [fork.Socket(f"unix://{path}") for _ in range(8)]
    outcomes = []

    def bind(sock):
        try:
            sock.bind()
            outcomes.append(True)
        except OSError:
            outcomes.append(False)

    threads = [threading.Thread(target=bind, args=(sock,)) for sock in socks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sock in socks:
        sock.close()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_replacing_a_file_is_done_by_one_at_a_time(path):
    """While another program looks at the file, nobody else does."""
    sock = fork.Socket(f"unix://{path}")
    other = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    thread = threading.Thread(target=sock.bind)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    assert not os.path.exists(path)
    os.close(other)
    thread.join()
    assert sock.is_listening
    sock.close()


def test_a_worker_does_not_remove_the_file(path, monkeypatch):
    """Closing in another process than the one that made the file leaves it."""
    sock = fork.Socket(f"unix://{path}")
    sock.bind()
    with monkeypatch.context() as patch:
        pid = os.getpid()
        patch.setattr(os, "getpid", lambda: pid + 1)
        sock.close()
    assert os.path.exists(path)


def test_a_descriptor_is_adopted():
    """``fd://N``: a descriptor that is open already is named by its address, and by its number besides."""
    plain = socket.create_server(("127.0.0.1", 0))
    port, number = plain.getsockname()[1], plain.detach()
    with bound(f"fd://{number}") as sock:
        assert str(sock) == sock.address == f"tcp://127.0.0.1:{port}"
        assert sock.aliases == {f"fd://{number}"}
        assert sock.getblocking() is False


def test_a_descriptor_that_does_not_listen_yet():
    """A passed socket that is only bound is made to listen."""
    plain = socket.socket()
    plain.bind(("127.0.0.1", 0))
    with bound(f"fd://{plain.detach()}") as sock:
        assert sock.is_listening


def test_a_descriptor_of_a_unix_socket(path):
    """A passed unix socket is named by its path, and its file belongs to whoever passed it."""
    plain = socket.socket(socket.AF_UNIX)
    plain.bind(path)
    with bound(f"fd://{plain.detach()}") as sock:
        assert str(sock) == f"unix://{path}"
    assert os.path.exists(path)


def test_descriptors_that_are_no_use():
    """A descriptor that is closed, no stream socket, or known by no name is refused."""
    with pytest.raises(fork.SocketNotUsableError, match="cannot listen on fd://999: Bad file descriptor"):
        fork.Socket("fd://999")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(fork.SocketNotUsableError, match="it is not a stream socket"):
            fork.Socket(f"fd://{datagrams.fileno()}")
        assert datagrams.getsockname()  # still open
    with pytest.raises(fork.SocketUriError, match="no socket of that name was passed"):
        fork.Socket("fd://web")


def test_a_copy_is_a_plain_socket():
    """`dup` gives a plain socket on the same open file."""
    with bound("tcp://127.0.0.1:0") as sock, sock.dup() as copy:
        assert type(copy) is socket.socket
        assert copy.getsockname() == sock.getsockname()


def test_the_queue_is_never_made_shorter(monkeypatch):
    """A server that listens anew with a small number changes nothing for the others."""
    with bound("tcp://127.0.0.1:0") as sock, contextlib.ExitStack() as stack:
        sock.listen(1)
        for _ in range(10):
            stack.enter_context(socket.create_connection(sock.getsockname(), timeout=200))


async def test_asyncio_serves_it(path):
    """A server of asyncio takes the sockets as they are."""

    async def answer(reader, writer):
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    with bound("tcp://127.0.0.1:0") as tcp, bound(f"unix://{path}") as unix:
        async with await asyncio.start_server(answer, sock=tcp), await asyncio.start_unix_server(answer, sock=unix):
            for opened in (asyncio.open_connection(*tcp.getsockname()), asyncio.open_unix_connection(path)):
                reader, writer = await opened
                assert await reader.read() == b"hello"
                writer.close()
                await writer.wait_closed()


def test_sockets_collapse_and_close():
    """FRK-03: `Sockets` is a dict by URI in which duplicates are one; `bind()` closes what it opened."""
    sockets = fork.Sockets("tcp://127.0.0.1:0", "tcp://127.0.0.1", "tcp://[::1]:0")
    assert list(sockets) == ["tcp://127.0.0.1:0", "tcp://[::1]:0"]
    with sockets.bind() as opened:
        assert opened is sockets
        names = sockets.names()
        one = sockets["tcp://127.0.0.1:0"]
        assert names[f"tcp://127.0.0.1:{one.getsockname()[1]}"] is one
        assert len(names) == 4
    assert [sock.fileno() for sock in sockets.values()] == [-1, -1]


def test_sockets_without_any():
    """B-15: no sockets at all are fine."""
    with fork.Sockets().bind() as sockets:
        assert sockets == {}


def test_a_failure_closes_the_others(monkeypatch):
    """When one URI is wrong or one socket cannot be bound, none stays open."""
    opened = []
    first = fork.Socket.__init__

    def record(self, uri):
        first(self, uri)
        opened.append(self)

    monkeypatch.setattr(fork.Socket, "__init__", record)
    with pytest.raises(TypeError, match="'http'"):
        fork.Sockets("tcp://127.0.0.1:0", "http://localhost")
    with bound("tcp://127.0.0.1:0") as taken:
        with pytest.raises(OSError), fork.Sockets("tcp://127.0.0.1:0", taken.address).bind():
            pass
    assert len(opened) == 4
    assert {sock.fileno() for sock in opened} == {-1}


def test_only_who_opened_closes(monkeypatch):
    """Leaving the block in another process, a forked one, closes nothing."""
    sockets = fork.Sockets("tcp://127.0.0.1:0")
    with monkeypatch.context() as patch, sockets.bind():
        pid = os.getpid()
        patch.setattr(os, "getpid", lambda: pid + 1)
    assert sockets["tcp://127.0.0.1:0"].is_listening
    sockets.close()


def test_passed_sockets_stand_in(monkeypatch):
    """What systemd passed is used under its name, its number and its address; what is of another kind is left alone."""
    plain = socket.create_server(("127.0.0.1", 0))
    port, number = plain.getsockname()[1], plain.detach()
    nameless = socket.create_server(("127.0.0.1", 0)).detach()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        pass_fds(monkeypatch, [number, nameless, datagrams.fileno()], "web::udp")
        sockets = fork.Sockets(f"tcp://127.0.0.1:{port}", "fd://web", f"fd://{number}")
        with sockets.bind():
            assert len(sockets) == 2
            names = sockets.names()
            assert {str(names[name]) for name in ("web", "fd://web", f"fd://{number}")} == {f"tcp://127.0.0.1:{port}"}


@pytest.mark.parametrize("turns", range(5))
def test_leaving_a_socket_drops_no_connection_that_was_taken(turns):
    """However many turns of the loop ago a connection came, it is served; those who come later are left to others."""

    async def greet(reader, writer):
        writer.write(b"hello")
        writer.close()

    async def leave(sock):
        server = await asyncio.start_server(greet, sock=sock.dup())
        (listening,) = server.sockets
        client = socket.create_connection(sock.getsockname())
        client.setblocking(False)
        with client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await fork.stop_accepting([listening])
            server.close()
            with contextlib.suppress(BlockingIOError):
                taken, _ = sock.accept()
                with taken:
                    return b"left to others"
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 9), 200)

    with bound("tcp://127.0.0.1:0") as sock, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(leave(sock)) == b"hello"
