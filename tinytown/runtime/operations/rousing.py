"""Work brings the town to life: whoever gives some to an agent of this host needs not start a runtime first.

Where a runtime lives this costs a look at a lock file, and asks Redis nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import TownError
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentState
from tinytown.runtime.living import NONE_LIVES, being_stopped, held_agents, living

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.messages import Message
    from tinytown.records import Agent
    from tinytown.runtime.town import Town

STARTED = "No runtime was alive: one was started in the background"


async def see_to(town: Town, agent: Agent) -> str | None:
    """See that the agent begins with what it was given; says what a person should know of that.

    That is why it will not begin yet, or that a runtime was started for it.
    """
    if is_a_person(agent):
        return None
    return in_the_way(agent) or await rouse(town, [agent])


def is_a_person(agent: Agent) -> bool:
    """Whether its mailbox is read by a person: the supervisor's is, while no conductor acts."""
    return agent.id == SUPERVISOR_ID and not agent.acts


def in_the_way(agent: Agent) -> str | None:
    """Why the agent, as it stands, begins with nothing that it is given."""
    name = agent.name
    if agent.state.is_terminal:
        return f"Agent '{name}' is {agent.state}: it will begin after 'tt restart {name}'"
    if agent.state is AgentState.PAUSED:
        return f"Agent '{name}' is paused: it will begin after 'tt resume {name}'"
    if agent.state is AgentState.DRAINING:
        return f"Agent '{name}' is ending: it will begin after 'tt restart {name}'"
    return None


async def without_runtime(town: Town) -> str | None:
    """What to say where no runtime lives and none shall be started: to who only looks."""
    return None if await living(town) else NONE_LIVES


async def rouse(town: Town, agents: Sequence[Agent]) -> str | None:
    """See that a runtime lives that has these agents act, where they can; says what a person should know of that.

    One is started for agents of this host, when none lives here and none elsewhere has taken them over. What they
    were given stays stored when it cannot be started, and beside one that ends: whoever ended it does not want
    another. An agent starts none: whatever comes out of its round would have the environment of that round, and end
    with it.
    """
    agents = [agent for agent in agents if agent.acts and agent.state is not AgentState.PAUSED]
    host = town.ground.host
    if town.ground.state.runtime_lives():
        return being_stopped(town) if any(agent.host == host for agent in agents) else None
    ours = [agent for agent in agents if agent.host == host] if town.caller.kind == "person" else []
    if ours:
        held = await held_agents(town, ours)
        ours = [agent for agent in ours if agent.id not in held]
    if not ours:
        return await without_runtime(town) if agents else None
    return await _started(town)


async def rouse_for(town: Town, messages: Iterable[Message]) -> str | None:
    """As `rouse`, for those whom these messages ask for work."""
    to = {message.to for message in messages if message.starts_a_round()}
    if not to:
        return None
    if town.ground.state.runtime_lives():
        # Whose they are is not asked for.
        return being_stopped(town)
    return await rouse(town, await town.store.agents_of(sorted(to)))


async def rouse_missions(town: Town) -> str | None:
    """As `rouse`, for the missions that go on: one living runtime, wherever it is, works on them."""
    if town.ground.state.runtime_lives():
        return being_stopped(town)
    if await living(town) or not await town.missions.active():
        return None
    return await _started(town) if town.caller.kind == "person" else NONE_LIVES


async def _started(town: Town) -> str | None:
    from tinytown.runtime.background import ensure_runtime

    try:
        served = await ensure_runtime(town)
    except TownError as error:
        return f"It is stored, and will begin after 'tt start'. {error.message}"
    return STARTED if served.started else served.note
