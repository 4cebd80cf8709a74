"""How agents end: asked to, or at once.

Whoever writes last never overwrites: an end is a compare-and-set on the record, decided by the tables. The actor,
where one lives, is told past its mailbox; where none lives, the record is brought to its end here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tinytown.errors import AgentNotFound, Conflict, Full, IllegalTransition
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AGENT, AgentEvent, AgentState, TaskState
from tinytown.messages import Informational, Message, Priority
from tinytown.records import Event
from tinytown.runtime.living import held_agents
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.delivery import Control, ControlKind
from tinytown.transport.placement import STAND_DOWN
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.store import Change


@dataclass(frozen=True, slots=True)
class Kill:
    """End an agent: after its turn, or `now`."""

    agent: str
    now: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Let an agent end: it takes no new turn, and ends after the one that runs."""

    agent: str


@dataclass(frozen=True, slots=True)
class Killed:
    """`immediate`: it has ended already."""

    agent: Agent
    immediate: bool


@dataclass(frozen=True, slots=True)
class StopTown:
    """End all agents of the town."""

    now: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """How many agents were asked to end, and which; their records as they are by then.

    `missions` are those that rest until somebody is there to work on them.
    """

    count: int
    agents: tuple[Agent, ...] = ()
    missions: int = 0


@operation("agent.kill", Scope.MANAGE)
async def kill(town: Town, request: Kill) -> Killed:
    """End an agent.

    Raises `AgentNotFound`, and `IllegalTransition` for one that is stopped already.
    """
    agent = await town.store.find_agent(request.agent)
    _refuse_resting(agent)
    return await _end(town, agent, _KILL, now=request.now, held=agent.id in await held_agents(town, [agent]))


@operation("agent.close", Scope.MANAGE)
async def close(town: Town, request: Close) -> Killed:
    """Let an agent end after its turn; what waits in its mailbox stays there.

    Raises `AgentNotFound`, and `IllegalTransition` for one that is stopped already.
    """
    agent = await town.store.find_agent(request.agent)
    _refuse_resting(agent)
    return await _end(town, agent, _CLOSE, now=False, held=agent.id in await held_agents(town, [agent]))


@operation("town.stop", Scope.MANAGE)
async def stop_town(town: Town, request: StopTown) -> Stopped:
    """Ask all agents of the town to end.

    Missions rest until there is an agent again.
    """
    everybody = [await town.store.agent(SUPERVISOR_ID), *await town.store.agents()]
    alive = [agent for agent in everybody if agent.acts]
    held = await held_agents(town, alive)
    asked = []
    for agent in alive:
        try:
            asked.append((await _end(town, agent, _KILL, now=request.now, held=agent.id in held)).agent)
        except IllegalTransition:
            # It ended by itself in the meantime.
            continue
    await town.connection.execute("PUBLISH", town.keys("bell"), STAND_DOWN)
    return Stopped(len(asked), tuple(asked), len(await town.missions.active()))


def _refuse_resting(agent: Agent) -> None:
    if agent.id == SUPERVISOR_ID and not agent.acts:
        raise Conflict("No conductor is at work", hint='Start one with: tt conductor "goal"')


class _Word(NamedTuple):
    """What a person asked for, and the event that tells of it."""

    asked: str
    event: str


_KILL, _CLOSE = _Word("kill", "agent.killed"), _Word("close", "agent.closed")


async def _end(town: Town, agent: Agent, word: _Word, *, now: bool, held: bool) -> Killed:
    told = True
    while True:
        seen = await town.store.see_agent(agent.id)
        move = _move(seen.record, word.asked, held=held)
        after = seen.record.after(move) if move is not None else seen.record
        change = town.store.change().replace_agent(seen, after)
        if held:
            kind = ControlKind.STOP if now else ControlKind.WAKE
            change.control(after.id, Control(kind, after.incarnation, town.caller.name))
        how = "now" if now else "after its turn"
        change.tell(Event(word.event, agent=after.id, detail=f"{after.name}, {how}, by {town.caller.name}"))
        if after.state.is_terminal:
            await _close(town, change, after)
        if told:
            await _tell_parent(town, change, after, word)
        try:
            await town.store.commit(change)
        except Raced:
            continue
        except (Full, AgentNotFound):
            # A mailbox that takes nothing must not keep an agent from ending.
            if not change.messages:
                raise
            told = False
            continue
        return Killed(after, after.state.is_terminal)


async def _tell_parent(town: Town, change: Change, agent: Agent, word: _Word) -> None:
    """Whoever started it hears of the end that somebody else has asked for."""
    parent = agent.parent_agent_id
    if parent is None or parent == agent.id or (town.caller.kind == "agent" and town.caller.agent_id == parent):
        return
    found = await town.store.agents_of([parent])
    if found and found[0].acts:
        text = f"Agent '{agent.name}' ends: {word.asked}, by {town.caller.name}. What it has not done waits for it."
        change.send(Message(agent.id, parent, Informational(text), Priority.HIGH))


def _move(agent: Agent, asked: str, *, held: bool) -> AgentEvent | None:
    """What has to happen to the record, None when it says already what is wanted. A living actor does the rest."""
    if agent.state is AgentState.STOPPED:
        raise IllegalTransition(
            f"Agent '{agent.name}'",
            now=agent.state.value,
            event=asked,
            hint=f"It has ended already. Start it again with: tt restart {agent.name}",
        )
    if not held or agent.state is AgentState.ERROR:
        return AgentEvent.STOP
    return AgentEvent.DRAIN if AgentEvent.DRAIN in AGENT[agent.state] else None


async def _close(town: Town, change: Change, agent: Agent) -> None:
    """The agent has ended with this change: what it was at waits for its next life, and nobody need take it."""
    for task in await town.store.tasks(TaskState.RUNNING):
        if task.assigned_to == agent.id:
            seen = await town.store.see_task(task.id)
            if seen.record.state is TaskState.RUNNING and seen.record.assigned_to == agent.id:
                change.replace_task(seen, seen.record.returned())
    change.write("SREM", town.keys("unplaced"), agent.id)
    rounds = f"{agent.rounds_completed}/{agent.max_rounds} rounds"
    change.tell(Event("agent.stopped", agent=agent.id, detail=f"{agent.name} stopped, completed {rounds}"))
