"""Clients that mean no good: each leaves the server answering, and no task behind."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from random import Random

import pytest
import trio
import trio.testing
from quart import request as quart_request
from quart_trio import QuartTrio
from serving import (
    LONG,
    Served,
    answer,
    endless,
    failing,
    hasty,
    plain,
    read_to_end,
    request,
    reset,
    served,
    silent,
)

from tinytown.web.asgi import Asgi, AsgiScope, Receive, Send
from tinytown.web.connection import Patience

HASTY = Patience(idle=0.2, write=0.2)
WEBSOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
H2_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
H2_PRIORITIES = b"".join(b"\0\0\5\2\0" + (2 * n + 1).to_bytes(4) + b"\0\0\0\0\20" for n in range(3000))

PACKETS: dict[str, bytes] = {
    "random bytes": Random(4).randbytes(20_000),
    "zeros": bytes(50_000),
    "a TLS greeting": bytes.fromhex("16030100c8010000c40303") + Random(5).randbytes(192),
    "a header of 200 kB": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "40,000 headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
    "a target beyond ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with NUL": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target of bad escapes": b"GET /%ff%fe%zz%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an absolute target": b"GET http://elsewhere/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method beyond ASCII": b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a long method": b"G" * 30_000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
    "a negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "an endless length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n",
    "a chunk without size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "a coding nobody knows": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a header with NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "websocket and a byte more": request("/", "GET", b"", *WEBSOCKET) + b"\x81",
    "websocket and frames": request("/", "GET", b"", *WEBSOCKET) + Random(6).randbytes(5000),
    "websocket with a body": request("/", "POST", b"abc", *WEBSOCKET),
    "HTTP/2 by prior knowledge": H2_PREFACE + H2_SETTINGS + H2_PRIORITIES,
    "HTTP/2 by upgrade": request("/", "GET", b"", "Upgrade: h2c", "HTTP2-Settings: AAMA") + H2_PREFACE,
    "a request and rubbish": request() + b"\xff\xfe rubbish\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS)
async def test_a_packet_hurts_nobody_but_its_sender(packet: bytes) -> None:
    async with served(plain) as town:
        for part in (len(packet), 7):
            stream = await town.connect()
            async with stream:
                try:
                    for start in range(0, len(packet), part)[:200]:
                        await stream.send_all(packet[start : start + part])
                    await stream.send_eof()
                except trio.BrokenResourceError:
                    pass
                await read_to_end(stream)

        assert (await town.ask()).status == 200
        await town.wait_quiet()


@pytest.mark.parametrize(
    ("packet", "status"),
    [
        ("a header of 200 kB", 431),
        ("no Host", 400),
        ("two lengths", 400),
        ("a target with NUL", 400),
        ("a coding nobody knows", 501),
        ("websocket and a byte more", 200),
        ("HTTP/2 by upgrade", 200),
        ("HTTP/2 by prior knowledge", 505),
        ("HTTP/9.9", 505),
    ],
)
async def test_a_packet_that_is_no_request_is_told_so(packet: str, status: int) -> None:
    async with served(plain) as town:
        stream = await town.connect()
        async with stream:
            with trio.move_on_after(LONG):
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(PACKETS[packet])
            assert (await answer(stream)).status == status


async def test_twenty_requests_in_one_packet_are_answered_in_order() -> None:
    async with served(plain) as town:
        stream = await town.connect()
        async with stream:
            await stream.send_all(b"".join(request("/", "POST", b"x" * size) for size in range(1, 21)))
            rest = bytearray()
            assert [(await answer(stream, rest)).body for _ in range(20)] == [b"%d" % size for size in range(1, 21)]
        await town.wait_quiet()


@pytest.mark.parametrize("chunked", [True, False])
async def test_who_sends_25_mb_to_a_server_that_refuses_reads_the_refusal(*, chunked: bool) -> None:
    block = b"x" * 65536
    async with served(hasty) as town:
        for _ in range(3):
            stream = await town.connect()
            async with stream, trio.open_nursery() as nursery:
                length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {25 << 20}"
                await stream.send_all(request("/", "POST", b"", length))

                async def flood(stream: trio.SocketStream) -> None:
                    try:
                        for _ in range(400):
                            await stream.send_all(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        pass

                nursery.start_soon(flood, stream)
                assert (await answer(stream)).status == 413
                nursery.cancel_scope.cancel()
        await town.wait_quiet()
        assert (await town.ask()).status == 413


@pytest.mark.parametrize("app", [endless, silent], ids=["in a stream", "before the answer"])
async def test_a_reset_ends_the_request(app: Asgi) -> None:
    async with served(app) as town:
        for _ in range(5):
            stream = await town.connect()
            await stream.send_all(request())
            if app is endless:
                assert await stream.receive_some()
            reset(stream)
        await town.wait_quiet()


async def test_a_head_that_does_not_end_is_cut_off() -> None:
    async with served(plain, patience=HASTY) as town:
        stream = await town.connect()
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n")
            with trio.move_on_after(LONG) as dripping:
                while True:
                    try:
                        await stream.send_all(b"X: y\r\n")
                    except trio.BrokenResourceError:
                        break
                    await trio.sleep(0.02)
        assert not dripping.cancelled_caught
        await town.wait_quiet()


@pytest.mark.parametrize("requests", [0, 1, 3])
async def test_a_connection_that_rests_is_closed(requests: int) -> None:
    app = quart_app()
    async with served(app, patience=HASTY) as town:
        stream = await town.connect()
        async with stream:
            for _ in range(requests):
                await stream.send_all(request("/read", "POST", b"abc"))
                assert (await answer(stream)).status == 200
            assert await read_to_end(stream) == b""
        await town.wait_quiet()


async def test_who_stops_reading_is_cut_off() -> None:
    async with served(endless, patience=HASTY) as town:
        stream = await town.connect()
        async with stream:
            await stream.send_all(request())
            await stream.receive_some(1)
            await town.wait_quiet()


async def test_who_stops_reading_cannot_hold_up_the_stop() -> None:
    async with served(endless, grace=0.1) as town:
        stream = await stuck(town)
        town.stop.set()
        with trio.fail_after(LONG):
            await town.over.wait()
        await stream.aclose()


async def test_who_stops_reading_cannot_hold_up_a_cancellation() -> None:
    with trio.fail_after(LONG):
        async with served(endless) as town, await stuck(town):
            town.nursery.cancel_scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()


async def test_a_stop_lets_running_answers_end_and_takes_no_new_ones() -> None:
    release, begun = trio.Event(), trio.Event()

    async def slow(scope: AsgiScope, receive: Receive, send: Send) -> None:
        begun.set()
        await release.wait()
        await plain(scope, receive, send)

    async with served(slow) as town:
        stream, resting = await town.connect(), await town.connect()
        async with stream, resting:
            await stream.send_all(request())
            await begun.wait()
            town.stop.set()
            assert await read_to_end(resting) == b""
            with pytest.raises(OSError, match="connect"):
                await town.connect()
            release.set()
            assert (await answer(stream)).status == 200
            assert await read_to_end(stream) == b""


async def test_an_application_that_fails_costs_its_own_answer_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL, "townhall.http"):
        async with served(failing) as town:
            assert (await town.ask("/early")).status == 500
            stream = await town.connect()
            async with stream:
                await stream.send_all(request("/late"))
                said = await read_to_end(stream)
            assert b"half" in said
            assert not said.endswith(b"0\r\n\r\n"), "a cut answer must not look complete"
            await town.wait_quiet()


async def test_a_crowd_that_comes_at_once_does_not_wait_a_turn_each() -> None:
    async with served(plain) as server:
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert server.server.connections == 60
        for each in crowd:
            each.close()
        await server.wait_quiet()


async def test_one_client_too_many_is_told_so() -> None:
    async with served(silent, most=3) as town:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(town.ask)
            while town.server.connections < 3:
                await trio.sleep(0.005)
            stream = await town.connect()
            async with stream:
                assert (await answer(stream)).status == 503
            nursery.cancel_scope.cancel()
        await town.wait_quiet()


@pytest.mark.parametrize("path", ["/read", "/ignore"])
async def test_quart_answers_every_body_read_or_not(path: str) -> None:
    async with served(quart_app()) as town:

        async def ask(size: int) -> None:
            with trio.fail_after(LONG):
                assert (await town.ask(path, "POST", b"x" * size)).status == 200

        async with trio.open_nursery() as nursery:
            for size in (0, 1, 1000, 60_000, 300_000, 1_000_000) * 3:
                nursery.start_soon(ask, size)
        await town.wait_quiet()


async def stuck(town: Served) -> trio.SocketStream:
    """A client that has begun to read a stream and has stopped."""
    stream = await town.connect()
    await stream.send_all(request())
    await stream.receive_some(1)
    await trio.testing.wait_all_tasks_blocked(0.01)
    return stream


def quart_app() -> Asgi:
    app = QuartTrio("hostile")

    @app.post("/read")
    async def read() -> str:
        return str(len(await quart_request.get_data()))

    @app.post("/ignore")
    async def ignore() -> str:
        return "ignored"

    return app  # type: ignore[return-value]
