"""What a connection runs over: TLS in front of a real server, TCP, and a socket whose backlog is full."""

from __future__ import annotations

import shlex
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from servers import RunningServer, valkey_server
from trio.testing import wait_all_tasks_blocked

from tinytown.errors import InvalidConfig, RedisRefused, RedisUnreachable
from tinytown.transport.address import Address, Tls
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.connection import Reply
from tinytown.transport.multiplexed import MultiplexedConnection

MAKE_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    " -addext subjectAltName=DNS:localhost -addext keyUsage=critical,digitalSignature,keyCertSign"
    " -keyout key.pem -out server.pem"
)


async def ping(address: Address) -> None:
    async with MultiplexedConnection.open(address) as connection:
        assert await connection.execute("PING") == b"PONG"


def ping_blocking(address: Address, reply_within: float = 5.0) -> Reply:
    with BlockingConnection(address, reply_within=reply_within) as connection:
        return run_sync(connection.execute("PING"))


async def test_a_full_backlog_is_waited_for() -> None:
    with valkey_server("tcp-backlog 1") as server:
        async with trio.open_nursery() as nursery:
            with server.frozen():
                for _ in range(20):
                    nursery.start_soon(ping, server.address)
                    nursery.start_soon(trio.to_thread.run_sync, ping_blocking, server.address)
                await wait_all_tasks_blocked()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost` that is its own authority, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command makes the certificate of this test")
    path = tmp_path / "server.pem"
    subprocess.run(
        shlex.split(MAKE_CERTIFICATE),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with path.open("a") as file:
        file.write((tmp_path / "key.pem").read_text())
    return path


@asynccontextmanager
async def tls_front(server: RunningServer, certificate: Path) -> AsyncIterator[int]:
    """A port of this machine that speaks TLS and hands everything to the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def pump(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in source:
                await sink.send_all(chunk)
        scope.cancel()

    async def relay(front: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            async with front, await trio.open_unix_socket(server.socket_path) as back:
                await front.do_handshake()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pump, front, back, nursery.cancel_scope)
                    nursery.start_soon(pump, back, front, nursery.cancel_scope)

    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, listeners)
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_an_encrypted_connection_carries_many_tasks_and_large_replies(
    server: RunningServer, certificate: Path
) -> None:
    async with tls_front(server, certificate) as port:
        address = Address(host="localhost", port=port, tls=Tls(ca_file=str(certificate)))
        async with MultiplexedConnection.open(address) as connection:
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(connection.execute, "INCR", "count")
            assert await connection.execute("GET", "count") == b"50"
            body = b"x" * 1_000_000
            assert await connection.execute("ECHO", body) == body
        assert await trio.to_thread.run_sync(ping_blocking, address) == b"PONG"


async def test_an_encrypted_connection_that_breaks_is_told(certificate: Path) -> None:
    with valkey_server() as server:
        async with tls_front(server, certificate) as port:
            address = Address(host="localhost", port=port, tls=Tls(ca_file=str(certificate)))
            async with MultiplexedConnection.open(address) as connection, trio.open_nursery() as nursery:

                async def wait() -> None:
                    with pytest.raises(RedisUnreachable, match="may or may not"):
                        await connection.execute("BLPOP", "nothing", 0)

                nursery.start_soon(wait)
                await wait_all_tasks_blocked(0.01)
                server.kill()


async def test_a_certificate_that_proves_nothing_is_refused(server: RunningServer, certificate: Path) -> None:
    async with tls_front(server, certificate) as port:
        for stranger in (
            Address(host="localhost", port=port, tls=Tls()),
            Address(host="127.0.0.1", port=port, tls=Tls(ca_file=str(certificate))),
        ):
            with pytest.raises(RedisRefused, match="cannot be verified") as caught:
                await ping(stranger)
            assert "ca_file" in caught.value.hint
            with pytest.raises(RedisRefused, match="cannot be verified"):
                await trio.to_thread.run_sync(ping_blocking, stranger)


async def test_a_server_that_speaks_no_tls_is_unreachable_by_it(certificate: Path) -> None:
    port = await free_port()
    with valkey_server(port=port):
        address = Address(host="127.0.0.1", port=port, tls=Tls(ca_file=str(certificate)))
        with pytest.raises(RedisUnreachable):
            async with MultiplexedConnection.open(address, reply_within=0.2):
                pytest.fail("it cannot have understood us")
        with pytest.raises(RedisUnreachable):
            await trio.to_thread.run_sync(ping_blocking, address, 0.2)


async def test_a_certificate_of_ours_that_cannot_be_read_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"missing\.pem"):
        await ping(Address(port=1, tls=Tls(ca_file=str(tmp_path / "missing.pem"))))


async def test_a_server_is_reached_by_tcp_as_well() -> None:
    port = await free_port()
    with valkey_server(port=port):
        address = Address(host="127.0.0.1", port=port)
        await ping(address)
        assert await trio.to_thread.run_sync(ping_blocking, address) == b"PONG"


async def free_port() -> int:
    """A port of the loopback that nobody uses at this moment."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    return port
