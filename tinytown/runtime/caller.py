"""Who asks: a person, or an agent that shows the credential its runtime gave it.

The sender of a message and the ender of a task are taken from here, never from a text. A credential is a random
token in the environment of the agent's CLI; Redis knows only its SHA-256. This keeps agents from speaking for each
other by mistake or by persuasion. It is no wall against a program that the same user runs with bad intent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from tinytown.errors import Forbidden
from tinytown.ids import SUPERVISOR_ID, AgentId, is_id

if TYPE_CHECKING:
    from collections.abc import Mapping

ID_VARIABLE = "TINYTOWN_AGENT_ID"
TOKEN_VARIABLE = "TINYTOWN_AGENT_TOKEN"  # noqa: S105 - the name of the variable, not a token


class Scope(StrEnum):
    """What an operation needs."""

    READ = "town.read"
    WRITE = "town.write"
    MANAGE = "agent.manage"
    ADMIN = "admin"


EVERYTHING = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `agent_id` is the id it speaks as; `name` is for people."""

    kind: Literal["person", "agent"]
    agent_id: AgentId
    name: str
    scopes: frozenset[Scope]

    @property
    def is_worker(self) -> bool:
        """An agent that does tasks: beyond its scopes it may write to others and end what is its own."""
        return self.kind == "agent" and self.agent_id != SUPERVISOR_ID


PERSON = Caller("person", SUPERVISOR_ID, "supervisor", EVERYTHING)
"""Whoever sits at the terminal: speaks as the supervisor and may do everything."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What an agent shows of itself, not yet verified."""

    agent_id: AgentId
    digest: str


def credential(environ: Mapping[str, str]) -> Credential | None:
    """The credential in this environment, None for a person. Raises `Forbidden` for half of one."""
    agent_id, token = environ.get(ID_VARIABLE, ""), environ.get(TOKEN_VARIABLE, "")
    if not agent_id and not token:
        return None
    if not is_id(agent_id) or not token:
        raise Forbidden(
            f"{ID_VARIABLE} and {TOKEN_VARIABLE} do not make a credential",
            hint="The runtime sets both for its agents. As a person unset both.",
        )
    return Credential(AgentId(agent_id), digest(token))


def digest(token: str) -> str:
    """What Redis keeps of a token: its SHA-256 in hexadecimal."""
    from hashlib import sha256

    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def verified(shown: Credential, expected: bytes | None, name: str) -> Caller:
    """The agent of a credential; `Forbidden` unless `expected`, the digest that Redis has for it, is the same."""
    from hmac import compare_digest

    if expected is None or not compare_digest(shown.digest.encode(), expected):
        raise Forbidden(
            f"The credential of agent {shown.agent_id} is not valid in this town",
            hint=f"It ends with the agent's life. As a person unset {ID_VARIABLE} and {TOKEN_VARIABLE}.",
        )
    if shown.agent_id == SUPERVISOR_ID:
        return Caller("agent", SUPERVISOR_ID, "conductor", EVERYTHING - {Scope.ADMIN})
    return Caller("agent", shown.agent_id, name, frozenset({Scope.READ}))
