"""Requests to GitHub: one client for each token and host, so that all share one budget and one hold.

What must be true: what could act twice is sent once; a limit holds every task of the client, and is no failure; the
token goes to the host it is for and nowhere else; and an answer that was read before costs nothing (ETag).
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import TYPE_CHECKING, cast

import httpx2
import trio

from tinytown.actors.backoff import pause
from tinytown.actors.missions.github.answers import data_of, limited, reason
from tinytown.actors.missions.github.budget import LONGEST_LIMIT, SET_BACK, Budget, to_our_clock
from tinytown.actors.missions.github.failures import (
    SECONDARY_WAIT,
    GitHubDenied,
    GitHubFailed,
    GitHubLimited,
    GitHubMissing,
    GitHubRefused,
    GitHubUnsupported,
    Meaning,
    meaning,
    wait_of,
)
from tinytown.actors.missions.github.memory import Kept, Memory, Page
from tinytown.actors.missions.github.tokens import Given, Token
from tinytown.text import one_line
from tinytown.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from tinytown.actors.missions.github.answers import Data
    from tinytown.actors.missions.github.tokens import TokenSource
    from tinytown.actors.missions.references import Endpoints
    from tinytown.messages import JsonObject, JsonValue

API_VERSION = "2022-11-28"
"""The version of the REST API that is asked for."""

AT_ONCE = 8
"""Requests in flight: more are slower, and GitHub's own limit is 100 for all clients of a user."""

TRIES = 4
"""How often a request that may be repeated is sent."""

PATIENCE = 180.0
"""Seconds that a person is let wait for a limit: a secondary one is over by then, that of the hour may not be."""

LONGEST = 60.0
"""Seconds that one request may take in all: a server that sends a byte now and then would hold a place for ever."""

LARGEST = 16 * 1024 * 1024
"""Bytes of an answer that are read at most."""

WITHOUT_GRAPHQL = 3_600.0
"""Seconds for which a host that refused a query is asked over REST."""

_MOST_DOUBLED = 6
"""How often the wait for a limit is doubled at most: that is an hour."""

_REST, _GRAPHQL = "application/vnd.github+json", "application/json"


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    address: str
    body: JsonObject | None = None
    resource: str = "core"
    background: bool = False
    recent: float = 0.0

    @property
    def repeatable(self) -> bool:
        """Sent twice it does what it does once; we send no mutation over GraphQL."""
        return self.method != "POST" or self.resource == "graphql"

    @property
    def waits(self) -> bool:
        """A limit is waited for, and not told."""
        return not self.background and (self.method == "GET" or self.resource == "graphql")


@dataclass(frozen=True, slots=True)
class _Answer:
    """`page` is what was asked for, when `what` says that there is one; `fault` tells of an illness."""

    what: Meaning
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    page: Page | None = None
    fault: str = ""


class GitHub:
    """One client. `sleep` waits for seconds, `wall` gives seconds since 1970."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        where: Endpoints,
        tokens: TokenSource,
        *,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
        wall: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        self._http = http
        self._where = where
        self._tokens = tokens
        self._sleep = sleep
        self._wall = wall
        self._random = random or Random()  # noqa: S311
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._memory = Memory()
        self._hold_until = 0.0
        self._limited_in_a_row = 0
        self._no_graphql_until = 0.0
        self.budget = Budget()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        where: Endpoints,
        token: TokenSource | Token | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
        wall: Callable[[], float] = time.time,
    ) -> AsyncIterator[GitHub]:
        """A client for as long as the block lasts."""
        headers = {"User-Agent": f"tinytown/{__version__}", "X-GitHub-Api-Version": API_VERSION}
        tokens = Given(token) if token is None or isinstance(token, Token) else token
        limits = httpx2.Limits(max_connections=AT_ONCE)
        times = httpx2.Timeout(30, connect=10)
        async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=times, follow_redirects=True) as http:
            yield cls(http, where, tokens, sleep=sleep, wall=wall)

    def now(self) -> float:
        """Seconds since 1970, by the clock that limits are measured with."""
        return self._wall()

    async def sleep(self, seconds: float) -> None:
        """Wait, by the same clock."""
        await self._sleep(seconds)

    async def get(self, path: str, *, background: bool = False, recent: float = 0.0) -> Page:
        """What is at a path (`/repos/...`) or at the address of a following page.

        `background`: nobody waits for it, so it leaves the reserve alone and raises `GitHubLimited` instead of
        waiting; a person waits for a limit that is over in `PATIENCE` seconds. What was read so many seconds ago is
        `recent` enough to be given again without a request. Raises `GitHubMissing`, `GitHubDenied`, `GitHubRefused`,
        `GitHubFailed`.
        """
        return await self._ask(_Request("GET", self._address(path), background=background, recent=recent))

    async def pages(
        self, path: str, *, name: str | None = None, most: int = 10, background: bool = False, recent: float = 0.0
    ) -> list[JsonValue]:
        """The entries of a list, of up to `most` pages; a list inside an object has a `name`."""
        found: list[JsonValue] = []
        following = path
        for _ in range(most):
            page = await self.get(following, background=background, recent=recent)
            listed = page.value
            if name is not None:
                listed = listed.get(name) if isinstance(listed, dict) else None
            if not isinstance(listed, list):
                raise GitHubFailed(f"GitHub gave no list for {one_line(path, 120)}")
            found += listed
            if page.following is None:
                break
            following = page.following
        return found

    async def graphql(self, query: str, *, background: bool = False) -> Data:
        """What a query gives. That something in it is not there, or may not be read, is no failure.

        Raises `GitHubUnsupported` where it has to be asked for over REST.
        """
        if await self._tokens.token() is None or self._no_graphql_until > self._wall():
            raise GitHubUnsupported("GitHub does not serve GraphQL here", status=403)
        request = _Request("POST", self._where.graphql, {"query": query}, "graphql", background)
        try:
            value = (await self._ask(request)).value
        except GitHubRefused as error:
            if error.status == 401:
                raise
            self._no_graphql_until = self._wall() + WITHOUT_GRAPHQL
            raise GitHubUnsupported(error.message, status=error.status) from error
        return data_of(value)

    async def change(self, method: str, path: str, body: JsonObject) -> JsonValue:
        """Change something. A POST is sent once, whatever becomes of it; the others may be repeated.

        It takes from the reserve, but waits for no limit: what is to be changed may be another by then.
        """
        return (await self._ask(_Request(method, self._address(path), body))).value

    def _address(self, path: str) -> str:
        if path.startswith("/"):
            return self._where.rest + path
        if not path.startswith(self._where.rest + "/"):
            # A page that follows on another host would get our token.
            raise GitHubFailed(f"GitHub named an address that is not its own: {one_line(path, 80)}")
        return path

    async def _ask(self, request: _Request) -> Page:
        failures = 0
        refused: Token | None = None
        while True:
            await self._wait_for_hold(request)
            token = await self._tokens.token()
            answer = await self._exchange(request, token)
            if answer.page is not None:
                self._limited_in_a_row = 0
                return answer.page
            if answer.what is Meaning.LIMITED:
                self._hold(answer.headers)
                if failures + 1 >= TRIES:
                    raise self._limited()
            elif answer.what is Meaning.BROKEN:
                if not request.repeatable or failures + 1 >= TRIES:
                    raise GitHubFailed(f"GitHub did not answer {request.method} {self._shown(request)}: {answer.fault}")
                await self._sleep(pause(failures + 1, base=0.5, cap=10.0, random=self._random.random()))
            elif answer.status == 401 and token is not None and refused is None:
                refused = token
                await self._tokens.refused(token)
                if await self._tokens.token() == refused:
                    raise _refusal(answer, request)
            else:
                raise _refusal(answer, request)
            failures += 1

    async def _exchange(self, request: _Request, token: Token | None) -> _Answer:
        """One request and what its answer means; `page` is set when it is what was asked for."""
        memory = self._memory if request.method == "GET" else None
        kept = None if memory is None else memory.get(token, request.address)
        if kept is not None and 0 <= self._wall() - kept.at < request.recent:
            return _Answer(Meaning.SAME, page=kept.page)
        try:
            status, headers, raw = await self._send(request, token, None if kept is None else kept.etag)
            what = meaning(status, headers, raw.decode("utf-8", "replace")[:4_000])
            value = _decoded(raw) if what is Meaning.FINE else None
        except (httpx2.HTTPError, httpx2.InvalidURL, trio.TooSlowError, ValueError, RecursionError) as error:
            return _Answer(Meaning.BROKEN, fault=_fault(error))
        if what is Meaning.FINE and request.resource == "graphql" and limited(value):
            return _Answer(Meaning.LIMITED, status, headers)
        if what is Meaning.SAME and kept is not None:
            etag, page, size = kept.etag, kept.page, kept.size
        elif what is Meaning.FINE:
            etag, page, size = headers.get("etag", ""), Page(value, headers.get("next")), len(raw)
        else:
            return _Answer(what, status, headers, raw, fault=f"status {status}")
        if memory is not None and etag:
            memory.keep(token, request.address, Kept(etag, page, self._wall(), size))
        return _Answer(what, status, headers, page=page)

    async def _wait_for_hold(self, request: _Request) -> None:
        reserved = self.budget.reserved_until(request.resource, self._wall()) if request.background else None
        if reserved is not None:
            raise GitHubLimited("The rest of this hour's requests is kept for what people ask", until=reserved)
        while 0 < (left := self._hold_until - self._wall()) <= SET_BACK:
            if not request.waits or left > PATIENCE:
                raise self._limited()
            await self._sleep(left)

    async def _send(
        self, request: _Request, token: Token | None, etag: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Accept": _GRAPHQL if request.resource == "graphql" else _REST}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.secret}"
        if etag is not None:
            headers["If-None-Match"] = etag
        raw = bytearray()
        async with self._limiter:
            with trio.fail_after(LONGEST):
                async with self._http.stream(
                    request.method, request.address, headers=headers, json=request.body
                ) as response:
                    if response.url.netloc != httpx2.URL(request.address).netloc:
                        # It would be without our token, but what it says would be believed.
                        raise ValueError("it sent us to another host")
                    async for chunk in response.aiter_bytes():
                        raw += chunk
                        if len(raw) > LARGEST:
                            raise ValueError(f"more than {LARGEST} bytes")
        found = {name.lower(): value for name, value in response.headers.items()}
        if "next" in response.links:
            found["next"] = response.links["next"]["url"]
        to_our_clock(found, self._wall())
        self.budget.note(found)
        return response.status_code, found, bytes(raw)

    def _hold(self, headers: Mapping[str, str]) -> None:
        now = self._wall()
        held = now < self._hold_until <= now + SET_BACK
        if not held:
            self._limited_in_a_row += 1
        told = wait_of(headers, now)
        # One that holds on after the time that it has told is over is waited for longer and longer, too.
        doubled = min(self._limited_in_a_row - (1 if told is None else 2), _MOST_DOUBLED)
        least = SECONDARY_WAIT * 2**doubled * (1 + self._random.random() / 2) if doubled >= 0 else 0.0
        wait = min(max(least, told or 0.0), LONGEST_LIMIT)
        self._hold_until = max(self._hold_until if held else 0.0, now + wait)

    def _limited(self) -> GitHubLimited:
        minutes = max(1, ceil((self._hold_until - self._wall()) / 60))
        return GitHubLimited(f"GitHub limits our requests for up to {minutes} min", until=self._hold_until)

    def _shown(self, request: _Request) -> str:
        return one_line(request.address.removeprefix(self._where.rest), 120)


def _decoded(raw: bytes) -> JsonValue:
    return cast("JsonValue", json.loads(raw)) if raw else None


def _fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "its answer is not JSON"
    if isinstance(error, httpx2.TimeoutException | trio.TooSlowError):
        return "it took too long"
    return one_line(str(error) or type(error).__name__, 120)


def _refusal(answer: _Answer, request: _Request) -> GitHubRefused:
    status = answer.status
    try:
        said = reason(_decoded(answer.raw))
    except ValueError:
        said = "no reason given"
    path = one_line(httpx2.URL(request.address).path, 120)
    text = f"GitHub refuses {request.method} {path} ({status}): {said}"
    if answer.what is Meaning.MISSING:
        return GitHubMissing(f"GitHub has no {path}, or the token may not see it", status=status)
    return GitHubDenied(text, status=status) if answer.what is Meaning.DENIED else GitHubRefused(text, status=status)
