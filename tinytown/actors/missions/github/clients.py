"""The clients of one process: one for each host, so that all missions share its budget and its hold.

What must be true: a host has one client, however many ask for it at once; and a token is looked for when it is first
needed, so a town without missions never asks `gh`.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

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
        self._clients: dict[str, GitHub] = {}
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

    async def of(self, host: str) -> GitHub:
        """The client of a host, made at the first call. One without a token may read what is public."""
        async with self._lock:
            if host not in self._clients:
                self._clients[host] = await self._stack.enter_async_context(
                    GitHub.open(
                        endpoints(host, self._environ), await self._tokens(host), sleep=self._sleep, wall=self._wall
                    )
                )
            return self._clients[host]

    async def token_source(self, host: str) -> str | None:
        """Where the token for a host was found, as people call it; None without one."""
        token = await find_token(host, self._environ)
        return None if token is None else token.source

    async def _tokens(self, host: str) -> TokenSource | None:
        token = await find_token(host, self._environ)
        return None if token is None else Found(host, self._environ, token)
