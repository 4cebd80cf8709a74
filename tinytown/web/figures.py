"""The figures of a town, for whoever watches or scales it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import trio

from tinytown import times
from tinytown.ids import AgentId
from tinytown.lifecycle import AgentState, MissionState, TaskState
from tinytown.runtime.operations.overview import Overview, overview
from tinytown.runtime.operations.status import tallied
from tinytown.transport.questions import ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinytown.messages import JsonObject
    from tinytown.records import Agent
    from tinytown.runtime.town import Town

IDLE_SECONDS = 300.0
"""All agents idle for so long, and nothing to do: then none is needed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How a town stands. `latency` is how long Redis took to answer, in seconds."""

    town: str
    agents: tuple[Agent, ...]
    tasks: Mapping[TaskState, int]
    backlog: int
    dead_letters: int
    quarantined: int
    waiting: int
    urgent: int
    in_hand: int
    conductor_waiting: int
    runtimes: int
    missions: Mapping[MissionState, int]
    missions_active: int
    max_agents: int
    latency: float

    @property
    def pending(self) -> int:
        """Work that nobody has begun."""
        return self.backlog + self.tasks[TaskState.ASSIGNED]

    @property
    def active(self) -> tuple[Agent, ...]:
        """The agents that have not ended."""
        return tuple(agent for agent in self.agents if not agent.state.is_terminal)

    def by_state(self) -> dict[AgentState, int]:
        """How many agents are in each state."""
        counts = dict.fromkeys(AgentState, 0)
        for agent in self.agents:
            counts[agent.state] += 1
        return counts

    def tokens(self) -> dict[str, int]:
        """What the agents of each CLI say that they have used."""
        used: dict[str, int] = {}
        for agent in self.agents:
            if agent.tokens_used:
                used[agent.cli] = used.get(agent.cli, 0) + agent.tokens_used
        return used


async def figures_of(town: Town) -> Figures:
    """Read them. Raises the kinds of `Unavailable`."""
    latency = await ping(town)
    picture = await overview(town, Overview(events=0, tasks=0))
    (counts,) = await ask(town.connection, tallied(town))
    lines = picture.agents
    return Figures(
        town=picture.name,
        agents=tuple(line.agent for line in lines),
        tasks=picture.task_counts,
        backlog=picture.backlog,
        dead_letters=counts[-2],
        quarantined=counts[-1],
        waiting=sum(line.mail.waiting for line in lines),
        urgent=sum(line.mail.urgent for line in lines),
        in_hand=sum(line.mail.in_hand for line in lines),
        conductor_waiting=picture.conductor.waiting,
        runtimes=len(picture.runtimes),
        missions=await _missions(town),
        missions_active=len(await town.missions.active()),
        max_agents=town.settings.max_agents,
        latency=latency,
    )


async def _missions(town: Town) -> dict[MissionState, int]:
    counts = dict.fromkeys(MissionState, 0)
    for mission in await town.missions.all():
        counts[mission.state] += 1
    return counts


async def dispatcher(town: Town) -> Literal["idle", "running", "stalled"]:
    """Whether missions get on: there is none to work on, a runtime that lives has one in hand, or none has."""
    active = [AgentId(each) for each in await town.missions.active()]
    if not active:
        return "idle"
    holders = (await town.placement.holders(active)).values()
    (living,) = await ask(town.connection, town.placement.living())
    return "running" if set(holders) & set(living) else "stalled"


async def ping(town: Town) -> float:
    """Seconds until Redis has answered."""
    began = trio.current_time()
    await town.connection.execute("PING", repeat=True)
    return trio.current_time() - began


def scaling(found: Figures, now: float) -> JsonObject:
    """How many agents there should be, and what to do about it; `now` in seconds since 1970."""
    pending, in_flight = found.pending, found.tasks[TaskState.RUNNING]
    active = found.active
    desired = min(pending + in_flight, found.max_agents)
    return {
        "town": found.town,
        "timestamp": times.timestamp(now),
        "queue_depth": found.waiting,
        "pending_tasks": pending,
        "in_flight_tasks": in_flight,
        "active_agents": len(active),
        "cold_agents": len(found.agents) - len(active),
        "desired_agents": desired,
        "max_agents": found.max_agents,
        "scaling_recommendation": _recommendation(active, desired, pending, in_flight, now),
    }


def _recommendation(active: Sequence[Agent], desired: int, pending: int, in_flight: int, now: float) -> str:
    if not pending and not in_flight and active and all(_idle_for(agent, now) >= IDLE_SECONDS for agent in active):
        return "scale_to_zero"
    if desired > len(active):
        return "scale_up"
    if desired < len(active) and not pending:
        return "scale_down"
    return "steady"


def _idle_for(agent: Agent, now: float) -> float:
    if agent.state is not AgentState.IDLE:
        return 0.0
    try:
        return now - times.seconds_of(agent.last_active_at or agent.created_at)
    except ValueError:
        return 0.0
