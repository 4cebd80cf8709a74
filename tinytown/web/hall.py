"""The hall: what lives as long as townhall does, and is shared by all requests."""

from __future__ import annotations

import copy
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from tinytown.ids import SUPERVISOR_ID
from tinytown.runtime.caller import EVERYTHING, Caller, Scope
from tinytown.runtime.local_token import ensure_token
from tinytown.transport.api_keys import ApiKeys
from tinytown.transport.audit import AuditTrail
from tinytown.web.audit import AuditLog
from tinytown.web.auth.authenticator import Authenticator
from tinytown.web.auth.keys import KeyCheck
from tinytown.web.doors.rates import Rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinytown.runtime.town import Town
    from tinytown.web.context import Principal
    from tinytown.web.settings import TownhallSettings


class Hall:
    """What the routes work with.

    `stopping` is set when the stop begins; streams end then. Tasks in `nursery` are cancelled at the end of the stop.
    `urls` are where townhall is reached, known once it listens.
    """

    __slots__ = ("_callers", "audit", "authenticator", "nursery", "settings", "started_at", "stopping", "town", "urls")

    def __init__(
        self, town: Town, settings: TownhallSettings, authenticator: Authenticator, nursery: trio.Nursery
    ) -> None:
        self.town = town
        self.settings = settings
        self.authenticator = authenticator
        self.nursery = nursery
        self.audit = AuditLog(AuditTrail(town.connection, town.keys))
        self.stopping = trio.Event()
        self.started_at = trio.current_time()
        self.urls: tuple[str, ...] = ()
        self._callers: dict[frozenset[Scope], Town] = {}

    def town_for(self, principal: Principal) -> Town:
        """The town, for operations of this principal: they see a person who has its scopes and no others."""
        scopes = EVERYTHING if Scope.ADMIN in principal.scopes else principal.scopes
        found = self._callers.get(scopes)
        if found is None:
            found = copy.copy(self.town)
            found.caller = Caller("person", SUPERVISOR_ID, "supervisor", scopes)
            # There are as many as there are sets of scopes: sixteen.
            self._callers[scopes] = found
        return found


@asynccontextmanager
async def open_hall(town: Town, settings: TownhallSettings) -> AsyncIterator[Hall]:
    """The hall of an open town, for the time of the block. What its nursery still runs at the end is cancelled."""
    async with AsyncExitStack() as stack:
        authenticator = await _authenticator(stack, town, settings)
        async with trio.open_nursery() as nursery:
            yield Hall(town, settings, authenticator, nursery)
            nursery.cancel_scope.cancel()


async def _authenticator(stack: AsyncExitStack, town: Town, settings: TownhallSettings) -> Authenticator:
    auth = settings.auth
    if auth.mode == "none":
        return Authenticator()
    if auth.mode == "oidc":
        # Only who uses them pays for these imports.
        import httpx2

        from tinytown.web.auth.fetching import fetcher
        from tinytown.web.auth.oidc import TokenCheck

        client = await stack.enter_async_context(httpx2.AsyncClient())
        return Authenticator(tokens=TokenCheck(auth, fetcher(client)))
    local = await trio.to_thread.run_sync(ensure_token, town.ground.state.directory)
    failures = Rate(settings.rates.failed_logins)
    return Authenticator(local_token=local, keys=KeyCheck(ApiKeys(town.connection, town.keys), auth, failures))
