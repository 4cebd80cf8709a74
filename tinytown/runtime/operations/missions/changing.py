"""One change of a mission by a person: decided on what is there, committed as a whole, decided again when raced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.missions.actions import Plan
from tinytown.actors.missions.handing_out import given_up, take_back, tell_of
from tinytown.errors import AgentNotFound, Full, TaskNotFound
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinytown.ids import MissionId, TaskId
    from tinytown.records import Task
    from tinytown.runtime.town import Town
    from tinytown.transport.missions import Changed, SeenMission
    from tinytown.transport.store import Seen


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a mission. `kind` and `detail` tell of it; `dropped` are tasks that nobody needs any more, beside
    those that it does not wait for by itself then."""

    after: Changed
    kind: str
    detail: str
    dropped: tuple[TaskId, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What was committed. `cancelled` are the tasks that were called off."""

    after: Changed
    cancelled: tuple[TaskId, ...]


async def change_mission(town: Town, mission_id: MissionId, decide: Callable[[SeenMission], Decision]) -> Made:
    """Do what `decide` makes of the mission, in one commit with the cancelling of its dropped tasks.

    Raises what `decide` raises, and `MissionNotFound`.
    """
    tell = True
    while True:
        seen = await town.missions.see(mission_id)
        decision = decide(seen)
        after = Plan(decision.after.mission, decision.after.items, decision.after.watches)
        # The mission itself is told of by the decision, in a person's words.
        before = Plan(after.mission, seen.items, seen.watches)
        change = town.missions.replace(town.store.change(), seen, decision.after)
        town.missions.tell(change, mission_id, decision.kind, f"{decision.detail}, by {town.caller.name}")
        tell_of(town.missions, change, before, after)
        dropped = await _open(town, dict.fromkeys((*decision.dropped, *given_up(before, after))))
        take_back(change, dropped, f"The mission: {decision.detail}", tell=tell)
        try:
            await town.store.commit(change)
        except Raced:
            continue
        except (Full, AgentNotFound):
            # A full mailbox elsewhere, or one that is gone, must not keep a person from stopping a mission.
            if not tell:
                raise
            tell = False
            continue
        return Made(decision.after, tuple(task.record.id for task in dropped))


async def _open(town: Town, task_ids: Iterable[TaskId]) -> list[Seen[Task]]:
    """Those of these tasks that have not ended."""
    found = []
    for task_id in task_ids:
        try:
            seen = await town.store.see_task(task_id)
        except TaskNotFound:
            continue
        if not seen.record.state.is_terminal:
            found.append(seen)
    return found
