"""Pruning and resetting: agents leave the town, or everything does.

Nothing that was accepted is lost by a prune: the work of an agent that goes is put into the backlog, the rest of
its mailbox into the conductor's. Only a full reset deletes tasks and messages, and says so before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.actors.handover import HandedOver, Then, Where
from tinytown.errors import AgentNotFound, Conflict
from tinytown.records import Event
from tinytown.runtime.operations.reclaiming import busy_agents, handover_of
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.worktrees import Cleared, clear
from tinytown.transport.clearing import agent_keys, clear_town

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.ids import AgentId
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.connection import Value


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove agents that have ended, or `everyone`. `force` cuts turns that run."""

    everyone: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """Who is gone, and what became of what they had. `busy` stayed, because a turn has messages of theirs in hand."""

    removed: tuple[HandedOver, ...]
    busy: tuple[Agent, ...] = ()
    worktrees: Cleared | None = None
    """What became of the worktrees on this host that no agent has any more."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Delete all agents, tasks and messages, or with `agents_only` the agents. Without `force` only say what."""

    force: bool = False
    agents_only: bool = False


@dataclass(frozen=True, slots=True)
class WasReset:
    """What is there to be deleted, or was. `keys` is how many keys of Redis were, None for a preview.

    `in_turn` counts the agents whose turn is cut by it. `to_backlog` and `to_conductor` are what agents left.
    """

    town: str
    agents: int
    tasks: int
    backlog: int
    in_turn: int = 0
    keys: int | None = None
    to_backlog: int = 0
    to_conductor: int = 0
    worktrees: Cleared | None = None
    """What became of the agents' worktrees on this host, or would."""


@operation("agent.prune", Scope.MANAGE)
async def prune(town: Town, request: Prune) -> Pruned:
    """Remove agents that have ended from the town.

    Their work goes to the backlog, the rest of their mailboxes to the conductor's. Raises `MailboxFull` when that
    one cannot take it; whoever was removed before stays removed. A worktree goes with its agent when nothing is
    lost by it, and stays otherwise, until a later prune finds that its work is somewhere else.
    """
    agents = [agent for agent in await town.store.agents() if request.everyone or agent.state.is_terminal]
    in_turn = await busy_agents(town, agents)
    busy = set() if request.force else in_turn
    removed = await _remove(town, [agent for agent in agents if agent.id not in busy], force=request.force)
    gone = {each.agent.id for each in removed}
    cut = {agent.name for agent in agents if agent.id in in_turn}
    worktrees = await clear(town, [each.agent for each in removed], spare=cut)
    stayed = tuple(agent for agent in agents if agent.id in busy and agent.id not in gone)
    return Pruned(tuple(removed), stayed, worktrees)


@operation("town.reset", Scope.ADMIN)
async def reset(town: Town, request: Reset) -> WasReset:
    """Delete all agents, tasks and messages of the town, or the agents only; without `force` say what would be.

    Raises `MailboxFull` when, for a reset of the agents, the conductor's mailbox cannot take what they leave.
    """
    agents = await town.store.agents()
    tasks, backlog, at_work = await _tally(town, agents)
    in_turn = len(at_work)
    if not request.force:
        worktrees = await clear(town, agents, preview={agent.name for agent in agents})
        return WasReset(town.name, len(agents), tasks, backlog, in_turn, worktrees=worktrees)
    if request.agents_only:
        keys = await _existing(town, [agent.id for agent in agents])
        removed = await _remove(town, agents, force=True)
        return WasReset(
            town.name,
            len(removed),
            tasks,
            backlog,
            in_turn,
            keys,
            sum(each.count(Where.BACKLOG) for each in removed),
            sum(each.count(Where.CONDUCTOR) for each in removed),
            await clear(town, [each.agent for each in removed], spare=at_work),
        )
    detail = f"{len(agents)} agents and {tasks} tasks deleted by {town.caller.name}"
    keys = await clear_town(
        town.connection,
        town.keys,
        Event("town.reset", detail=detail),
        events=town.settings.limits.events,
    )
    worktrees = await clear(town, agents, spare=at_work)
    return WasReset(town.name, len(agents), tasks, backlog, in_turn, keys, worktrees=worktrees)


async def _remove(town: Town, agents: Sequence[Agent], *, force: bool) -> list[HandedOver]:
    handover = handover_of(town)
    tasks = await handover.tasks_of(agents)
    removed = []
    for agent in agents:
        try:
            done = await handover.to_backlog(agent, tasks.get(agent.id, []), then=Then.GOES, by_force=force)
        except AgentNotFound:
            # Somebody else removed it just now.
            continue
        except Conflict:
            # A turn began in between.
            continue
        removed.append(done)
    return removed


async def _tally(town: Town, agents: Sequence[Agent]) -> tuple[int, int, set[str]]:
    """How many tasks there are, in the backlog, and the names of agents with messages in the hands of a turn."""
    commands: list[tuple[Value, ...]] = [("ZCARD", town.keys("tasks")), ("LLEN", town.keys("backlog"))]
    commands += [("HLEN", town.keys("inflight", agent.id)) for agent in agents]
    tasks, backlog, *in_hand = cast("list[int]", await town.connection.pipeline(commands, repeat=True))
    return tasks, backlog, {agent.name for agent, count in zip(agents, in_hand, strict=True) if count}


async def _existing(town: Town, agent_ids: Sequence[AgentId]) -> int:
    """How many keys of these agents there are."""
    commands: list[tuple[Value, ...]] = [("EXISTS", *agent_keys(town.keys, agent_id)) for agent_id in agent_ids]
    return sum(cast("list[int]", await town.connection.pipeline(commands, repeat=True))) if commands else 0
