"""What townhall costs beside a bare application on the same HTTP server, and how it bears crowds: in one run.

    python bench/townhall.py [--rounds 5] [--agents 10]

* `GET /v1/status`, answers a second, one client and 32 at once: the ratio to a bare ASGI application that gives the
  same bytes and nothing else, behind the same server of ours;
* 100 clients at once, each with the next request when it has its answer: the 99th percentile of their waits;
* one client with a good key while 5,000 requests with wrong ones come in on 20 connections: the same;
* 1,000 clients of `GET /v1/events` on one townhall: memory of each.

Servers are processes of their own. So is the client, this one: it writes the same bytes again and again and looks of
an answer only for its end, which is a small part of what a server does for it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "web"))

from apart import UNCOUNTED, Server, started, town_apart

RATIO, CROWD_MS, SIEGE_MS, CLIENT_KIB = 0.5, 50.0, 100.0, 60.0
MANY, CROWD = 32, 100
BESIEGERS, WRONG_KEYS = 20, 5000
LISTENERS = 1000
PATH = "/v1/status"
GOOD, REFUSED = (b"200",), (b"401", b"429")


# The bare application.


async def serve_bare(body: bytes, ready: int) -> None:
    """Answer everything with this body."""
    from tinytown.web.asgi import AsgiScope, Receive, Send
    from tinytown.web.connection import Patience
    from tinytown.web.serve import Server as HttpServer
    from tinytown.web.sockets import listen

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def bare(scope: AsgiScope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    (listener,) = await listen("127.0.0.1", 0, None)
    server = HttpServer(bare, [listener], patience=Patience(idle=60.0, write=60.0), grace=1.0)
    os.write(ready, f"{listener.socket.getsockname()[1]}\n".encode())
    await server.run(trio.Event())


# The client.

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def request(port: int, key: str, path: str = PATH) -> bytes:
    """The bytes of a request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


class Wire:
    """One connection, on which requests follow each other."""

    def __init__(self, port: int, asked: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._asked = asked
        self.answer = b""
        self._whole = 0
        self.since = 0.0

    def ask(self) -> None:
        """Send the request."""
        self.answer, self._whole = b"", 0
        self.since = time.perf_counter()
        self.socket.sendall(self._asked)

    def hear(self, statuses: Sequence[bytes]) -> float | None:
        """Read on; the seconds since the request once its answer is here as a whole."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise SystemExit("the server closed the connection")
        self.answer += data
        if not self._whole:
            head = self.answer.find(b"\r\n\r\n")
            if head < 0:
                return None
            length = _LENGTH.search(self.answer, 0, head + 2)
            if length is None or self.answer[9:12] not in statuses:
                raise SystemExit(self.answer[:head].decode())
            self._whole = head + 4 + int(length[1])
        return time.perf_counter() - self.since if len(self.answer) >= self._whole else None


def drive(
    wires: Sequence[Wire], count: int, *, statuses: Sequence[bytes] = GOOD, beside: Wire | None = None
) -> list[float]:
    """Let the wires ask `count` times in all; gives the waits. With `beside` a good client asks meanwhile, and the
    waits are its own."""
    selector = selectors.DefaultSelector()
    waits: list[float] = []
    aside: list[float] = []
    for wire in (*wires, *([beside] if beside else [])):
        selector.register(wire.socket, selectors.EVENT_READ, wire)
        wire.ask()
    sent = len(wires)
    while len(waits) < count:
        for ready, _ in selector.select():
            wire: Wire = ready.data
            took = wire.hear(GOOD if wire is beside else statuses)
            if took is None:
                continue
            if wire is beside:
                aside.append(took)
                wire.ask()
                continue
            waits.append(took)
            if sent < count:
                sent += 1
                wire.ask()
    selector.close()
    return waits if beside is None else aside


def connected(port: int, count: int, asked: bytes) -> list[Wire]:
    """So many connections."""
    return [Wire(port, asked) for _ in range(count)]


def closed(wires: Sequence[Wire]) -> None:
    """Close them."""
    for wire in wires:
        wire.socket.close()


# The figures.


def rate(port: int, asked: bytes, clients: int, count: int) -> float:
    """Answers a second."""
    wires = connected(port, clients, asked)
    began = time.perf_counter()
    drive(wires, count)
    took = time.perf_counter() - began
    closed(wires)
    return count / took


def p99(waits: Sequence[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return 1000 * quantiles(waits, n=100)[98]


def crowd(port: int, asked: bytes) -> float:
    """The 99th percentile of the waits of a crowd."""
    wires = connected(port, CROWD, asked)
    waits = drive(wires, CROWD * 20)
    closed(wires)
    return p99(waits)


def siege(port: int, asked: bytes, wrong: Callable[[int], bytes]) -> float:
    """The 99th percentile of the waits of one good client during a siege."""
    good = Wire(port, asked)
    wires = [Wire(port, wrong(number)) for number in range(BESIEGERS)]
    waits = drive(wires, WRONG_KEYS, statuses=REFUSED, beside=good)
    closed([good, *wires])
    return p99(waits)


def resident(server: Server) -> int:
    """KiB of memory that a server has in use."""
    text = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def listeners(server: Server, asked: bytes) -> float:
    """KiB of each of many that listen to what happens."""
    before = resident(server)
    wires = connected(server.port, LISTENERS, asked)
    for wire in wires:
        wire.ask()
    for wire in wires:
        got = b""
        while b"retry:" not in got:
            got += wire.socket.recv(65_536)
            if not got.startswith(b"HTTP/1.1 200"):
                raise SystemExit(got.decode())
    after = resident(server)
    closed(wires)
    return (after - before) / LISTENERS


def measure(ours: Server, bare: Server, local: str, key: str, asked: argparse.Namespace) -> None:
    """All rounds, and the figures."""
    mine, theirs = request(ours.port, local), request(bare.port, "-")
    rate(ours.port, mine, 1, 50)
    for clients in (1, MANY):
        rates = [
            (rate(ours.port, mine, clients, asked.answers), rate(bare.port, theirs, clients, asked.answers))
            for _ in range(asked.rounds)
        ]
        one, other = (median(column) for column in zip(*rates, strict=True))
        ratio = median(one / other for one, other in rates)
        shown = f"  answers/s, {clients:3} at once   {one:7.0f} {other:7.0f} {ratio:6.2f} x"
        print(f"{shown}  (at least {RATIO:g})" if clients == MANY else shown, flush=True)
    waits = median(crowd(ours.port, mine) for _ in range(asked.rounds))
    print(f"  p99, {CROWD} at once        {waits:6.1f} ms                (at most {CROWD_MS:g})", flush=True)
    good = request(ours.port, key)
    drive([Wire(ours.port, good)], 20)
    waits = siege(ours.port, good, lambda number: request(ours.port, f"{key[:-12]}{number:012}"))
    print(f"  p99, {WRONG_KEYS} wrong keys    {waits:6.1f} ms                (at most {SIEGE_MS:g})", flush=True)
    size = listeners(ours, request(ours.port, local, "/v1/events"))
    print(f"  each of {LISTENERS} of events   {size:6.1f} KiB               (at most {CLIENT_KIB:g})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--answers", type=int, default=1000, help="of each server in each round")
    parser.add_argument("--serve-bare", nargs=2, metavar=("FILE", "FD"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve_bare:
        trio.run(serve_bare, Path(asked.serve_bare[0]).read_bytes(), int(asked.serve_bare[1]))
        return
    with town_apart(UNCOUNTED) as town:
        town.agents(asked.agents)
        local = town.tt("auth", "token")
        key = json.loads(town.tt("auth", "gen-key", "--name", "bench", "--json"))["api_key"]
        with town.townhall() as ours:
            wire = Wire(ours.port, request(ours.port, local))
            wire.ask()
            while wire.hear(GOOD) is None:
                pass
            answer = town.base / "answer.json"
            answer.write_bytes(wire.answer.partition(b"\r\n\r\n")[2])
            bare = [sys.executable, Path(__file__), "--serve-bare", answer]
            with started(bare, town.environ, town.root) as theirs:
                print(f"GET {PATH}, {asked.agents} agents, medians of {asked.rounds} rounds: ours, bare, ratio")
                measure(ours, theirs, local, key, asked)


if __name__ == "__main__":
    main()
