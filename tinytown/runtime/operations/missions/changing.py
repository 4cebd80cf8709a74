"""One change of a mission by a person: decided on what is there, committed as a whole, decided again when raced."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import AgentNotFound, Full, TaskNotFound
from tinytown.runtime.operations.task_ends import end_with
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinytown.ids import MissionId, TaskId
    from tinytown.runtime.town import Town
    from tinytown.transport.missions import Changed, SeenMission
    from tinytown.transport.store import Change


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a mission. `kind` and `detail` tell of it; `dropped` are tasks that nobody needs any more."""

    after: Changed
    kind: str
    detail: str
    dropped: tuple[TaskId, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What was committed. `cancelled` are the dropped tasks that had not ended by themselves."""

    after: Changed
    cancelled: tuple[TaskId, ...]


async def change_mission(town: Town, mission_id: MissionId, decide: Callable[[SeenMission], Decision]) -> Made:
    """Do what `decide` makes of the mission, in one commit with the cancelling of its dropped tasks.

    Raises what `decide` raises, and `MissionNotFound`.
    """
    told = True
    while True:
        seen = await town.missions.see(mission_id)
        decision = decide(seen)
        change = town.missions.replace(town.store.change(), seen, decision.after)
        town.missions.tell(change, mission_id, decision.kind, f"{decision.detail}, by {town.caller.name}")
        cancelled = await _cancel(town, change, decision.dropped, decision.detail, told=told)
        try:
            await town.store.commit(change)
        except Raced:
            continue
        except (Full, AgentNotFound):
            # A full mailbox elsewhere, or one that is gone, must not keep a person from stopping a mission.
            if not change.messages:
                raise
            told = False
            continue
        return Made(decision.after, cancelled)


async def _cancel(
    town: Town, change: Change, task_ids: Iterable[TaskId], reason: str, *, told: bool
) -> tuple[TaskId, ...]:
    cancelled = []
    for task_id in dict.fromkeys(task_ids):
        with suppress(TaskNotFound):
            seen = await town.store.see_task(task_id)
            if not seen.record.state.is_terminal:
                after = seen.record.cancel(reason)
                change.replace_task(seen, after)
                await end_with(town, change, seen.record, after, told=told)
                cancelled.append(task_id)
    return tuple(cancelled)
