"""Recovery by hand: what a dead runtime left behind.

A living runtime does this by itself. `recover` says what there is, and then either asks the runtimes that live to
take it over, or, where none lives, brings the messages back and ends the agents, so that nothing looks as if it
were running. Nobody is judged by silence: an agent is lost when no runtime with a lease holds it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown import times
from tinytown.actors.progress import Progress
from tinytown.errors import AgentNotFound, LeaseLost, RuntimeRunning
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.placement import new_runtime_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tinytown.ids import AgentId, RuntimeId
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.connection import Value

STARTS_WITHIN = 120.0
"""Seconds that a spawned agent may wait for its first runtime before it counts as lost (the book's two minutes)."""

_AT_ONCE = 256
"""Agents in one script: it stops the whole server while it runs."""

_SEEMS_TO_RUN = frozenset({AgentState.STARTING, AgentState.WORKING, AgentState.DRAINING})


@dataclass(frozen=True, slots=True)
class Recover:
    """Find what a dead runtime left behind, and recover it."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """`agents` are those that were lost, as they were found; `checked` is how many there are.

    `by_runtime`: a runtime lives and takes them over; otherwise they are stopped. `messages` is how many went back to
    the mailboxes here and now.
    """

    agents: tuple[Agent, ...]
    checked: int
    by_runtime: bool
    messages: int = 0


@operation("recovery.recover", Scope.MANAGE)
async def recover(town: Town, request: Recover) -> Recovered:
    """Recover agents whose runtime has died.

    With a living runtime they go on there; without one they are stopped, and their messages lie in their mailboxes.
    """
    agents = await town.store.agents()
    with _watch(town) as nobody_here:
        lost, living = await _look(town, agents, nobody_here=nobody_here)
        if living:
            change = town.store.change()
            for agent in lost:
                if not agent.state.is_terminal:
                    change.write("SADD", town.keys("unplaced"), agent.id).ring(agent.id)
            await town.store.commit(change)
            ended = [agent for agent in lost if agent.state.is_terminal]
            return Recovered(tuple(lost), len(agents), by_runtime=True, messages=await bring_back(town, ended))
        messages = await bring_back(town, lost, end=True)
        return Recovered(tuple(lost), len(agents), by_runtime=False, messages=messages)


async def bring_back(town: Town, agents: Sequence[Agent], *, end: bool = False) -> int:
    """Bring what these have claimed back to their lanes, unless a living runtime holds them; gives how much it was.

    `end`: those that seem to run are stopped.
    """
    runtime, count = new_runtime_id(), 0
    for start in range(0, len(agents), _AT_ONCE):
        part = agents[start : start + _AT_ONCE]
        for agent, placed in zip(part, await town.placement.place(runtime, [each.id for each in part]), strict=True):
            count += placed.recovered + placed.quarantined
            if placed.fence is None:
                continue
            wanted = not agent.state.is_terminal
            try:
                if end and wanted:
                    progress = Progress(town.store, placed.fence)
                    wanted = agent.state not in _SEEMS_TO_RUN
                    await (progress.adopt() if wanted else progress.end(AgentEvent.STOP, "its runtime died"))
                await town.placement.unplace(placed.fence, wanted=wanted)
            except (LeaseLost, AgentNotFound):
                # A runtime that was started just now was faster, or it was deleted.
                continue
    return count


@contextmanager
def _watch(town: Town) -> Iterator[bool]:
    """Keep a runtime of this host from starting for the time of the block; False when one is there already."""
    try:
        lock = town.ground.state.hold_runtime()
    except RuntimeRunning:
        yield False
        return
    with lock:
        yield True


async def _look(town: Town, agents: Sequence[Agent], *, nobody_here: bool) -> tuple[list[Agent], bool]:
    """The agents that are lost, and whether any runtime lives that can take them.

    A runtime of this host that still has a lease, and not its lock, is dead: its lease is ended here.
    """
    living: set[RuntimeId] = set()
    for card in await town.placement.runtimes():
        if card.host == town.ground.host and nobody_here:
            await town.placement.end(card.id)
        else:
            living.add(card.id)
    ids = [agent.id for agent in agents]
    holders = await town.placement.holders(ids)
    claimed = await _claimed(town, ids)
    lost = [
        agent
        for agent in agents
        if holders.get(agent.id) not in living
        and (claimed[agent.id] or _seems_lost(agent, was_placed=agent.id in holders))
    ]
    # One that has the lock and no lease yet begins, and looks at everybody first.
    return lost, bool(living) or not nobody_here


def _seems_lost(agent: Agent, *, was_placed: bool) -> bool:
    """Whether an agent that no living runtime holds looks as if it were running."""
    if agent.state is AgentState.STARTING and not was_placed:
        return time.time() - _heartbeat(agent) > STARTS_WITHIN
    return agent.state in _SEEMS_TO_RUN or (agent.in_round and not agent.state.is_terminal)


def _heartbeat(agent: Agent) -> float:
    try:
        return times.seconds_of(agent.last_heartbeat)
    except ValueError:
        return 0.0


async def _claimed(town: Town, agent_ids: Iterable[AgentId]) -> dict[AgentId, int]:
    """How many messages of each are claimed."""
    ids = list(agent_ids)
    commands: list[tuple[Value, ...]] = [("HLEN", town.keys("inflight", agent_id)) for agent_id in ids]
    counts = await town.connection.pipeline(commands, repeat=True) if commands else []
    return dict(zip(ids, cast("list[int]", counts), strict=True))
