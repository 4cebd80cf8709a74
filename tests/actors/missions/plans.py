"""Missions for the tests of what decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinytown.actors.missions.actions import Action, Plan, applied
from tinytown.actors.missions.planner import plan
from tinytown.actors.missions.roles import Worker
from tinytown.ids import AgentId, WorkItemId
from tinytown.mission_records import Mission, WorkItem
from tinytown.times import Timestamp, timestamp

NOW = timestamp(1_800_000_000)


def agent(name: str, role: str | None = None, *, idle: bool = True, load: int = 0) -> Worker:
    return Worker(AgentId(name), role or name, idle, load)


def mission_of(needs: Mapping[int, Sequence[int]], mission: Mission | None = None) -> Plan:
    """A mission whose items are numbers that wait for each other."""
    mission = mission or Mission()
    items = tuple(
        WorkItem(
            mission_id=mission.id,
            title=f"item {number}",
            item_kind="implement",
            id=WorkItemId(f"item-{number}"),
            key=f"o/r#{number}",
            number=number,
            edges=tuple({"on": f"o/r#{each}", "source": "body"} for each in on),
        )
        for number, on in needs.items()
    )
    return Plan(mission, items)


def planned(now_is: Plan, *agents: Worker) -> tuple[Action, ...]:
    return plan(now_is.mission, now_is.items, now_is.watches, agents, NOW)


def ticked(now_is: Plan, *agents: Worker, at: Timestamp = NOW) -> Plan:
    return applied(now_is, planned(now_is, *agents), at)
