"""A GitHub of the tests' own, on a socket of loopback: issues, pull requests, ETags, limits, and faults on demand."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.tokens import Token
from tinytown.actors.missions.references import Endpoints

SECRET = "ghp_of-the-tests"
START = 1_800_000_000.0

_ISSUE = re.compile(r"/repos/([^/]+/[^/]+)/issues/(\d+)(/dependencies/blocked_by)?")
_ASKED = re.compile(r'(r\d+): repository\(owner: "([^"]+)", name: "([^"]+)"\) { pull: pullRequest\(number: (\d+)\)')


@dataclass
class Reply:
    """One answer; `cut` sends half of the body and closes."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    raw: bytes | None = None


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeGitHub:
    """What it holds. `faults` answer the next requests, one each, whatever is asked."""

    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    blocked_by: dict[str, list[str]] = field(default_factory=dict)
    pulls: dict[str, dict[str, Any]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    faults: list[Reply] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    graphql_errors: list[dict[str, str]] = field(default_factory=list)
    remaining: dict[str, int] = field(default_factory=lambda: {"core": 5000, "graphql": 5000})
    now: float = START
    slept: list[float] = field(default_factory=list)
    port: int = 0
    inflight: int = 0
    most_inflight: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def issue(self, key: str, title: str = "title", body: str = "", **more: Any) -> None:
        repository, _, number = key.partition("#")
        self.issues[key] = {
            "number": int(number),
            "title": title,
            "body": body,
            "state": "open",
            "user": {"login": "ann"},
            "author_association": "MEMBER",
            "labels": [],
            "html_url": f"https://github.com/{repository}/issues/{number}",
            "issue_dependencies_summary": {"total_blocked_by": len(self.blocked_by.get(key, []))},
            **more,
        }

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
        resource = "graphql" if call.path == "/graphql" else "core"
        reply = self.graphql(call) if resource == "graphql" else self.rest(call)
        if reply.status != 304:
            self.remaining[resource] -= 1
        reset = str(round(START) + 3600)
        counts = {"limit": "5000", "remaining": str(self.remaining[resource]), "reset": reset, "resource": resource}
        reply.headers |= {f"X-RateLimit-{name}": value for name, value in counts.items()}
        return reply

    def rest(self, call: Call) -> Reply:
        path, _, query = call.path.partition("?")
        if path in self.moved:
            return Reply(301, {"message": "Moved Permanently"}, {"Location": self.url + self.moved[path]})
        if path == "/list":
            page = int(query.removeprefix("page=") or 1)
            link = {"Link": f'<{self.url}/list?page={page + 1}>; rel="next"'} if page < 3 else {}
            return self.tagged(call, [page], link)
        found = _ISSUE.fullmatch(path)
        key = f"{found[1]}#{found[2]}" if found else ""
        if found is None or key not in self.issues:
            return Reply(404, {"message": "Not Found"})
        if found[3]:
            return self.tagged(call, [self.issues[each] for each in self.blocked_by[key]], {})
        return self.tagged(call, self.issues[key], {})

    def tagged(self, call: Call, value: Any, headers: dict[str, str]) -> Reply:
        etag = f'"{hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]}"'
        if call.headers.get("if-none-match") == etag:
            return Reply(304, None, {"ETag": etag})
        return Reply(200, value, {"ETag": etag, **headers})

    def graphql(self, call: Call) -> Reply:
        data: dict[str, Any] = {"rateLimit": {"cost": 1}}
        for alias, owner, name, number in _ASKED.findall(json.loads(call.body)["query"]):
            data[alias] = {"pull": self.pulls.get(f"{owner}/{name}#{number}")}
        return Reply(200, {"data": data, **({"errors": self.graphql_errors} if self.graphql_errors else {})})

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
                body = (
                    reply.raw
                    if reply.raw is not None
                    else b""
                    if reply.status == 304
                    else json.dumps(reply.value).encode()
                )
                lines = [f"HTTP/1.1 {reply.status} x", *(f"{name}: {value}" for name, value in reply.headers.items())]
                lines += [] if reply.status == 304 else [f"Content-Length: {len(body)}"]
                head = "\r\n".join([*lines, "", ""]).encode()
                await stream.send_all(head + (body[: len(body) // 2] if reply.cut else body))
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
