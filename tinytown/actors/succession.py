"""What follows from the end of a task: others that waited for it go on.

A task waits while it is pending for those it depends on, and once its agent has claimed it done, for its review.
What must be true: nothing starts before all it depends on is completed; what failed or was cancelled lets nothing
go on; and no crash leaves anything waiting for what is there already. So each step is one commit, decided on the
records alone: whoever ended a task takes the steps that follow, and the lifeline takes them again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.actors.reviews import NO_VERDICT, review_of
from tinytown.errors import AgentNotFound, BadMessage, Full, TaskNotFound, TooLarge
from tinytown.ids import SUPERVISOR_ID, TaskId, short
from tinytown.lifecycle import TaskState
from tinytown.messages import Message, Query, TaskAssign, TaskDone
from tinytown.records import Event
from tinytown.text import one_line
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.ids import AgentId
    from tinytown.records import Agent, Task
    from tinytown.transport.store import Change, Seen, Store

_TITLE = 100


async def release_dependents(store: Store, task_id: TaskId) -> list[Message]:
    """Let go on what waited for this task, which has ended; and what that leads to. Gives what was sent for it.

    What cannot go on now, because a mailbox is full, waits for the lifeline.
    """
    return await advance(store, await store.waiting.on(task_id))


async def advance(store: Store, task_ids: Iterable[TaskId]) -> list[Message]:
    """Take these waiting tasks as far as they can go; gives what was sent for it."""
    left, sent = deque(task_ids), list[Message]()
    while left:
        task_id = left.popleft()
        change, ended = await _step(store, task_id)
        sent += change.messages
        if ended:
            left.extend(await store.waiting.on(task_id))
    return sent


async def walk(store: Store, cursor: int) -> int:
    """Look after some of all that wait; gives where the next walk goes on. Begin with 0."""
    following, part = await store.waiting.part(cursor)
    await advance(store, part)
    return following


def open_dependencies(needs: Iterable[Task], wanted: Iterable[str]) -> list[str]:
    """Those of the `wanted` tasks that are not completed, as `needs`, their records, say; or are gone."""
    done = {need.id for need in needs if need.state is TaskState.COMPLETED}
    return [each for each in wanted if each not in done]


async def _step(store: Store, task_id: TaskId) -> tuple[Change, bool]:
    """Take one step, if there is one to take; gives what was committed, and whether the task has ended by it."""
    nothing = store.change()
    homeless, told = False, True
    while True:
        try:
            seen = await store.see_task(task_id)
        except (TaskNotFound, BadMessage):
            # Deleted by hand, or damaged: `tt doctor` tells of the latter.
            await store.waiting.forget(task_id)
            return nothing, False
        if not seen.record.waits:
            await store.waiting.forget(task_id)
            return nothing, False
        step = _Step(store, seen, store.change(), homeless=homeless, told=told)
        after = await step.taken()
        if after is None:
            return nothing, False
        try:
            await store.commit(step.change)
        except Raced:
            continue
        except AgentNotFound:
            if homeless:
                return nothing, False
            homeless = True
            continue
        except (Full, TooLarge):
            if not told or not after.state.is_terminal:
                return nothing, False
            # Whoever gave the task is told of its end if there is room; its end does not wait for that.
            told = False
            continue
        return step.change, after.state.is_terminal


@dataclass(frozen=True, slots=True)
class _Step:
    """One try to take a waiting task further.

    `homeless`: the agent that should get something turned out to be gone. `told`: whoever gave the task hears of
    its end.
    """

    store: Store
    seen: Seen[Task]
    change: Change
    homeless: bool
    told: bool

    async def taken(self) -> Task | None:
        """The task as the change makes it; None when it has to wait on."""
        if self.seen.record.state is TaskState.PENDING:
            return await self._release()
        return await self._review()

    async def _release(self) -> Task | None:
        """Hand out a pending task whose dependencies are all completed; to nobody, if its agent is gone."""
        task = self.seen.record
        needs = await self.store.tasks_of([TaskId(each) for each in task.depends_on])
        if open_dependencies(needs, task.depends_on):
            return None
        if task.assigned_to is None or self.homeless:
            return self._to_backlog(replace(task, assigned_to=None, waits=False))
        after = task.assign(task.assigned_to)
        self.change.replace_task(self.seen, after).send(_handover(after, task.assigned_to))
        self._tell("task.assigned", after, f"all it depends on is completed: {_title(task)}")
        return after

    async def _review(self) -> Task | None:
        """Begin the review of a claimed task, or do what its reviewer has decided."""
        task = self.seen.record
        if task.review_task is None:
            return await self._begin_review()
        try:
            review = await self.store.task(task.review_task)
        except TaskNotFound:
            return self._ask_person("its review is gone")
        if not review.state.is_terminal:
            return None
        if review.state is TaskState.COMPLETED:
            return await self._approve()
        if review.state is TaskState.CANCELLED:
            return self._ask_person("its review was cancelled")
        if review.result == NO_VERDICT:
            return self._ask_person("its reviewer gave no verdict")
        reason = review.result or "The reviewer gave no reason."
        if task.reviews >= self.store.limits.max_reviews:
            return self._ask_person(f"its reviewer has rejected it {task.reviews + 1} times", reason)
        return self._send_back(reason)

    async def _begin_review(self) -> Task:
        task = self.seen.record
        worker = await self._agent(task.assigned_to)
        reviewer = None if self.homeless else await self._named(task.review or "")
        if reviewer is not None and reviewer.id == task.assigned_to:
            return self._ask_person(f"its reviewer '{reviewer.name}' has done it")
        review = review_of(task, worker.name if worker is not None else "an agent that is gone")
        if reviewer is not None:
            review = review.assign(reviewer.id)
            self.change.create_task(review).send(_handover(review, reviewer.id))
            how = f"by {reviewer.name}"
        else:
            # Whoever appears under the reviewer's name finds it there.
            review = review.with_tags([*review.tags, task.review or ""])
            self.change.create_task(review).write("RPUSH", self.store.keys("backlog"), review.id)
            how = f"in the backlog, since no agent is called {task.review}"
        after = replace(task, review_task=review.id)
        self.change.replace_task(self.seen, after)
        self._tell("task.in_review", after, f"{how}: {_title(task)}")
        return after

    async def _approve(self) -> Task:
        task = replace(self.seen.record, note=None).complete(self.seen.record.claim or "")
        self.change.replace_task(self.seen, task)
        self._tell("task.completed", task, "approved by its reviewer")
        if task.assigned_to is not None:
            try:
                worker = await self.store.see_agent(task.assigned_to)
            except AgentNotFound:
                pass
            else:
                counted = replace(worker.record, tasks_completed=worker.record.tasks_completed + 1)
                self.change.replace_agent(worker, counted)
        giver = await self._agent(task.assigned_by)
        if self.told and giver is not None and giver.id != task.assigned_to:
            done = TaskDone(task.id, task.result or "")
            self.change.send(Message(task.assigned_to or SUPERVISOR_ID, giver.id, done))
        return task

    def _send_back(self, reason: str) -> Task:
        before = self.seen.record
        task = replace(before, waits=False, claim=None, review_task=None, note=reason, reviews=before.reviews + 1)
        self._tell("task.sent_back", task, f"by its reviewer: {one_line(reason, _TITLE)}")
        if task.assigned_to is None or self.homeless:
            return self._to_backlog(task.release())
        task = task.returned() if task.state is TaskState.RUNNING else task.assign(task.assigned_to)
        self.change.replace_task(self.seen, task).send(_handover(task, before.assigned_to or SUPERVISOR_ID))
        return task

    def _ask_person(self, why: str, reason: str = "") -> Task:
        """The task stays as it is, with a note; the person is asked."""
        note = f"A person has to decide: {why}." + (f"\n{reason}" if reason else "")
        task = replace(self.seen.record, waits=False, note=note)
        self.change.replace_task(self.seen, task)
        name = short(task.id)
        question = (
            f"Is task {task.id} done? {why[0].upper()}{why[1:]}. The task: {_title(task)}\n"
            f"See what was claimed with: tt task show {name}\n"
            f'Then decide: tt task complete {name}, or tt task fail {name} --error "why"'
        )
        self.change.send(Message(task.assigned_to or SUPERVISOR_ID, SUPERVISOR_ID, Query(question)))
        self._tell("task.undecided", task, why)
        return task

    def _to_backlog(self, task: Task) -> Task:
        """The task in nobody's hands, where whoever it suits finds it."""
        self.change.replace_task(self.seen, task)
        key = self.store.keys("backlog")
        self.change.write("LREM", key, 0, task.id).write("RPUSH", key, task.id)
        self._tell("backlog.added", task, f"no agent has it: {_title(task)}")
        return task

    async def _agent(self, agent_id: AgentId | None) -> Agent | None:
        try:
            return None if agent_id is None else await self.store.agent(agent_id)
        except AgentNotFound:
            return None

    async def _named(self, name: str) -> Agent | None:
        try:
            return await self.store.find_agent(name)
        except AgentNotFound:
            return None

    def _tell(self, kind: str, task: Task, detail: str) -> None:
        self.change.tell(Event(kind, agent=task.assigned_to, task=task.id, detail=detail))


def _handover(task: Task, to: AgentId) -> Message:
    return Message(task.assigned_by or SUPERVISOR_ID, to, TaskAssign(task.id))


def _title(task: Task) -> str:
    return one_line(task.description, _TITLE)
