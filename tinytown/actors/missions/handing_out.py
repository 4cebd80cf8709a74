"""The tasks that a mission makes, and what the town is told of a change in it. No I/O.

What must be true: a task and the record that says it is open are in one commit, and so are the end of that record's
wait and the end of the task. So the town never has a task of a mission that the mission does not know, nor twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown.actors.missions.actions import AskFix, AskReview, AssignItem, MergePull
from tinytown.actors.missions.reconcile import open_tasks
from tinytown.actors.missions.telling import Result, fix_text, review_text, work_text
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational, Message, TaskAssign
from tinytown.mission_records import SourceText
from tinytown.records import Event, Task, TaskSource
from tinytown.text import one_line
from tinytown.transport.delivery import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tinytown.actors.missions.actions import Action, Plan
    from tinytown.ids import AgentId, TaskId, WorkItemId
    from tinytown.mission_records import WorkItem
    from tinytown.transport.missions import Missions
    from tinytown.transport.store import Change, Seen

TAG = "mission"
"""The tag of every task that a mission makes."""

_SHOWN = 200
"""Characters of a reason in an event."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What tasks are made of: texts of items, tasks that were given out before, and what a finding says."""

    texts: Mapping[WorkItemId, SourceText] = field(default_factory=dict)
    tasks: Mapping[TaskId, Task] = field(default_factory=dict)
    explain: Callable[[str, str], str] = lambda _, finding: finding
    """(pull request, finding) -> the finding as GitHub words it, or as it was given."""


def handed_out(plan: Plan, actions: Iterable[Action], sources: Sources) -> Iterator[tuple[Task, AgentId]]:
    """The task of each action that makes one, and who gets it. `plan` is the one before these actions."""
    for action in actions:
        if isinstance(action, AssignItem):
            text = _work(plan, plan.item(action.item), sources)
        elif isinstance(action, AskReview):
            item = plan.item(action.item)
            text = review_text(item, _result(item, sources) or "(nothing)")
        elif isinstance(action, AskFix):
            item = plan.item(action.item)
            kind = next(watch.watch_kind for watch in plan.watches if watch.id == action.watch)
            text = fix_text(item, kind, [sources.explain(item.pull or "", each) for each in action.findings])
        else:
            continue
        task = Task(text, id=action.task, source=TaskSource.MISSION, tags=(TAG,))
        yield task.assign(action.agent), action.agent


def needed_texts(actions: Iterable[Action]) -> list[WorkItemId]:
    """The items whose texts `handed_out` wants."""
    return [action.item for action in actions if isinstance(action, AssignItem)]


def needed_tasks(plan: Plan, actions: Iterable[Action]) -> list[TaskId]:
    """The tasks whose results `handed_out` wants."""
    items = {item.key: item for item in plan.items}
    found = []
    for action in actions:
        if isinstance(action, AssignItem):
            found += [items[key].task_id for key in plan.item(action.item).depends_on if key in items]
        elif isinstance(action, AskReview):
            found.append(plan.item(action.item).task_id)
    return [each for each in dict.fromkeys(found) if each is not None]


def give(change: Change, tasks: Iterable[tuple[Task, AgentId]]) -> Change:
    """Store tasks, and tell those who get them."""
    for task, agent in tasks:
        change.create_task(task).send(Message(SUPERVISOR_ID, agent, TaskAssign(task.id)))
        change.tell(Event("task.assigned", agent=agent, task=task.id, detail=one_line(task.description, 100)))
    return change


def given_up(before: Plan, after: Plan) -> list[TaskId]:
    """The tasks that the mission does not wait for any more; those that are open still have to be cancelled."""
    return sorted(open_tasks(before) - open_tasks(after))


def take_back(change: Change, tasks: Sequence[Seen[Task]], reason: str, *, tell: bool = True) -> Change:
    """Cancel those of these tasks that have not ended. Their agents are told, if `tell`."""
    for seen in tasks:
        task = seen.record
        if task.state.is_terminal:
            continue
        change.replace_task(seen, task.cancel(reason))
        change.tell(Event("task.cancelled", agent=task.assigned_to, task=task.id, detail=reason))
        if task.state is TaskState.RUNNING and task.assigned_to is not None:
            change.control(task.assigned_to, Control.drop(task.id, "its mission"))
        if tell and task.assigned_to is not None:
            said = Informational(f"Task {task.id} was cancelled. {reason}")
            change.send(Message(SUPERVISOR_ID, task.assigned_to, said))
    return change


def tell_of(missions: Missions, change: Change, before: Plan, after: Plan, actions: Iterable[Action] = ()) -> Change:
    """Put what has changed into the journal and the mission's own events, a line for each thing."""
    mission_id = after.mission.id

    def tell(kind: str, detail: str, agent: str | None = None, task: str | None = None) -> None:
        missions.tell(change, mission_id, kind, detail, agent=agent, task=task)

    was = {item.id: item for item in before.items}
    for item in after.items:
        old = was.get(item.id)
        if old is not None and (old.state is not item.state or (old.waits_for != item.waits_for and item.waits_for)):
            tell(f"mission.item_{item.state}", _line(item), item.assigned_to, item.task_id)
    for action in actions:
        if isinstance(action, AskReview | AskFix):
            kind = "mission.review_asked" if isinstance(action, AskReview) else "mission.repair_asked"
            tell(kind, _line(after.item(action.item), told=False), action.agent, action.task)
        elif isinstance(action, MergePull):
            tell("mission.merging", f"{action.pull} at {action.head[:12]}")
    if before.mission.state is not after.mission.state:
        tell(f"mission.{after.mission.state}", one_line(after.mission.reason or after.mission.state, _SHOWN))
    return change


def _line(item: WorkItem, *, told: bool = True) -> str:
    reason = f": {one_line(item.reason, _SHOWN)}" if told and item.reason else ""
    return f"{item.key} {one_line(item.title, 80)}{reason}"


def _work(plan: Plan, item: WorkItem, sources: Sources) -> str:
    source = sources.texts.get(item.id) or SourceText(item.author or "", "", "")
    items = {each.key: each for each in plan.items}
    on = [items[key] for key in item.depends_on if key in items]
    results = [Result(each.key, each.title, _result(each, sources) or each.reason or "done") for each in on]
    return work_text(item, source, results=results, notes=plan.mission.notes)


def _result(item: WorkItem, sources: Sources) -> str | None:
    task = sources.tasks.get(item.task_id) if item.task_id is not None else None
    return None if task is None else task.result
