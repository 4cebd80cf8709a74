"""A GitHub of the tests' own, on a socket of loopback: its HTTP, its limits, and faults on demand.

What it holds, and what it answers when nothing is wrong, is that of `tinytown.runtime.demo.forge`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.tokens import Token
from tinytown.actors.missions.references import Endpoints
from tinytown.runtime.demo.forge import Asked, Forge, Issue, Pull, Repo

SECRET = "ghp_of-the-tests"
START = 1_800_000_000.0


@dataclass
class Reply:
    """One answer; `cut` sends half of the body and closes, `hang` sends none, `after` is when it is sent."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    raw: bytes | None = None
    hang: bool = False
    after: trio.Event | None = None

    def encoded(self) -> bytes:
        body = self.raw if self.raw is not None else b"" if self.status == 304 else json.dumps(self.value).encode()
        lines = [f"HTTP/1.1 {self.status} x", *(f"{name}: {value}" for name, value in self.headers.items())]
        lines += [] if self.status == 304 else [f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + (body[: len(body) // 2] if self.cut else body)


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeGitHub:
    """What it holds. `faults` answer the next requests, one each, whatever is asked.

    `logins` are the tokens that it knows; any is good while there are none. `graphql_refusal` answers each query.
    """

    now: float = START
    moved: dict[str, str] = field(default_factory=dict)
    faults: list[Reply] = field(default_factory=list)
    faults_after: dict[str, Reply] = field(default_factory=dict)
    """Answered once in place of what was asked (`PUT /path`), which is done all the same."""
    refusals: dict[str, Reply] = field(default_factory=dict)
    """Answered once to what was asked (`PUT /path`), which is not done."""
    logins: dict[str, str] = field(default_factory=dict)
    app: Callable[[Call], Reply] | None = None
    """Answers below `/app`."""
    calls: list[Call] = field(default_factory=list)
    graphql_refusal: Reply | None = None
    without: frozenset[str] = frozenset()
    """Fields of GraphQL that it is too old for."""
    largest_query: int = 1000
    """Entries of a query that take it longer than it has."""
    points: int = 0
    """What all queries have cost."""
    remaining: dict[str, int] = field(default_factory=lambda: {"core": 5000, "graphql": 5000})
    slept: list[float] = field(default_factory=list)
    hanging: trio.Event = field(default_factory=trio.Event)
    port: int = 0
    inflight: int = 0
    most_inflight: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What makes a client come here."""
        return {"GITHUB_API_URL": self.url, "GITHUB_GRAPHQL_URL": f"{self.url}/graphql", "GH_TOKEN": SECRET}

    def __post_init__(self) -> None:
        self.forge = Forge(clock=lambda: self.now)

    def repo(self, full_name: str) -> Repo:
        return self.forge.repo(full_name)

    def issue(self, key: str, title: str = "title", body: str = "", **more: Any) -> Issue:
        """An issue under a key as `o/r#23`."""
        name, _, number = key.partition("#")
        return self.repo(name).issue(int(number), title, body, **more)

    def pull(self, key: str, branch: str | None = None, **more: Any) -> Pull:
        """A pull request under a key as `o/r#42`."""
        name, _, number = key.partition("#")
        merged = more.pop("merged", False)
        pull = self.repo(name).pull(branch or f"branch-{number}", number=int(number), **more)
        if merged:
            pull.merge()
        return pull

    async def sleep(self, seconds: float) -> None:
        """Sleeping takes no time, only the clock moves."""
        self.slept.append(seconds)
        self.now += seconds
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def client(self, token: Token | None = None) -> AsyncIterator[GitHub]:
        where = Endpoints(self.url, f"{self.url}/graphql")
        token = token or Token(SECRET, "GH_TOKEN")
        async with GitHub.open(where, token, sleep=self.sleep, wall=lambda: self.now) as github:
            yield github

    def answer(self, call: Call) -> Reply:
        if self.faults:
            return self.faults.pop(0)
        if self.app is not None and call.path.startswith("/app"):
            return self.app(call)
        if refusal := self.refusals.pop(f"{call.method} {call.path}", None):
            return refusal
        secret = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self.logins and secret and secret not in self.logins:
            return Reply(401, {"message": "Bad credentials"})
        resource = "graphql" if call.path == "/graphql" else "core"
        login = self.logins.get(secret, "worker" if secret else "")
        before = self.points
        reply = self.graphql(call) if resource == "graphql" else self.rest(call, login)
        if reply.status != 304:
            self.remaining[resource] -= (self.points - before) if resource == "graphql" else 1
        reset = str(round(START) + 3600)
        counts = {"limit": "5000", "remaining": str(self.remaining[resource]), "reset": reset, "resource": resource}
        reply.headers |= {f"X-RateLimit-{name}": value for name, value in counts.items()}
        return self.faults_after.pop(f"{call.method} {call.path}", reply)

    def rest(self, call: Call, login: str) -> Reply:
        path, _, query = call.path.partition("?")
        if path in self.moved:
            return Reply(301 if call.method == "GET" else 307, {}, {"Location": self.url + self.moved[path]})
        if path == "/list":
            page = int(query.removeprefix("page=") or 1)
            link = {"Link": f'<{self.url}/list?page={page + 1}>; rel="next"'} if page < 3 else {}
            return self.tagged(call, Reply(200, [page], link))
        found = self.forge.answer(Asked.of(call.method, call.path, call.body, login=login, base=self.url))
        reply = Reply(found.status, found.value, found.headers)
        return self.tagged(call, reply) if call.method == "GET" and found.status == 200 else reply

    def tagged(self, call: Call, reply: Reply) -> Reply:
        etag = f'"{hashlib.sha256(json.dumps(reply.value).encode()).hexdigest()[:16]}"'
        if call.headers.get("if-none-match") == etag:
            return Reply(304, None, {"ETag": etag})
        reply.headers["ETag"] = etag
        return reply

    def graphql(self, call: Call) -> Reply:
        if self.graphql_refusal is not None:
            return self.graphql_refusal
        if call.body.count(b"repository(") > self.largest_query:
            return Reply(502, {"message": "We couldn't respond to your request in time."})
        value, points = self.forge.ask(json.loads(call.body)["query"], without=self.without)
        self.points += points
        return Reply(200, value)

    async def serve(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        async with stream:
            while (call := await _read(stream, buffer)) is not None:
                self.calls.append(call)
                self.inflight += 1
                self.most_inflight = max(self.most_inflight, self.inflight)
                await trio.lowlevel.checkpoint()
                reply = self.answer(call)
                self.inflight -= 1
                if reply.hang:
                    self.hanging.set()
                    await trio.sleep_forever()
                if reply.after is not None:
                    await reply.after.wait()
                try:
                    await stream.send_all(reply.encoded())
                except trio.BrokenResourceError:
                    return
                if reply.cut:
                    return


async def _read(stream: trio.SocketStream, buffer: bytearray) -> Call | None:
    while b"\r\n\r\n" not in buffer:
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            return None
        if not data:
            return None
        buffer += data
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    buffer[:] = rest
    while len(buffer) < length:
        buffer += await stream.receive_some()
    body = bytes(buffer[:length])
    del buffer[:length]
    method, path, _ = first.split()
    return Call(method, path, headers, body)


@asynccontextmanager
async def serving() -> AsyncIterator[FakeGitHub]:
    """A GitHub for the time of the block."""
    fake = FakeGitHub()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, fake.serve, 0, host="127.0.0.1"))
        fake.port = listeners[0].socket.getsockname()[1]
        yield fake
        nursery.cancel_scope.cancel()
