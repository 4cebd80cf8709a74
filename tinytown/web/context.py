"""What a request carries once it is inside: who asks, and the id that its answer, the log and the audit share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tinytown.runtime.caller import EVERYTHING, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.messages import JsonValue
    from tinytown.web.asgi import AsgiScope

Access: TypeAlias = Scope | Literal["public", "known"]
"""What a route wants: nothing; any credential that is good; or one that holds the scope."""

_KEY = "tinytown"
_OBJECTS = {"mission_id": "mission", "task_id": "task", "message_id": "message", "agent_id": "agent", "id": "agent"}
"""The members that say what an answer is about, the first of them that is there."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `id` names it in the audit and counts for the rate limits; it is no secret."""

    id: str
    kind: Literal["anonymous", "none", "local", "api_key", "oidc"]
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """It holds this scope, or `admin`, which holds all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


ANONYMOUS = Principal("anonymous", "anonymous", frozenset())
"""Whoever shows nothing."""

UNCHECKED = Principal("local", "none", EVERYTHING)
"""Whoever asks where authentication is switched off."""


@dataclass(slots=True)
class Asked:
    """One request, inside. `object` names what it changes, for the audit."""

    request_id: str
    principal: Principal = ANONYMOUS
    object: str | None = None
    count_write: Callable[[], None] | None = None
    """Counts a change that a call turns out to make. Raises `TooManyRequests`."""


def begin(scope: AsgiScope, asked: Asked) -> None:
    """Let the request carry this from here on."""
    scope.setdefault("state", {})[_KEY] = asked


def asked_of(scope: AsgiScope) -> Asked:
    """What the doors know of this request."""
    found: Asked = scope["state"][_KEY]
    return found


def principal_of(scope: AsgiScope) -> Principal:
    """Who asks."""
    return asked_of(scope).principal


def request_id_of(scope: AsgiScope) -> str:
    """The id of this request."""
    return asked_of(scope).request_id


def note_object(scope: AsgiScope, what: str) -> None:
    """Say what this request changes, such as `agent/<id>`: the audit names it beside the path."""
    asked_of(scope).object = what


def object_of(shown: JsonValue) -> str:
    """What an answer is about, such as `agent/<id>`; empty where it does not say so."""
    for member, kind in _OBJECTS.items():
        found = shown.get(member) if isinstance(shown, dict) else None
        if isinstance(found, str):
            return f"{kind}/{found}"
    return ""
