"""What only a person lets pass: a stranger's text, a review, an item that nobody could finish.

What must be true: what is approved is the text that was stored, so nobody can change it between the reading and the
approval; and a person's word goes before that of an agent who has the same review.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tinytown import times
from tinytown.actors.missions import outcomes
from tinytown.errors import Conflict, Forbidden
from tinytown.ids import short
from tinytown.lifecycle import TaskState, WorkItemEvent, WorkItemState
from tinytown.runtime.operations.bounds import words
from tinytown.runtime.operations.missions.changing import Decision, change_mission
from tinytown.runtime.operations.missions.picking import one_item, refuse_over, the_item
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse_missions
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line
from tinytown.transport.missions import Changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.ids import MissionId
    from tinytown.mission_records import SourceText, WorkItem
    from tinytown.runtime.town import Town
    from tinytown.transport.missions import SeenMission

Gate = Literal["text", "review", "merge", "person"]
"""What an item waited for: that its text may be used, a review, its merge, or a person for another reason."""


@dataclass(frozen=True, slots=True)
class ApproveItem:
    """A work item by its key, number, id or prefix; with `show` only what would be approved is shown."""

    item: str
    mission: str | None = None
    show: bool = False


@dataclass(frozen=True, slots=True)
class RejectItem:
    """A work item, and why."""

    item: str
    reason: str = words()
    mission: str | None = None


@dataclass(frozen=True, slots=True)
class ItemDecided:
    """The item as it is now. `gate` is what it waited for; None: nothing. `source` is the text that it comes from.

    `notice` says that a runtime was started for it, or why nothing goes on.
    """

    mission_id: MissionId
    item: WorkItem
    gate: Gate | None
    source: SourceText | None = None
    notice: str | None = None


@operation("mission.approve", Scope.MANAGE)
async def approve_item(town: Town, request: ApproveItem) -> ItemDecided:
    """Approve a work item: the text of a stranger, the result of an agent, or that it is tried again.

    What waits for a person is accepted if its work was reported as done, and given out again otherwise.

    Raises `WorkItemNotFound`, `MissionNotFound`, `AmbiguousId`, `Conflict` when it waits for nobody, and `Forbidden`
    for an agent that approves the text of a stranger, who may have told it to.
    """

    def approved(found: WorkItem, now: times.Timestamp) -> WorkItem:
        if gate_of(found) == "text" and town.caller.kind != "person":
            raise Forbidden(
                f"Only a person approves the text of {found.author or 'a stranger'}",
                hint=f"Ask for it: tt mission approve {found.number or short(found.id)}",
            )
        return _approved(found, now, has_result=found.task_id in done)

    mission_id, item = await one_item(town, request.item, request.mission)
    tasks = await town.store.tasks_of([item.task_id] if item.task_id is not None else [])
    done = {task.id for task in tasks if task.state is TaskState.COMPLETED}
    source = (await town.missions.texts(mission_id, [item.id])).get(item.id)
    gate = gate_of(item)
    notice = None
    if not request.show:
        item, notice = await _decide(town, mission_id, item.id, approved, "mission.approved", "approved")
    return ItemDecided(mission_id, item, gate, source, notice)


@operation("mission.reject", Scope.MANAGE)
async def reject_item(town: Town, request: RejectItem) -> ItemDecided:
    """Reject a work item: its owner gets it back with the reason; one whose text is a stranger's fails.

    Raises `WorkItemNotFound`, `MissionNotFound`, `AmbiguousId`, `Invalid` without a reason, and `Conflict` when it
    waits for nobody.
    """
    reason = one_line(checked_text(request.reason, town, what="reason"), 500)
    mission_id, item = await one_item(town, request.item, request.mission)

    def rejected(found: WorkItem, now: times.Timestamp) -> WorkItem:
        if gate_of(found) == "text":
            return found.after(WorkItemEvent.FAIL, now, reason=f"a person rejected its text: {reason}")
        return outcomes.sent_back(found, now, f"a person asks for changes: {reason}")

    gate = gate_of(item)
    item, notice = await _decide(town, mission_id, item.id, rejected, "mission.rejected", f"rejected ({reason})")
    return ItemDecided(mission_id, item, gate, notice=notice)


def gate_of(item: WorkItem) -> Gate | None:
    """What a person can decide about an item; None while it waits for nobody."""
    if item.needs_approval and item.state in (WorkItemState.PENDING, WorkItemState.READY, WorkItemState.BLOCKED):
        return "text"
    gates: dict[str | None, Gate] = {"review": "review", "merge": "merge", "person": "person"}
    return gates.get(item.waits_for) if item.state is WorkItemState.BLOCKED else None


def _approved(item: WorkItem, now: times.Timestamp, *, has_result: bool) -> WorkItem:
    match gate_of(item):
        case "text":
            lifted = replace(item, needs_approval=False, updated_at=now)
            if item.waits_for != "approval":
                return lifted
            return lifted.after(WorkItemEvent.UNBLOCK, now)
        case "review":
            return outcomes.accepted(item, now)
        case "merge":
            # The last commit is approved; the mission may merge it when it is green.
            return replace(item, approved_head=item.head, approver=None, updated_at=now)
        case _ if has_result:
            return outcomes.accepted(item, now)
        case _:
            return outcomes.sent_back(item, now, item.reason or "a person lets it go on")


async def _decide(
    town: Town,
    mission_id: MissionId,
    item_id: str,
    judge: Callable[[WorkItem, times.Timestamp], WorkItem],
    kind: str,
    verb: str,
) -> tuple[WorkItem, str | None]:
    """Store what `judge` makes of the item, and see that a runtime goes on with it; gives it, and what to say."""

    def decide(seen: SeenMission) -> Decision:
        refuse_over(seen.mission)
        before = the_item(seen.items, item_id)
        if gate_of(before) is None:
            raise Conflict(
                f"{before.key or before.id} is {before.state} and waits for nobody's approval",
                hint=f"See why it does not get on: tt mission why {before.number or short(before.id)}",
            )
        after = judge(before, times.now())
        items = tuple(after if item.id == item_id else item for item in seen.items)
        changed = Changed(replace(seen.mission, updated_at=after.updated_at), items, seen.watches)
        return Decision(changed, kind, f"{before.key} {verb}")

    made = await change_mission(town, mission_id, decide)
    return the_item(made.after.items, item_id), await rouse_missions(town)
