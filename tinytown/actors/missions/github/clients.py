"""The clients of one process: one for each token, so that all missions share its budget and its hold.

What must be true: a token has one client, however many ask for it at once; and it is looked for when it is first
needed, so a town without missions never asks `gh`.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from tinytown.actors.missions.github.app_tokens import Installation, Signed, app_of
from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.tokens import Found, find_token
from tinytown.actors.missions.references import endpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from tinytown.actors.missions.github.tokens import TokenSource


class Clients:
    """Gives the client of a host, for as long as the block of `open` lasts."""

    __slots__ = ("_clients", "_environ", "_lock", "_sleep", "_stack", "_wall")

    def __init__(
        self,
        environ: Mapping[str, str],
        stack: AsyncExitStack,
        *,
        sleep: Callable[[float], Awaitable[None]],
        wall: Callable[[], float],
    ) -> None:
        self._environ = environ
        self._stack = stack
        self._sleep = sleep
        self._wall = wall
        self._clients: dict[tuple[str, str], GitHub] = {}
        self._lock = trio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        environ: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
        wall: Callable[[], float] = time.time,
    ) -> AsyncIterator[Clients]:
        """Clients with the tokens and addresses that an environment names; all are closed at the end of the block."""
        async with AsyncExitStack() as stack:
            yield cls(environ, stack, sleep=sleep, wall=wall)

    async def of(self, host: str, owner: str = "") -> GitHub:
        """The client of a host, made at the first call. One without a token may read what is public.

        `owner` says of whom the repositories are; it matters to a GitHub App, which has a token for each place that it
        is installed at. Raises `GitHubDenied` for an app that cannot be used.
        """
        async with self._lock:
            for key in ((host, ""), (host, owner)):
                if key in self._clients:
                    return self._clients[key]
            token = await find_token(host, self._environ)
            app = app_of(self._environ) if token is None else None
            if app is None:
                client = await self._opened(host, Found(host, self._environ, token))
                self._clients[host, ""] = client
            else:
                signing = await self._opened(host, Signed(app, self._wall))
                client = await self._opened(host, Installation(app, signing, owner))
                self._clients[host, owner] = client
            return client

    async def token_source(self, host: str) -> str | None:
        """Where the token for a host comes from, as people call it; None without one. Raises as `of` does."""
        token = await find_token(host, self._environ)
        if token is not None:
            return token.source
        app = app_of(self._environ)
        return None if app is None else app.source

    async def _opened(self, host: str, tokens: TokenSource) -> GitHub:
        where = endpoints(host, self._environ)
        return await self._stack.enter_async_context(GitHub.open(where, tokens, sleep=self._sleep, wall=self._wall))
