"""Townhall from its start to its end, wherever it runs: in a process of its own, or beside the runtime.

    open the town → hall → router → sockets → server → probe → "it is there"

Every step can fail, and then nothing listens. At the end streams are told, requests that are under way may end
within the grace, and what still runs is cut.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from tinytown.errors import Forbidden, TownError, first_cause
from tinytown.runtime.opening import open_async
from tinytown.web.app import make_app
from tinytown.web.hall import open_hall
from tinytown.web.mcp.mount import McpRouter
from tinytown.web.routes import make_router
from tinytown.web.safety import check_addresses, check_safety
from tinytown.web.serve import Server
from tinytown.web.settings import townhall_settings
from tinytown.web.sockets import UnixSocket, address_of, fit_for_many, listen, url_of
from tinytown.web.tls import Certificates, SecureListener, probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tinytown.runtime.town import Town
    from tinytown.web.accepting import Listener
    from tinytown.web.hall import Hall
    from tinytown.web.settings import TownhallSettings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach what listens everywhere


class Townhall:
    """A townhall that serves."""

    def __init__(self, hall: Hall, server: Server, certificates: Certificates | None) -> None:
        self.hall = hall
        self.server = server
        self._certificates = certificates

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it is reached."""
        return self.hall.urls

    def reload(self) -> bool:
        """Read the certificate again, if there is one; says whether that went well."""
        return self._certificates is None or self._certificates.reload()


@asynccontextmanager
async def townhall(
    start: Path,
    *,
    announce: Callable[[str], None],
    settings: Callable[[TownhallSettings], TownhallSettings] = lambda found: found,
    only_mcp: bool = False,
) -> AsyncIterator[Townhall]:
    """Serve the town that `start` is in for the time of the block.

    `announce` gets a line for people at a time; `settings` may change what the configuration says; `only_mcp` leaves
    everything out but the Model Context Protocol. Raises what
    opening a town raises, `InvalidConfig` for what is not safe or cannot be used, `Conflict` for a port that is taken,
    `Forbidden` for an agent.
    """
    serves = False
    try:
        async with AsyncExitStack() as stack:
            town = await stack.enter_async_context(open_async(start, environ=os.environ, grouped=True))
            _refuse_agents(town)
            wanted = settings(_configured(town))
            for line in (*town.notices, *check_safety(wanted)):
                announce(f"Note: {line}")
            served, listeners = await _opened(stack, town, wanted, only_mcp=only_mcp)
            async with trio.open_nursery() as serving:
                await serving.start(served.server.run, served.hall.stopping)
                await _probe(listeners, wanted)
                for url in served.urls:
                    announce(f"🏛️  Townhall serves '{town.name}' at {url}")
                serves = True
                yield served
                served.hall.stopping.set()
    except BaseExceptionGroup as group:
        cause = first_cause(group)
        if not serves and isinstance(cause, TownError):
            raise cause from None
        raise


async def _opened(
    stack: AsyncExitStack, town: Town, settings: TownhallSettings, *, only_mcp: bool
) -> tuple[Townhall, list[Listener]]:
    """All that is needed to serve, with its end in the stack."""
    certificates = Certificates(settings.tls) if settings.tls is not None else None
    hall = await stack.enter_async_context(open_hall(town, settings))
    router = McpRouter(hall, None if only_mcp else make_router(hall))
    await router.start()
    listeners = await _listeners(stack, settings, certificates)
    hall.urls = _urls(listeners, settings)
    await trio.to_thread.run_sync(fit_for_many, settings.max_connections)
    server = Server(make_app(hall, router), listeners, most=settings.max_connections, grace=settings.grace)
    return Townhall(hall, server, certificates), listeners


def _configured(town: Town) -> TownhallSettings:
    table, limits = town.settings.townhall, town.settings.limits
    return townhall_settings(table, root=town.root, request_bytes=limits.request_bytes)


def _refuse_agents(town: Town) -> None:
    if town.caller.kind == "agent":
        raise Forbidden(
            f"Agent '{town.caller.name}' may not open a townhall: it would speak for the person there",
            hint="A person runs 'townhall', or 'tt start --townhall'.",
        )


async def _listeners(
    stack: AsyncExitStack, settings: TownhallSettings, certificates: Certificates | None
) -> list[Listener]:
    found = await listen(settings.bind, settings.port, certificates)
    for listener in found:
        stack.push_async_callback(listener.aclose)
    check_addresses(settings, (address_of(listener)[0] for listener in found))
    if settings.socket is not None:
        local = await stack.enter_async_context(UnixSocket(settings.socket))
        assert local.listener is not None
        found.append(local.listener)
    return found


async def _probe(listeners: list[Listener], settings: TownhallSettings) -> None:
    for listener in listeners:
        if isinstance(listener, SecureListener) and settings.tls is not None:
            host, port = address_of(listener)
            await probe(_EVERYWHERE.get(host, host), port, settings.tls)


def _urls(listeners: list[Listener], settings: TownhallSettings) -> tuple[str, ...]:
    tcp = listeners if settings.socket is None else listeners[:-1]
    local = () if settings.socket is None else (f"unix:{settings.socket}",)
    return (*map(url_of, tcp), *local)
