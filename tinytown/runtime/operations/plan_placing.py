"""From the entries of a plan to one change: who gets what, what waits, what stays as it is. Nothing here waits."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.lifecycle import TaskState
from tinytown.messages import Message, TaskAssign
from tinytown.plan import plan_tag
from tinytown.records import Event, Task, TaskSource
from tinytown.text import clean_text, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.ids import TaskId
    from tinytown.plan import Plan, PlanEntry
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.store import Seen

_HOPELESS = (TaskState.FAILED, TaskState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Pushed:
    """All tasks of the plan in its order, and how many of them are new or were changed.

    `notes` say what will not happen as the plan may make one think.
    """

    tasks: tuple[Task, ...]
    created: int = 0
    changed: int = 0
    notes: tuple[str, ...] = ()


class Placing:
    """One try to push a plan. `ids` are the tasks of its entries, `there` those of them that there are."""

    def __init__(
        self, town: Town, plan: Plan, ids: Mapping[str, TaskId], there: Mapping[TaskId, Seen[Task] | None]
    ) -> None:
        self.change = town.store.change()
        self._plan = plan
        self._caller = town.caller
        self._backlog = town.keys("backlog")
        self._ids = ids
        self._there = {plan_id: there[task_id] for plan_id, task_id in ids.items()}
        self._after: dict[str, Task] = {}
        self._created = 0
        self._changed = 0
        self._notes: list[str] = []

    @property
    def nothing_to_do(self) -> bool:
        """Everything is as the plan says already."""
        return not self.change.writes

    def place_all(self, agents: Mapping[str, Agent]) -> Pushed:
        """Fill the change; gives what comes of it once it is committed. `agents` are those there are, by name."""
        entries = {entry.id: entry for entry in self._plan.entries}
        places = {entry.id: place for place, entry in enumerate(self._plan.entries)}
        began = time.time() - len(entries) / 1000
        for stage in self._plan.stages():
            for plan_id in stage:
                entry, seen = entries[plan_id], self._there[plan_id]
                agent = agents.get(entry.agent or "")
                # Lists show tasks in the order of their creation: that of the file.
                at = times.timestamp(began + places[plan_id] / 1000)
                fresh = self._fresh(entry, agent, at)
                self._after[plan_id] = (
                    self._create(entry, fresh, agent) if seen is None else self._update(entry, seen, fresh, agent)
                )
        self._note_waiting()
        self._require()
        tasks = tuple(self._after[entry.id] for entry in self._plan.entries)
        return Pushed(tasks, self._created, self._changed, tuple(self._notes))

    def _fresh(self, entry: PlanEntry, agent: Agent | None, at: times.Timestamp) -> Task:
        """The task that the entry describes, in nobody's hands."""
        # Whoever appears under the name of an agent that is missing finds it in the backlog.
        missing = (entry.agent,) if entry.agent is not None and agent is None else ()
        return Task(
            clean_text(entry.description),
            id=self._ids[entry.id],
            assigned_by=self._caller.agent_id,
            created_at=at,
            updated_at=at,
            parent_id=self._ids[entry.parent] if entry.parent else None,
            depends_on=tuple(self._ids[each] for each in entry.depends_on),
            tags=tuple(dict.fromkeys((*entry.tags, *missing, plan_tag(entry.id)))),
            source=TaskSource.PLAN,
            review=entry.review,
            verify=entry.verify,
            plan_id=entry.id,
        )

    def _open(self, entry: PlanEntry) -> bool:
        """Whether something it depends on is not completed."""
        return any(self._after[each].state is not TaskState.COMPLETED for each in entry.depends_on)

    def _create(self, entry: PlanEntry, task: Task, agent: Agent | None) -> Task:
        self._created += 1
        owner = agent.id if agent is not None else None
        if entry.status.is_terminal:
            task = replace(
                task, assigned_to=owner, state=entry.status, result=entry.result, completed_at=task.created_at
            )
            self.change.create_task(task)
            return task
        if self._open(entry):
            task = replace(task, assigned_to=owner, waits=True)
            self.change.create_task(task)
            self._tell("task.waiting", task)
        elif agent is not None:
            task = task.assign(agent.id)
            self.change.create_task(task)
            self._hand_over(task, agent)
        else:
            self.change.create_task(task)
            self._to_backlog(task)
        if agent is None and entry.agent is not None:
            self._notes.append(f"Task '{entry.id}' waits in the backlog: no agent is called '{entry.agent}' yet")
        return task

    def _update(self, entry: PlanEntry, seen: Seen[Task], fresh: Task, agent: Agent | None) -> Task:
        old = seen.record
        new = replace(
            old,
            description=fresh.description,
            parent_id=fresh.parent_id,
            depends_on=fresh.depends_on,
            tags=fresh.tags,
            review=fresh.review,
            verify=fresh.verify,
            plan_id=old.plan_id if old.plan_id is None else fresh.plan_id,
        )
        # An entry without an agent leaves the task with whoever claimed it.
        owner = agent.id if agent is not None else old.assigned_to
        if old.assigned_to is not None and agent is None:
            new = replace(new, tags=tuple(tag for tag in new.tags if tag != entry.agent or tag in old.tags))
        if old.plan_id is None:
            # It was pulled: it is known by its own id, and keeps the tags it has.
            new = replace(new, tags=tuple(tag for tag in new.tags if tag != plan_tag(entry.id)))
        if new == old and owner == old.assigned_to:
            return old
        if old.state not in (TaskState.PENDING, TaskState.ASSIGNED) or (old.waits and old.state is TaskState.ASSIGNED):
            self._notes.append(f"Task '{entry.id}' is {old.state}: what was changed in its entry is left out")
            return old
        self._changed += 1
        return self._rearrange(entry, seen, replace(new, updated_at=times.now()), agent)

    def _rearrange(self, entry: PlanEntry, seen: Seen[Task], new: Task, agent: Agent | None) -> Task:
        """Put a task that has not begun where it belongs by now."""
        old = seen.record
        was_free = old.state is TaskState.PENDING and old.assigned_to is None and not old.waits
        owner = agent.id if agent is not None else old.assigned_to
        if self._open(entry):
            task = new.release() if old.state is TaskState.ASSIGNED else new
            task = replace(task, assigned_to=owner, waits=True)
            self._tell("task.waiting", task)
        elif owner is None:
            task = replace(new, waits=False)
            if not was_free:
                self._to_backlog(task)
        elif old.state is TaskState.ASSIGNED and owner == old.assigned_to:
            task = new
        else:
            task = new.assign(owner)
            self.change.send(Message(self._caller.agent_id, owner, TaskAssign(task.id)))
            self._tell("task.assigned", task)
        if was_free and (task.waits or task.assigned_to is not None):
            self.change.write("LREM", self._backlog, 0, task.id)
        self.change.replace_task(seen, task)
        return task

    def _hand_over(self, task: Task, agent: Agent) -> None:
        self.change.send(Message(self._caller.agent_id, agent.id, TaskAssign(task.id)))
        self._tell("task.assigned", task)

    def _to_backlog(self, task: Task) -> None:
        self.change.write("LREM", self._backlog, 0, task.id).write("RPUSH", self._backlog, task.id)
        self._tell("backlog.added", task)

    def _tell(self, kind: str, task: Task) -> None:
        detail = f"{one_line(task.description, 100)}, from the plan by {self._caller.name}"
        self.change.tell(Event(kind, agent=task.assigned_to, task=task.id, detail=detail))

    def _require(self) -> None:
        """What others wait for must be as it was read: completed meanwhile, it would find nobody waiting."""
        needed = {each for entry in self._plan.entries if self._after[entry.id].waits for each in entry.depends_on}
        for plan_id in needed:
            seen = self._there[plan_id]
            if seen is not None and self._after[plan_id] == seen.record:
                self.change.require_task(seen)

    def _note_waiting(self) -> None:
        for entry in self._plan.entries:
            task = self._after[entry.id]
            lost = [each for each in entry.depends_on if self._after[each].state in _HOPELESS]
            if lost and task.waits and task.state is TaskState.PENDING:
                self._notes.append(f"Task '{entry.id}' will not begin: '{lost[0]}' is {self._after[lost[0]].state}")
