"""Who stands at the other side of a request, and what of the town is theirs."""

from __future__ import annotations

import copy
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

from tinytown.errors import Forbidden
from tinytown.ids import SUPERVISOR_ID
from tinytown.runtime.caller import Caller, Scope

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from tinytown.runtime.town import Town

DEFAULT_SCOPES = frozenset({Scope.READ, Scope.WRITE})
"""What a person's client may do on standard input and output, unless `--scopes` says otherwise."""


class Desk(Protocol):
    """Where requests arrive. `reveal`: whoever asks may read errors of this machine as they are."""

    @property
    def reveal(self) -> bool:
        """Whoever asks sits at this machine."""

    @property
    def remedy(self) -> str:
        """What to do about a scope that is missing."""

    def town(self, context: ServerRequestContext[Any, Any]) -> Town:
        """The town, as far as whoever asks may use it."""

    def request_id(self, context: ServerRequestContext[Any, Any]) -> str:
        """By which the log finds the request."""

    async def admit(self, context: ServerRequestContext[Any, Any]) -> None:
        """Let a call through that changes something. Raises `Refusal` when there were too many."""

    async def note(self, context: ServerRequestContext[Any, Any], what: str, *, status: int) -> None:
        """Remember a call that changed something, or was refused."""


class LocalDesk:
    """One client, on the other end of a pipe."""

    reveal = True
    remedy = "Start it with more: townhall mcp-stdio --scopes town.read,town.write,agent.manage"

    def __init__(self, town: Town) -> None:
        self._town = town

    def town(self, context: ServerRequestContext[Any, Any]) -> Town:
        """The one town."""
        return self._town

    def request_id(self, context: ServerRequestContext[Any, Any]) -> str:
        """A new one for each."""
        return token_hex(8)

    async def admit(self, context: ServerRequestContext[Any, Any]) -> None:
        """Nobody is turned away."""

    async def note(self, context: ServerRequestContext[Any, Any], what: str, *, status: int) -> None:
        """The journal has it."""


def limited(town: Town, scopes: frozenset[Scope]) -> Town:
    """The town for a person who may do this and no more; an agent has what its own credential grants."""
    caller = town.caller
    found = copy.copy(town)
    if caller.kind == "person":
        granted = frozenset(Scope) if Scope.ADMIN in scopes else scopes
        found.caller = Caller("person", SUPERVISOR_ID, caller.name, granted)
    return found


async def require_own(town: Town, name: str) -> None:
    """Raise `Forbidden` when the caller is an agent and this names another. Raises `AgentNotFound`."""
    if town.caller.is_worker and (await town.store.find_agent(name)).id != town.caller.agent_id:
        raise Forbidden(
            f"Agent '{town.caller.name}' sees only what is its own", hint="Ask the other one, with message.send."
        )
