"""What has become of the tasks that a mission gave out. No I/O.

What must be true: nothing is taken over from a task but its end and who has it; a task that nobody will do any more
is given up, so that another can take its place; and of what was given up nothing stays open in the town.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.roles import Worker
from tinytown.actors.missions.telling import verdict
from tinytown.actors.missions.watching import mended
from tinytown.lifecycle import AgentState, TaskState, WatchEvent, WatchState, WorkItemEvent, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tinytown.actors.missions.actions import Plan
    from tinytown.ids import AgentId, TaskId
    from tinytown.mission_records import Watch, WorkItem
    from tinytown.records import Agent, Task
    from tinytown.times import Timestamp

IN_WORK = frozenset({WorkItemState.ASSIGNED, WorkItemState.RUNNING})
LIVE = frozenset({WatchState.ACTIVE, WatchState.SNOOZED})
OPEN = (TaskState.ASSIGNED, TaskState.RUNNING)
"""A task in one of these states is somebody's."""

_LOST = "lost"
"""Stands before what was asked to be mended, when whoever had it gave it back."""


@dataclass(frozen=True, slots=True)
class Town:
    """What there is in the town: every agent by its id, and those tasks of the mission that exist.

    `aside` are tasks whose agent will not be told of them again: their message is a dead letter or in quarantine.
    """

    agents: Mapping[AgentId, Agent]
    tasks: Mapping[TaskId, Task]
    aside: Collection[TaskId] = ()

    def is_lost(self, task: Task | None) -> bool:
        """Nobody will end this task: it is gone or put aside, or its agent is gone or has ended."""
        if task is None:
            return True
        if task.state.is_terminal or task.assigned_to is None:
            return False
        if task.id in self.aside:
            return True
        agent = self.agents.get(task.assigned_to)
        return agent is None or agent.state.is_terminal


def open_tasks(plan: Plan) -> set[TaskId]:
    """The tasks that the mission waits for."""
    found = {item.task_id for item in plan.items if item.state in IN_WORK}
    found |= {item.review_task_id for item in plan.items}
    found |= {watch.fix_task_id for watch in plan.watches}
    return {each for each in found if each is not None}


def workers(agents: Iterable[Agent], open_ones: Iterable[Task]) -> list[Worker]:
    """The agents that live, as the planner sees them; idle is who has no task and does nothing."""
    load: dict[AgentId, int] = {}
    for task in open_ones:
        if task.assigned_to is not None:
            load[task.assigned_to] = load.get(task.assigned_to, 0) + 1
    return [
        Worker(
            agent.id,
            agent.effective_role,
            idle=agent.state is AgentState.IDLE and agent.id not in load,
            load=load.get(agent.id, 0),
        )
        for agent in agents
        if not agent.state.is_terminal and agent.state is not AgentState.DRAINING
    ]


def finished(plan: Plan, town: Town) -> list[tuple[WorkItem, Task]]:
    """The items whose work was completed. What that comes to depends on a pull request, which GitHub has to name."""
    found = []
    for item in plan.items:
        task = town.tasks.get(item.task_id) if item.task_id is not None and item.state in IN_WORK else None
        if task is not None and task.state is TaskState.COMPLETED:
            found.append((item, task))
    return found


def reconciled(plan: Plan, town: Town, now: Timestamp) -> Plan:
    """The plan with all that tasks have come to, but for work that was completed."""
    plan = plan.with_item(*(_after_task(item, town, now) for item in plan.items))
    items = {item.id: item for item in plan.items}
    over = []
    for watch in plan.watches:
        item_of = items.get(watch.work_item_id)
        # A gate serves all that wait for it, and ends when that is there.
        if item_of is None or watch.watch_kind == EXTERNAL_GATE:
            continue
        if item_of.state.is_terminal and watch.state in LIVE:
            over.append(replace(watch.after(WatchEvent.FINISH), fix_task_id=None))
        elif watch.fix_task_id is not None:
            plan = _mended(plan, watch, item_of, town, now)
    return plan.with_watch(*over)


def _after_task(item: WorkItem, town: Town, now: Timestamp) -> WorkItem:
    if item.state in IN_WORK:
        return _worked(item, town, now)
    return item if item.review_task_id is None else _reviewed(item, town, now)


def _worked(item: WorkItem, town: Town, now: Timestamp) -> WorkItem:
    task = town.tasks.get(item.task_id) if item.task_id is not None else None
    if task is not None and task.id in town.aside and not task.state.is_terminal:
        # It may well be the task that kills whoever gets it, so nobody else gets it by itself.
        reason = "its task failed whoever had it again and again, and was put aside (see 'tt dlq')"
        return item.after(WorkItemEvent.BLOCK, now, reason=reason, waits_for="person")
    if task is None or town.is_lost(task):
        why = "its task is gone" if task is None else "its agent has ended"
        return outcomes.work_lost(item, now, why)
    if task.state in (TaskState.FAILED, TaskState.CANCELLED):
        said = one_line(task.result or "no reason given", 300)
        return outcomes.work_lost(item, now, f"the task was {task.state}: {said}")
    if task.assigned_to is not None and task.assigned_to != item.assigned_to:
        # Somebody has given it to another agent.
        item = replace(item, assigned_to=task.assigned_to, updated_at=now)
    if task.state is TaskState.RUNNING and item.state is WorkItemState.ASSIGNED:
        return item.after(WorkItemEvent.START, now)
    return item


def _reviewed(item: WorkItem, town: Town, now: Timestamp) -> WorkItem:
    assert item.review_task_id is not None
    task = town.tasks.get(item.review_task_id)
    if task is None or town.is_lost(task):
        return outcomes.review_lost(item, now)
    if not task.state.is_terminal:
        return item
    said = verdict(task.result or "") if task.state is TaskState.COMPLETED else None
    if said is None:
        return outcomes.review_lost(item, now)
    approved, reason = said
    return outcomes.reviewed(item, now, approved=approved, head=item.head, reason=one_line(reason, 1000) or None)


def _mended(plan: Plan, watch: Watch, item: WorkItem, town: Town, now: Timestamp) -> Plan:
    """A repair that has ended is judged by the next look; one that was lost may be asked for again."""
    assert watch.fix_task_id is not None
    task = town.tasks.get(watch.fix_task_id)
    if task is not None and task.state is TaskState.FAILED:
        reason = f"its repair failed: {one_line(task.result or 'no reason given', 300)}"
        return _for_a_person(plan, watch, item, now, reason)
    if task is not None and task.state is TaskState.COMPLETED:
        return plan.with_watch(mended(watch, now))
    if task is None or task.state is TaskState.CANCELLED or town.is_lost(task):
        handled = tuple(f"{_LOST}/{key}" if key in _asked(watch) else key for key in watch.handled)
        lost = replace(watch, handled=handled)
        if sum(key.startswith(_LOST) for key in handled) >= outcomes.MOST_ATTEMPTS:
            return _for_a_person(plan, lost, item, now, "whoever was asked to repair it gave it back")
        return plan.with_watch(replace(lost, fix_task_id=None))
    return plan


def _for_a_person(plan: Plan, watch: Watch, item: WorkItem, now: Timestamp, reason: str) -> Plan:
    if item.state is WorkItemState.BLOCKED:
        plan = plan.with_item(replace(item, waits_for="person", reason=reason, review_task_id=None, updated_at=now))
    return plan.with_watch(replace(watch, fix_task_id=None))


def _asked(watch: Watch) -> set[str]:
    """The keys that the open repair is for: those of this head, and the threads that are still open."""
    return {f"{watch.watch_kind}/{watch.head}", *watch.findings}
