"""Phrases that many tests of the runtime need, on a town that a person has opened on a blocking connection."""

from __future__ import annotations

import os
from dataclasses import replace

from tinytown.ids import AgentId
from tinytown.records import Agent
from tinytown.runtime.caller import ID_VARIABLE, TOKEN_VARIABLE, Caller, Scope, digest
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


def add(town: Town, name: str, **wanted: object) -> Agent:
    """A new agent that no runtime holds."""
    return run_sync(spawn(town, Spawn(name, runtime=False, **wanted))).agent  # type: ignore[arg-type]


def limit(town: Town, **limits: int) -> None:
    """Let the town have these limits from here on."""
    settings = replace(town.settings, limits=replace(town.settings.limits, **limits))
    town.__init__(  # type: ignore[misc]
        replace(town.ground, settings=settings), town.connection, town.caller, environ=town.environ
    )


def credential_of(town: Town, agent_id: AgentId, token: str = "a secret") -> dict[str, str]:
    """The environment of a CLI that the runtime started for this agent."""
    run_sync(town.connection.execute("HSET", town.keys("tokens"), agent_id, digest(token)))
    return {**os.environ, ID_VARIABLE: agent_id, TOKEN_VARIABLE: token}


def worker(town: Town, agent: Agent) -> Town:
    """The town as this agent sees it."""
    return Town(
        town.ground,
        town.connection,
        Caller("agent", agent.id, agent.name, frozenset({Scope.READ})),
        environ=town.environ,
    )
