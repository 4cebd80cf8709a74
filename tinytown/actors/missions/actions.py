"""What a planner may want done, and what each of it changes in the records. No I/O.

Every action that makes a task carries the id of that task, made from what the action is for. So an action that was
done, and whose doer died before he could say so, makes nothing a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from tinytown.ids import AgentId, MissionId, TaskId, WatchId, WorkItemId
from tinytown.lifecycle import MissionEvent, WorkItemEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from tinytown.mission_records import Mission, Watch, WorkItem
    from tinytown.times import Timestamp


@dataclass(frozen=True, slots=True)
class MoveMission:
    """The mission itself moves."""

    event: MissionEvent
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MoveItem:
    """An item moves without a task."""

    item: WorkItemId
    event: WorkItemEvent
    reason: str | None = None
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class AssignItem:
    """An agent gets the item as a task."""

    item: WorkItemId
    agent: AgentId
    task: TaskId


@dataclass(frozen=True, slots=True)
class AskReview:
    """An agent gets the review of an item; `head` is the commit it is about, None without a pull request."""

    item: WorkItemId
    agent: AgentId
    task: TaskId
    head: str | None


@dataclass(frozen=True, slots=True)
class AskFix:
    """The owner of an item gets something to mend. `keys` are remembered as handled."""

    item: WorkItemId
    watch: WatchId
    agent: AgentId
    task: TaskId
    findings: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MergePull:
    """The pull request of an item is merged, if its head is still this one."""

    item: WorkItemId
    pull: str
    head: str


@dataclass(frozen=True, slots=True)
class RerunChecks:
    """Checks of this head that broke off are run again, once."""

    item: WorkItemId
    watch: WatchId
    pull: str
    head: str

    @property
    def key(self) -> str:
        """What is remembered as handled."""
        return f"rerun/{self.head}"


@dataclass(frozen=True, slots=True)
class UpdateBranch:
    """The base is merged into the branch of a pull request that is behind it, once for this head."""

    item: WorkItemId
    watch: WatchId
    pull: str
    head: str

    @property
    def key(self) -> str:
        """What is remembered as handled."""
        return f"update/{self.head}"


Outward: TypeAlias = "MergePull | RerunChecks | UpdateBranch"
"""What is done at GitHub, after it was written down here."""

Action: TypeAlias = "MoveMission | MoveItem | AssignItem | AskReview | AskFix | Outward"


def task_id(mission: MissionId, *what: object) -> TaskId:
    """The id of the task for this, always the same."""
    return TaskId(str(uuid5(UUID(mission), "/".join(map(str, what)))))


@dataclass(frozen=True, slots=True)
class Plan:
    """A mission with all that belongs to it."""

    mission: Mission
    items: tuple[WorkItem, ...]
    watches: tuple[Watch, ...] = ()

    def item(self, item_id: WorkItemId) -> WorkItem:
        """The item of this id."""
        return next(item for item in self.items if item.id == item_id)

    def with_item(self, *after: WorkItem) -> Plan:
        """The plan with items replaced."""
        new = {item.id: item for item in after}
        return replace(self, items=tuple(new.get(item.id, item) for item in self.items)) if new else self

    def with_watch(self, *after: Watch) -> Plan:
        """The plan with watches replaced."""
        new = {watch.id: watch for watch in after}
        return replace(self, watches=tuple(new.get(watch.id, watch) for watch in self.watches)) if new else self


def applied(plan: Plan, actions: Sequence[Action] | Iterable[Action], now: Timestamp) -> Plan:
    """The plan when these actions are done; `IllegalTransition` for one that does not fit."""
    for action in actions:
        plan = _applied(plan, action, now)
    return plan


def _applied(plan: Plan, action: Action, now: Timestamp) -> Plan:
    if isinstance(action, MoveMission):
        return replace(plan, mission=plan.mission.after(action.event, now, action.reason))
    item = plan.item(action.item)
    if isinstance(action, MoveItem):
        return plan.with_item(item.after(action.event, now, reason=action.reason, waits_for=action.waits_for))
    if isinstance(action, AssignItem):
        given = item.after(WorkItemEvent.ASSIGN, now, reason=item.reason)
        return plan.with_item(replace(given, assigned_to=action.agent, task_id=action.task, attempts=item.attempts + 1))
    if isinstance(action, AskReview):
        return plan.with_item(replace(item, review_task_id=action.task, updated_at=now))
    if isinstance(action, AskFix):
        watch = next(each for each in plan.watches if each.id == action.watch)
        return plan.with_watch(replace(watch, fix_task_id=action.task, handled=(*watch.handled, *action.keys)))
    if isinstance(action, RerunChecks | UpdateBranch):
        watch = next(each for each in plan.watches if each.id == action.watch)
        return plan.with_watch(replace(watch, handled=(*watch.handled, action.key)))
    return plan
