"""Reclaiming: the work of agents that have ended goes to others.

Without a destination it only looks, and changes nothing. With one, everything that an agent has left is handed over
in one step (`tinytown.actors.handover`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.handover import OPEN, HandedOver, Handover, Then
from tinytown.errors import Conflict, Invalid
from tinytown.ids import SUPERVISOR_ID
from tinytown.messages import TaskAssign
from tinytown.runtime.living import held_agents
from tinytown.runtime.operations.backlog import backlog_of
from tinytown.runtime.operations.recovering import bring_back
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse
from tinytown.transport.mailroom import Mailroom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.ids import AgentId
    from tinytown.messages import Message
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Look at what ended agents have left, or move it: to the backlog, or to an agent (name, id or prefix).

    `source` is the only agent it is taken from. `force` takes it from one that has not ended, which ends it, and
    from a turn that still runs.
    """

    to_backlog: bool = False
    to: str | None = None
    source: str | None = None
    force: bool = False

    @property
    def is_preview(self) -> bool:
        """It changes nothing."""
        return not self.to_backlog and self.to is None


@dataclass(frozen=True, slots=True)
class Left:
    """What an agent has left: its messages in the order of reading, and open tasks that none of them speaks of.

    `unreadable` are bytes that are no message.
    """

    agent: Agent
    messages: tuple[Message, ...]
    tasks: tuple[Task, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """`left` is what a preview has found, `moved` what was moved; `to` is the agent that has it now.

    `busy` are agents that were left alone because a turn has messages of theirs in hand.
    """

    left: tuple[Left, ...] = ()
    moved: tuple[HandedOver, ...] = ()
    to: Agent | None = None
    busy: tuple[Agent, ...] = ()
    note: str | None = None
    """What keeps `to` from beginning, or that a runtime was started for it."""


@operation("recovery.reclaim", Scope.MANAGE)
async def reclaim(town: Town, request: Reclaim) -> Reclaimed:
    """Move the work of ended agents elsewhere; without a destination show it and change nothing.

    Raises `AgentNotFound`, `Invalid`, `Conflict` for an agent that has not ended, and `MailboxFull`.
    """
    if request.to_backlog and request.to is not None:
        raise Invalid("Either the backlog or an agent", hint="Say --to-backlog or --to AGENT.")
    heir = await _heir(town, request.to) if request.to is not None else None
    agents = await _sources(town, request)
    if heir is not None and heir.id in {agent.id for agent in agents}:
        raise Conflict(f"Agent '{heir.name}' has it already", hint="Name another agent.")
    if request.is_preview:
        return Reclaimed(left=await _left(town, agents))
    handover = handover_of(town)
    tasks = await handover.tasks_of(agents)
    busy = set() if request.force else await busy_agents(town, agents)
    moved = []
    for agent in agents:
        if agent.id in busy:
            continue
        then = Then.STAYS if agent.state.is_terminal else Then.ENDS
        mine = tasks.get(agent.id, [])
        if heir is not None:
            done = await handover.to_agent(agent, heir, mine, then=then, by_force=request.force)
        else:
            done = await handover.to_backlog(agent, mine, then=then, by_force=request.force)
        if done.pieces:
            moved.append(done)
    left_alone = tuple(agent for agent in agents if agent.id in busy)
    note = await rouse(town, [heir]) if heir is not None and moved else None
    return Reclaimed(moved=tuple(moved), to=heir, busy=left_alone, note=note)


def handover_of(town: Town) -> Handover:
    """What hands over in this town."""
    mailroom = Mailroom(town.connection, town.keys, town.store)
    return Handover(town.store, town.keys, mailroom, backlog_of(town), by=town.caller.name)


async def busy_agents(town: Town, agents: Sequence[Agent]) -> set[AgentId]:
    """Those with messages in the hands of a turn that may still run.

    What a dead runtime had in hand is brought back.
    """
    contents = await Mailroom(town.connection, town.keys, town.store).contents([agent.id for agent in agents])
    in_hand = [agent for agent, found in zip(agents, contents, strict=True) if found.in_hand]
    held = await held_agents(town, in_hand)
    await bring_back(town, [agent for agent in in_hand if agent.id not in held])
    return {agent.id for agent in in_hand if agent.id in held}


async def _heir(town: Town, name: str) -> Agent:
    heir = await town.store.find_agent(name)
    if heir.state.is_terminal:
        raise Conflict(
            f"Agent '{heir.name}' has ended itself ({heir.state.capitalize()})",
            hint=f"Start it again with 'tt restart {heir.name}', or name one that is alive.",
        )
    return heir


async def _sources(town: Town, request: Reclaim) -> list[Agent]:
    if request.source is None:
        return [agent for agent in await town.store.agents() if agent.state.is_terminal]
    agent = await town.store.find_agent(request.source)
    if agent.id == SUPERVISOR_ID:
        raise Conflict("The conductor's mailbox is nobody's leftover", hint="Read it with: tt inbox conductor")
    if not agent.state.is_terminal and not request.force:
        raise Conflict(
            f"Agent '{agent.name}' has not ended ({agent.state.capitalize()})",
            hint=f"End it first with 'tt kill {agent.name}', or take its work at once with --force.",
        )
    return [agent]


async def _left(town: Town, agents: Sequence[Agent]) -> tuple[Left, ...]:
    mailroom = Mailroom(town.connection, town.keys, town.store)
    found = await mailroom.contents([agent.id for agent in agents])
    bodies = [letter.message.body for contents in found for letter in contents.letters if letter.message is not None]
    spoken = {body.task_id for body in bodies if isinstance(body, TaskAssign)}
    wanted = {agent.id for agent in agents}
    silent: dict[AgentId, list[Task]] = {}
    for state in OPEN[1:]:
        for task in await town.store.tasks(state):
            if task.assigned_to in wanted and task.id not in spoken:
                silent.setdefault(task.assigned_to, []).append(task)
    left = [
        Left(
            agent,
            tuple(letter.message for letter in contents.letters if letter.message is not None),
            tuple(silent.get(agent.id, ())),
            sum(letter.message is None for letter in contents.letters),
        )
        for agent, contents in zip(agents, found, strict=True)
    ]
    return tuple(each for each in left if each.messages or each.tasks or each.unreadable)
