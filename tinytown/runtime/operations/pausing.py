"""Agents pause and go on.

The record says what is wanted; the actor, where one lives, is told past its mailbox and does the rest. A pause in
the middle of a turn takes effect at the end of that turn; with `now` the turn is cut, and what it worked on goes
back to its mailbox, as if it had not begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import Conflict, IllegalTransition
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.records import Event
from tinytown.runtime.living import held_agents
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse
from tinytown.transport.delivery import Control, ControlKind
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.records import Agent
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Pause an agent: after its turn, or `now`, cutting the turn."""

    agent: str
    now: bool = False


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The agent as it is stored. `in_turn`: a turn of it was running when it was asked."""

    agent: Agent
    in_turn: bool


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a paused agent go on."""

    agent: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The agent as it is stored. `note` says why nothing will happen yet, or that a runtime was started for it."""

    agent: Agent
    note: str | None = None


@operation("agent.interrupt", Scope.MANAGE)
async def interrupt(town: Town, request: Interrupt) -> Interrupted:
    """Pause an agent.

    Raises `AgentNotFound`, and `IllegalTransition` for one that is paused, ending or has ended. A paused agent
    whose turn still runs can be interrupted `now`.
    """
    agent = await _find(town, request.agent, "interrupted")
    held = agent.id in await held_agents(town, [agent])

    def decide(before: Agent) -> Agent:
        if request.now and before.state is AgentState.PAUSED and before.in_round and held:
            return before
        return _moved(before, AgentEvent.PAUSE)

    how = "now" if request.now else "after its turn"
    kind = ControlKind.CUT if request.now else ControlKind.WAKE
    after = await _tell(town, agent, decide, kind if held else None, "agent.paused", how)
    return Interrupted(after, in_turn=after.in_round and held)


@operation("agent.resume", Scope.MANAGE)
async def resume(town: Town, request: Resume) -> Resumed:
    """Let a paused agent go on.

    Raises `AgentNotFound`, and `IllegalTransition` for one that is not paused.
    """
    agent = await _find(town, request.agent, "resumed")
    held = agent.id in await held_agents(town, [agent])

    def decide(before: Agent) -> Agent:
        if before.state is not AgentState.PAUSED:
            return _moved(before, AgentEvent.RESUME)
        return before.resumed()

    after = await _tell(town, agent, decide, ControlKind.WAKE if held else None, "agent.resumed", "")
    return Resumed(after, await rouse(town, [after]))


async def _find(town: Town, wanted: str, done: str) -> Agent:
    agent = await town.store.find_agent(wanted)
    if agent.id == SUPERVISOR_ID and not agent.acts:
        raise Conflict(f"No conductor is at work that can be {done}", hint='Start one with: tt conductor "goal"')
    return agent


async def _tell(
    town: Town, agent: Agent, decide: Callable[[Agent], Agent], kind: ControlKind | None, event: str, how: str
) -> Agent:
    """Write what is decided, tell the actor with a control message of this kind, and tell the journal."""
    while True:
        seen = await town.store.see_agent(agent.id)
        after = decide(seen.record)
        change = town.store.change().replace_agent(seen, after)
        if kind is None:
            # Whoever may take the agent over looks at it.
            change.ring(after.id)
        else:
            change.control(after.id, Control(kind, after.incarnation, town.caller.name))
        detail = ", ".join(part for part in (after.name, how, f"by {town.caller.name}") if part)
        try:
            await town.store.commit(change.tell(Event(event, agent=after.id, detail=detail)))
        except Raced:
            continue
        return after


def _moved(agent: Agent, event: AgentEvent) -> Agent:
    """The agent after this move; the error of one that is not possible says what is."""
    try:
        return agent.after(event)
    except IllegalTransition as error:
        name = agent.name
        hints = {
            AgentState.PAUSED: f"Let it go on with 'tt resume {name}', or end it with 'tt kill {name}'.",
            AgentState.DRAINING: "It ends after its turn, and takes no other.",
            AgentState.STOPPED: f"Start it again with: tt restart {name}",
            AgentState.ERROR: f"See why with 'tt why {name}', then 'tt restart {name}'.",
        }
        asked = "interrupt" if event is AgentEvent.PAUSE else "resume"
        raise IllegalTransition(
            error.what, now=error.now, event=asked, hint=hints.get(agent.state, "It is not paused.")
        ) from None
