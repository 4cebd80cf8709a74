"""Stop a mission, let it go on, tell those who work on it something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.actors.missions.actions import Plan
from tinytown.actors.missions.reconcile import IN_WORK, LIVE, open_tasks
from tinytown.lifecycle import MissionEvent, MissionState
from tinytown.runtime.background import Served, ensure_runtime
from tinytown.runtime.operations.bounds import words
from tinytown.runtime.operations.missions.changing import Decision, change_mission
from tinytown.runtime.operations.missions.picking import one_mission, refuse_over
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line
from tinytown.transport.missions import Changed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.ids import TaskId
    from tinytown.mission_records import Mission, Watch
    from tinytown.runtime.town import Town
    from tinytown.transport.missions import SeenMission

MOST_NOTES = 20
"""Notes that a mission keeps; older ones go."""


@dataclass(frozen=True, slots=True)
class StopMission:
    """A mission, to be gone on with later; with `force` for good: it fails, and its open tasks are cancelled."""

    mission: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class MissionStopped:
    """The mission as it is now. `in_work` are the keys of the items that agents still have, `cancelled` the tasks
    that were called off."""

    mission: Mission
    in_work: tuple[str, ...] = ()
    cancelled: tuple[TaskId, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumeMission:
    """A mission that is stopped or blocked. With `runtime=False` no runtime is started: the caller runs it."""

    mission: str
    runtime: bool = True


@dataclass(frozen=True, slots=True)
class MissionResumed:
    """The mission as it is now; `note` says what a person should know."""

    mission: Mission
    note: str | None = None
    runtime_started: bool = False


@dataclass(frozen=True, slots=True)
class NoteMission:
    """Something that everybody who gets work of the mission is told from now on."""

    message: str = words()
    mission: str | None = None


@dataclass(frozen=True, slots=True)
class MissionNoted:
    """The mission with the note."""

    mission: Mission


@operation("mission.stop", Scope.MANAGE)
async def stop_mission(town: Town, request: StopMission) -> MissionStopped:
    """Stop a mission: nothing new of it is given out, and nothing is merged.

    What agents have goes on to its end. Raises `MissionNotFound`, `AmbiguousId`, and `IllegalTransition` for a
    mission that is over, or stopped already.
    """
    event = MissionEvent.FAIL if request.force else MissionEvent.STOP
    reason = "ended by a person" if request.force else "stopped by a person"

    def decide(seen: SeenMission) -> Decision:
        mission = seen.mission.after(event, times.now(), reason)
        after = Changed(mission, seen.items, seen.watches)
        if not request.force:
            return Decision(after, "mission.stopped", reason)
        # What agents have of it: work, reviews, repairs.
        dropped = open_tasks(Plan(seen.mission, seen.items, seen.watches))
        return Decision(after, "mission.failed", reason, tuple(sorted(dropped)))

    made = await change_mission(town, await town.missions.find(request.mission), decide)
    in_work = () if request.force else tuple(item.key for item in made.after.items if item.state in IN_WORK)
    return MissionStopped(made.after.mission, in_work, made.cancelled)


@operation("mission.resume", Scope.MANAGE)
async def resume_mission(town: Town, request: ResumeMission) -> MissionResumed:
    """Let a stopped or blocked mission go on, or one that was restored.

    All that it watches is looked at anew. Raises `MissionNotFound`, `AmbiguousId`, `IllegalTransition` for one that
    is over, and `RuntimeFailed`.
    """
    note = None

    def decide(seen: SeenMission) -> Decision:
        nonlocal note
        now, state = times.now(), seen.mission.state
        event = {MissionState.STOPPED: MissionEvent.RESUME, MissionState.BLOCKED: MissionEvent.UNBLOCK}.get(state)
        if state in (MissionState.PLANNING, MissionState.RUNNING):
            note = f"It is {state} already"
            mission = replace(seen.mission, updated_at=now)
        else:
            note = None
            mission = seen.mission.after(event or MissionEvent.RESUME, now)
        return Decision(
            Changed(mission, seen.items, tuple(_at_once(seen.watches, now))), "mission.resumed", f"it was {state}"
        )

    made = await change_mission(town, await town.missions.find(request.mission), decide)
    served = await ensure_runtime(town) if request.runtime else Served()
    return MissionResumed(made.after.mission, served.beside(note), served.started)


def _at_once(watches: Iterable[Watch], now: times.Timestamp) -> Iterable[Watch]:
    for watch in watches:
        yield replace(watch, next_due_at=now, failures=0) if watch.state in LIVE else watch


@operation("mission.note", Scope.WRITE)
async def note_mission(town: Town, request: NoteMission) -> MissionNoted:
    """Tell everybody who gets work of a mission something.

    The last 20 notes are kept. Raises `MissionNotFound`, `AmbiguousId`, `Conflict` for a mission that is over,
    `Invalid`, `TooLarge`.
    """
    text = checked_text(request.message, town, what="note")

    def decide(seen: SeenMission) -> Decision:
        refuse_over(seen.mission)
        notes = (*seen.mission.notes, text)[-MOST_NOTES:]
        mission = replace(seen.mission, notes=notes, updated_at=times.now())
        return Decision(Changed(mission, seen.items, seen.watches), "mission.noted", one_line(text, 100))

    made = await change_mission(town, await one_mission(town, request.mission), decide)
    return MissionNoted(made.after.mission)
