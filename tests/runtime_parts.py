"""A town in a project of its own, for a user of its own, and the phrases that many tests of the runtime need."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers import RunningServer

from tinytown.ids import AgentId
from tinytown.lifecycle import AgentEvent
from tinytown.records import Agent
from tinytown.runtime.caller import ID_VARIABLE, TOKEN_VARIABLE, Caller, Scope, digest
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.initialize import InitRequest, initialize
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import Control, Fence
from tinytown.transport.placement import RuntimeCard, new_runtime_id


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user without any file, and the directory in which this user works."""
    base = Path(tempfile.mkdtemp(prefix="tt"))
    for name in list(os.environ):
        if name.startswith(("TINYTOWN_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(base / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    (base / "home").mkdir()
    (base / "project").mkdir()
    yield base
    shutil.rmtree(base)


@pytest.fixture
def project(user: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is no town yet; towns made in it use the server of the test run."""
    monkeypatch.setenv("REDIS_URL", f"unix://{server.socket_path}")
    return user / "project"


@pytest.fixture
def made(project: Path) -> Path:
    """The directory of a town that was made, called `demo`."""
    initialize(InitRequest(project, "demo"), environ=os.environ)
    return project


@pytest.fixture
def town(made: Path) -> Iterator[Town]:
    """A town, opened by a person on a blocking connection: `run_sync(operation(town, request))`."""
    with open_blocking(made, environ=os.environ) as town:
        yield town


def add(town: Town, name: str, **wanted: object) -> Agent:
    """As `added`, on a connection for one thread."""
    return run_sync(added(town, name, **wanted))


async def added(town: Town, name: str, **wanted: object) -> Agent:
    """A new agent that no runtime holds, of another host: what it is given starts none here."""
    agent = (await spawn(town, Spawn(name, runtime=False, **wanted))).agent  # type: ignore[arg-type]
    return await town.store.update_agent(agent.id, lambda found: replace(found, host="elsewhere"))


def limit(town: Town, **limits: int) -> None:
    """Let the town have these limits from here on."""
    configure(town, limits=replace(town.settings.limits, **limits))


def configure(town: Town, **sections: object) -> None:
    """Let the town have these settings from here on."""
    town.ground.settings = replace(town.settings, **sections)  # type: ignore[arg-type]
    town.__init__(town.ground, town.connection, town.caller, environ=town.environ)  # type: ignore[misc]


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


def place(town: Town, agent: Agent, *, lease: float = 60.0) -> Fence:
    """Somewhere a runtime lives that holds this agent."""
    card = RuntimeCard(new_runtime_id(), "elsewhere", 1, "2026-01-01T00:00:00.000Z")
    run_sync(town.placement.begin(card, lease=lease))
    (placed,) = run_sync(town.placement.place(card.id, [agent.id]))
    assert placed.fence is not None
    return placed.fence


def move(town: Town, agent: Agent, *events: AgentEvent) -> Agent:
    """What its actor would have written."""

    def decide(found: Agent) -> Agent:
        for event in events:
            found = found.after(event)
        return found

    return run_sync(town.store.update_agent(agent.id, decide))


def controls(town: Town, agent: Agent) -> list[Control]:
    """What its actor was told past its mailbox and has not taken."""
    found = run_sync(town.connection.execute("LRANGE", town.keys("control", agent.id), 0, -1))
    return [Control.decode(raw) for raw in found]  # type: ignore[union-attr, arg-type]


def happened(town: Town) -> list[str]:
    """The types of the last events."""
    return [event.type for event in run_sync(town.journal.latest(100))]
