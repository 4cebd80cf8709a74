"""Agents: spawn, restart, list. How they end: `ending.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from tinytown import times
from tinytown.errors import AgentExists, AgentNotFound, Conflict, Invalid, TooManyAgents
from tinytown.ids import AGENT_NAME, SUPERVISOR_ID, SUPERVISOR_NAMES, AgentId, agent_name, new_id
from tinytown.lifecycle import AgentEvent
from tinytown.records import Agent, Event
from tinytown.runtime.background import Served, ensure_runtime
from tinytown.runtime.operations.bounds import label, shown, whole
from tinytown.runtime.operations.conductor_view import conducting
from tinytown.runtime.operations.ending import Kill, Killed, Stopped, StopTown, kill, stop_town
from tinytown.runtime.operations.programs import cli_warning
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.worktrees import isolation
from tinytown.text import one_line
from tinytown.transport.questions import ask
from tinytown.transport.store import Raced, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinytown.runtime.town import Town

__all__ = (
    "Agents",
    "Kill",
    "Killed",
    "ListAgents",
    "Restart",
    "Spawn",
    "Spawned",
    "StopTown",
    "Stopped",
    "kill",
    "list_agents",
    "restart",
    "spawn",
    "stop_town",
)

_MOST_ROUNDS = 1_000_000
_LONGEST_LABEL = 100


class _Wanted(TypedDict):
    max_rounds: int
    role: str | None
    nickname: str | None
    workdir: str | None


@dataclass(frozen=True, slots=True)
class Spawn:
    """A new agent, or a stopped one of this name in a new life.

    `cli` and `max_rounds` come from the configuration when they are None; the rest stays as it was in the former
    life. `workdir` is relative to the project. `worktree`: whether it works in a git worktree of its own. With
    `runtime=False` no runtime is started: the caller runs it.
    """

    name: str = shown({"pattern": AGENT_NAME, "not": {"enum": list(SUPERVISOR_NAMES)}})
    cli: str | None = shown({"format": "agent-cli"}, None)
    max_rounds: int | None = whole("number of rounds", 1, _MOST_ROUNDS, default=None)
    role: str | None = label(_LONGEST_LABEL)
    workdir: str | None = shown({"format": "directory"}, None)
    nickname: str | None = label(_LONGEST_LABEL)
    runtime: bool = True
    worktree: bool | None = None


@dataclass(frozen=True, slots=True)
class Spawned:
    """The agent as it is stored. `warning` is what will keep it from working, as far as can be seen; `note` what
    else a person should know."""

    agent: Agent
    runtime_started: bool
    restarted: bool
    warning: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """A stopped agent in a new life, with fresh rounds."""

    agent: str
    rounds: int | None = whole("number of rounds", 1, _MOST_ROUNDS, default=None)
    runtime: bool = True


@dataclass(frozen=True, slots=True)
class ListAgents:
    """All agents, or only those that are alive."""

    include_stopped: bool = True


@dataclass(frozen=True, slots=True)
class Agents:
    """In the order of creation. `conductor` stands apart: None unless there is one to be seen."""

    agents: tuple[Agent, ...]
    conductor: Agent | None = None


@operation("agent.spawn", Scope.MANAGE)
async def spawn(town: Town, request: Spawn) -> Spawned:
    """Create and start an agent.

    A stopped agent of this name begins a new life under its id. Raises `InvalidName`, `Invalid`, `UnknownCli`,
    `Untrusted`, `AgentExists`, `TooManyAgents`, `Conflict` for a worktree where there can be none, and
    `RuntimeFailed` when the agent is stored, but nothing runs it.
    """
    name = agent_name(request.name)
    wanted = _checked(town, request)
    cli = request.cli or town.settings.default_cli
    warning = cli_warning(town, cli)
    worktree, note = await isolation(town, asked=request.worktree, workdir=request.workdir)

    def begin(former: Agent | None) -> Agent:
        if former is None:
            return Agent(
                name=name, cli=cli, host=town.ground.host, worktree=worktree, parent_agent_id=parent_of(town), **wanted
            )
        if not former.state.is_terminal:
            raise AgentExists(
                f"Agent '{name}' is there already ({former.state.capitalize()})",
                hint=f"Give it work with 'tt assign {name}', or end it first with 'tt kill {name}'.",
            )
        kept = {key: value for key, value in wanted.items() if value is not None}
        if request.worktree is not None:
            kept["worktree"] = worktree
        return replace(_reborn(former, town), cli=cli, **kept)  # type: ignore[arg-type]

    agent, restarted = await _begin_life(town, name, begin)
    served = await ensure_runtime(town) if request.runtime else Served()
    return Spawned(agent, served.started, restarted, served.beside(warning), note if not agent.worktree else None)


@operation("agent.restart", Scope.MANAGE)
async def restart(town: Town, request: Restart) -> Spawned:
    """Start a stopped agent again, with fresh rounds.

    Raises `AgentNotFound`, `Conflict` for one that is alive, `TooManyAgents`, and what `spawn` raises.
    """
    found = await town.store.find_agent(request.agent)
    if found.id == SUPERVISOR_ID:
        raise Conflict("The conductor is no agent that can be restarted", hint="Start it with: tt conductor --detach")
    rounds = request.rounds or town.settings.runtime.max_rounds
    warning = cli_warning(town, found.cli)

    def begin(former: Agent | None) -> Agent:
        if former is None:
            raise AgentNotFound(request.agent)
        if not former.state.is_terminal:
            raise Conflict(
                f"Agent '{former.name}' is still active ({former.state.capitalize()})",
                hint=f"Use 'tt kill {former.name}' to stop it first",
            )
        return replace(_reborn(former, town), max_rounds=rounds)

    agent, _ = await _begin_life(town, found.name, begin)
    served = await ensure_runtime(town) if request.runtime else Served()
    return Spawned(agent, served.started, restarted=True, warning=served.beside(warning))


@operation("agent.list", Scope.READ)
async def list_agents(town: Town, request: ListAgents) -> Agents:
    """List the agents of the town."""
    store = town.store
    (ids,) = await ask(town.connection, store.everybody())
    found = await store.agents_of([*ids, SUPERVISOR_ID])
    seen = await conducting(town, found)
    wanted = [agent for agent in in_order(found) if request.include_stopped or not agent.state.is_terminal]
    workers = tuple(agent for agent in wanted if agent.id != SUPERVISOR_ID)
    return Agents(workers, None if seen is None else seen.agent)


async def _begin_life(town: Town, name: str, begin: Callable[[Agent | None], Agent]) -> tuple[Agent, bool]:
    """Commit what `begin` makes of the former life of this name, None if there was none; says if there was one.

    The roster changes in the same commit, so that of many that begin at once no more than `max_agents` do.
    """
    store, roster = town.store, town.keys("roster")
    while True:
        seen_roster, agent_id = await town.connection.pipeline(
            [("GET", roster), ("HGET", town.keys("names"), name)], repeat=True
        )
        former = None
        if agent_id is not None:
            former = await store.see_agent(AgentId(cast("bytes", agent_id).decode()))
        agent = begin(former.record if former is not None else None)
        _refuse_too_many(town, await store.agents())
        change = store.change().write("SET", roster, new_id()).ring(agent.id)
        change.checks.append((roster, "!", b"") if seen_roster is None else (roster, "=", cast("bytes", seen_roster)))
        if former is None:
            change.create_agent(agent).tell(Event("agent.spawned", agent=agent.id, detail=f"{name} ({agent.cli})"))
        else:
            detail = f"{name} ({agent.cli}), life {agent.incarnation}"
            change.replace_agent(former, agent).tell(Event("agent.restarted", agent=agent.id, detail=detail))
        try:
            await store.commit(change)
        except Raced:
            continue
        return agent, former is not None


def _refuse_too_many(town: Town, agents: Iterable[Agent]) -> None:
    alive = sum(not agent.state.is_terminal for agent in agents)
    most = town.settings.max_agents
    if alive >= most:
        raise TooManyAgents(
            f"{alive} agents are alive, and there may be {most}",
            hint="End one with 'tt kill', or raise max_agents in tinytown.toml.",
        )


def _reborn(former: Agent, town: Town) -> Agent:
    """The agent at the start of its next life; its id, its mailbox and what it has done stay."""
    return replace(
        former.after(AgentEvent.RESTART),
        parent_agent_id=parent_of(town) or former.parent_agent_id,
        incarnation=former.incarnation + 1,
        rounds_completed=0,
        failed_rounds=0,
        backoff_until=None,
        reason=None,
        crashed_at=(),
        current_task=None,
        last_heartbeat=times.now(),
        host=town.ground.host,
    )


def parent_of(town: Town) -> AgentId | None:
    """The conductor when it is that which asks: the agents that it starts report to it."""
    return SUPERVISOR_ID if town.caller.kind == "agent" and town.caller.agent_id == SUPERVISOR_ID else None


def _checked(town: Town, request: Spawn) -> _Wanted:
    """What of the request goes into the record as it is."""
    workdir = request.workdir
    if workdir is not None and not (town.root / Path(workdir).expanduser()).is_dir():
        raise Invalid(f"The directory for the agent is not there: {one_line(workdir, 200)}")
    return {
        "max_rounds": request.max_rounds or town.settings.runtime.max_rounds,
        "role": _label("role", request.role),
        "nickname": _label("nickname", request.nickname),
        "workdir": workdir,
    }


def _label(what: str, text: str | None) -> str | None:
    if text is None:
        return None
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST_LABEL:
        raise Invalid(f"The {what} '{one_line(text, 40)}' cannot be used; expected 1 to 100 printable characters")
    return text
