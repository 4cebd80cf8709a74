"""Missions as people see them: all, one with all that belongs to it, what happened in it, why it does not get on."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.missions.reconcile import IN_WORK, OPEN, workers
from tinytown.errors import BadMessage, MissionNotFound, WorkItemNotFound
from tinytown.ids import TaskId, short
from tinytown.lifecycle import WorkItemState
from tinytown.runtime.living import living
from tinytown.runtime.operations.bounds import whole
from tinytown.runtime.operations.missions.names import home_of, label
from tinytown.runtime.operations.missions.picking import OVER, one_item, one_mission, the_item
from tinytown.runtime.operations.missions.reasons import (
    MissionFact,
    MissionReason,
    MissionSituation,
    of_item,
    of_mission,
    states,
)
from tinytown.runtime.operations.missions.watch_reasons import is_put_off, until_due
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.missions import EVENTS_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.ids import MissionId
    from tinytown.mission_records import Mission, Watch, WorkItem
    from tinytown.records import Event
    from tinytown.runtime.town import Town
    from tinytown.transport.missions import SeenMission


@dataclass(frozen=True, slots=True)
class ListMissions:
    """Those that are not over; with `everything` also completed and failed ones."""

    everything: bool = False


@dataclass(frozen=True, slots=True)
class MissionSummary:
    """A mission, and how many of its work items stand how."""

    mission: Mission
    items: int
    done: int
    in_work: int
    blocked: int


@dataclass(frozen=True, slots=True)
class MissionList:
    """Newest first. `damaged` are the ids of missions of which a part cannot be read."""

    missions: tuple[MissionSummary, ...]
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowMission:
    """A mission by id or unique prefix."""

    mission: str


@dataclass(frozen=True, slots=True)
class ItemView:
    """A work item for people: what it comes from, whose it is, and what it waits for."""

    item: WorkItem
    label: str
    agent_name: str
    why: str
    advice: str
    fact: MissionFact
    depends_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WatchView:
    """A watch, and in how many seconds it is looked at again; `limited`: a limit of GitHub puts that off."""

    watch: Watch
    due_in: int
    limited: bool


@dataclass(frozen=True, slots=True)
class MissionView:
    """A mission with all that belongs to it; `why` says what holds it as a whole."""

    mission: Mission
    items: tuple[ItemView, ...]
    watches: tuple[WatchView, ...]
    why: str
    advice: str
    fact: MissionFact


@dataclass(frozen=True, slots=True)
class MissionEvents:
    """The last `count` events of a mission; without a name of the only one that is not over."""

    mission: str | None = None
    count: int = whole("number of events", 1, EVENTS_KEPT, default=20)


@dataclass(frozen=True, slots=True)
class MissionEventList:
    """Oldest first. `names` are those of the agents, by id."""

    mission_id: MissionId
    events: tuple[Event, ...]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WhyMission:
    """A work item, or without one a mission; without a mission the only one that is not over."""

    item: str | None = None
    mission: str | None = None


@dataclass(frozen=True, slots=True)
class MissionAnswer:
    """`sentence` names the fact; `advice` is a command or a hint, empty when there is nothing to do."""

    mission_id: MissionId
    item_id: str | None
    fact: MissionFact
    sentence: str
    advice: str = ""


@operation("mission.list", Scope.READ)
async def list_missions(town: Town, request: ListMissions) -> MissionList:
    """List the missions of the town."""
    found = [each for each in await town.missions.all() if request.everything or each.state not in OVER]
    summaries, damaged = [], []
    for mission in found:
        # One that was cleared meanwhile is no longer listed.
        with suppress(MissionNotFound):
            try:
                summaries.append(_summary(await town.missions.see(mission.id)))
            except BadMessage:
                damaged.append(str(mission.id))
    return MissionList(tuple(summaries), tuple(damaged))


def _summary(seen: SeenMission) -> MissionSummary:
    count = states(seen.items)
    return MissionSummary(
        seen.mission,
        items=len(seen.items),
        done=count.get(WorkItemState.DONE, 0),
        in_work=sum(count.get(state, 0) for state in IN_WORK),
        blocked=count.get(WorkItemState.BLOCKED, 0),
    )


@operation("mission.status", Scope.READ)
async def show_mission(town: Town, request: ShowMission) -> MissionView:
    """Show a mission with its work items and watches, and why each of them waits.

    Raises `MissionNotFound`, `AmbiguousId`.
    """
    situation = await situation_of(town, await town.missions.find(request.mission))
    home = home_of(situation.mission)
    whole = of_mission(situation)
    items = []
    for item in situation.items:
        reason = of_item(situation, item)
        name = situation.name(item.assigned_to) if item.assigned_to is not None else ""
        items.append(
            ItemView(item, label(item, home), name, reason.predicate, reason.advice, reason.fact, item.depends_on)
        )
    watches = [
        WatchView(watch, until_due(watch, situation.now), is_put_off(watch, situation.now))
        for watch in situation.watches
    ]
    return MissionView(situation.mission, tuple(items), tuple(watches), whole.predicate, whole.advice, whole.fact)


@operation("mission.events", Scope.READ)
async def mission_events(town: Town, request: MissionEvents) -> MissionEventList:
    """Show what happened in a mission last.

    Raises `MissionNotFound`, `AmbiguousId`, `Invalid`, and `NotFound` when none is named and there is none.
    """
    mission_id = await one_mission(town, request.mission)
    # A prefix is looked up in the index, a whole id is taken as it is.
    await town.missions.see(mission_id)
    names = {str(agent_id): name for agent_id, name in (await town.store.names()).items()}
    return MissionEventList(mission_id, tuple(await town.missions.events(mission_id, request.count)), names)


@operation("mission.why", Scope.READ)
async def why_mission(town: Town, request: WhyMission) -> MissionAnswer:
    """Say what a work item or a mission waits for.

    Raises `MissionNotFound`, `WorkItemNotFound`, `AmbiguousId`, and `NotFound` when there is no mission.
    """
    mission_id, item_id = await _subject(town, request)
    situation = await situation_of(town, mission_id)
    if item_id is None:
        return _answer(mission_id, None, f"Mission {short(mission_id)}", of_mission(situation))
    item = the_item(situation.items, item_id)
    return _answer(mission_id, item.id, situation.called(item), of_item(situation, item))


async def _subject(town: Town, request: WhyMission) -> tuple[MissionId, str | None]:
    if request.item is None:
        return await one_mission(town, request.mission), None
    try:
        mission_id, item = await one_item(town, request.item, request.mission)
    except WorkItemNotFound:
        if request.mission is None:
            # People ask about a mission by its id, too.
            with suppress(MissionNotFound):
                return await town.missions.find(request.item), None
        raise
    return mission_id, item.id


def _answer(mission_id: MissionId, item_id: str | None, what: str, reason: MissionReason) -> MissionAnswer:
    return MissionAnswer(
        mission_id, item_id, reason.fact, f"{what} {reason.predicate}".rstrip(".") + ".", reason.advice
    )


async def situation_of(town: Town, mission_id: MissionId) -> MissionSituation:
    """All that is known of a mission now; `MissionNotFound`."""
    seen = await town.missions.see(mission_id)
    named = {item.task_id for item in seen.items} | {item.review_task_id for item in seen.items}
    named |= {watch.fix_task_id for watch in seen.watches}
    ids: list[TaskId] = sorted(task_id for task_id in named if task_id is not None)
    tasks = {task.id: task for task in await town.store.tasks_of(ids)}
    open_ones = [task for state in OPEN for task in await town.store.tasks(state)]
    agents = await town.store.agents()
    return MissionSituation(
        mission=seen.mission,
        items=seen.items,
        watches=seen.watches,
        agents=agents,
        workers=workers(agents, open_ones),
        now=time.time(),
        runtimes=len(await living(town)),
        tasks=tasks,
    )
