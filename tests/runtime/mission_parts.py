"""Missions in a real town, without GitHub: stored as the start of one stores them, and moved as a scheduler does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from tinytown import times
from tinytown.ids import AgentId, TaskId, WorkItemId
from tinytown.lifecycle import MissionEvent, WorkItemState
from tinytown.mission_records import Mission, SourceText, Watch, WorkItem
from tinytown.records import Agent, Task
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.missions import Changed, SeenMission, update_mission


def begun(town: Town, needs: Mapping[int, Sequence[int]], *, running: bool = True, **rules: object) -> Mission:
    """A mission whose items are the issues of o/r with these numbers, which wait for each other."""
    mission = Mission(objectives=tuple(f"o/r#{number}" for number in needs), home="github.com/o/r", **rules)  # type: ignore[arg-type]
    if running:
        mission = mission.after(MissionEvent.START, times.now())
    items = tuple(
        WorkItem(
            mission_id=mission.id,
            title=f"item {number}",
            item_kind="implement",
            id=WorkItemId(str(uuid5(NAMESPACE_URL, f"{mission.id}/{number}"))),
            key=f"o/r#{number}",
            number=number,
            source_ref=f"o/r#{number}",
            author="ann",
            edges=tuple({"on": f"o/r#{each}", "source": "body"} for each in on),
        )
        for number, on in needs.items()
    )
    texts = {item.id: SourceText("ann", "MEMBER", f"the text of {item.key}") for item in items}
    change = town.missions.create(town.store.change(), Changed(mission, items, (), texts))
    run_sync(town.store.commit(change))
    return mission


def see(town: Town, mission: Mission) -> SeenMission:
    return run_sync(town.missions.see(mission.id))


def item_of(town: Town, mission: Mission, number: int) -> WorkItem:
    return next(item for item in see(town, mission).items if item.number == number)


def alter(town: Town, mission: Mission, decide: Callable[[SeenMission], Changed]) -> None:
    run_sync(update_mission(town.store, town.missions, mission.id, decide))


def set_item(town: Town, mission: Mission, number: int, **fields: object) -> WorkItem:
    """Let an item be so."""

    def decide(seen: SeenMission) -> Changed:
        items = tuple(replace(item, **fields) if item.number == number else item for item in seen.items)  # type: ignore[arg-type]
        return Changed(seen.mission, items, seen.watches)

    alter(town, mission, decide)
    return item_of(town, mission, number)


def set_watches(town: Town, mission: Mission, *watches: Watch) -> None:
    alter(town, mission, lambda seen: Changed(seen.mission, seen.items, watches))


def give(town: Town, agent: Agent, text: str = "work") -> Task:
    return run_sync(assign(town, Assign(agent.name, text))).task


def in_review(town: Town, mission: Mission, number: int, owner: AgentId, review: TaskId | None = None) -> WorkItem:
    """An item with a pull request that waits for its review."""
    return set_item(
        town,
        mission,
        number,
        state=WorkItemState.BLOCKED,
        waits_for="review",
        assigned_to=owner,
        attempts=1,
        pull=f"o/r#{number + 40}",
        head="abc",
        review_task_id=review,
    )
