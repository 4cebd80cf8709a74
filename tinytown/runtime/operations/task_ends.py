"""How tasks end: completed, failed, cancelled. An ended task stays as it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.actors.succession import release_dependents
from tinytown.errors import AgentNotFound, Conflict, Forbidden, Full, TaskNotFound, TownError
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational, Message, TaskDone, TaskFailed
from tinytown.records import Event, TaskSource
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse_for, rouse_missions
from tinytown.runtime.operations.task_views import TaskView, name_of
from tinytown.runtime.operations.texts import fitting
from tinytown.text import clean_text, one_line
from tinytown.transport.delivery import Control
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.ids import TaskId
    from tinytown.messages import Body
    from tinytown.records import Task
    from tinytown.runtime.town import Town
    from tinytown.transport.store import Change


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """The end of a task: its result, the error, or the reason of a cancellation."""

    task: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class EndedTask(TaskView):
    """The task as it is now. `notice` says what a person should know of the work that goes on after it: that a runtime
    was started for that, or why it does not begin."""

    notice: str | None = None


@operation("task.complete", Scope.WRITE, for_workers=True)
async def complete_task(town: Town, request: TaskEnd) -> EndedTask:
    """Complete a task.

    Whoever assigned it is told, and what waited for it is handed out. Of a task that has to be verified or reviewed,
    its agent only claims the result: the task stays open until that is done. Raises `TaskNotFound`,
    `IllegalTransition` when it has ended already, `Forbidden` for an agent whose task it is not, `Conflict` for one
    that its reviewer has, `TooLarge`.
    """
    return await _end(town, request, TaskState.COMPLETED)


@operation("task.fail", Scope.WRITE, for_workers=True)
async def fail_task(town: Town, request: TaskEnd) -> EndedTask:
    """Say that a task cannot be done.

    As `complete_task`, with the error as text.
    """
    return await _end(town, request, TaskState.FAILED)


@operation("task.cancel", Scope.WRITE, for_workers=True)
async def cancel_task(town: Town, request: TaskEnd) -> EndedTask:
    """Cancel a task.

    As `complete_task`, with the reason as text. A turn that works on it is cut, unless that is who asks; what else
    it worked on waits for the next.
    """
    return await _end(town, request, TaskState.CANCELLED)


async def _end(town: Town, request: TaskEnd, state: TaskState) -> EndedTask:
    text = fitting(clean_text(request.text or ""), town, what="text")
    task_id = (await town.store.find_task(request.task)).id
    told = True
    while True:
        seen = await town.store.see_task(task_id)
        before = seen.record
        if town.caller.is_worker and before.assigned_to != town.caller.agent_id:
            raise Forbidden(
                f"Task {task_id} is not yours to end",
                hint='Its own agent ends it, or the conductor: tt send conductor "..."',
            )
        if state is TaskState.COMPLETED and town.caller.is_worker and _needs_proof(town, before):
            after = _claimed(before, text)
        else:
            after = _ENDS[state](before, text)
        change = town.store.change().replace_task(seen, after)
        if not after.state.is_terminal:
            change.tell(
                Event("task.claimed", agent=after.assigned_to, task=task_id, detail=one_line(text, 100) or None)
            )
        else:
            await _end_with(town, change, before, after, told=told)
        try:
            await town.store.commit(change)
        except Raced:
            continue
        except (Full, AgentNotFound):
            # A full mailbox elsewhere, or one that is gone, must not keep a task from ending.
            if not change.messages:
                raise
            told = False
            continue
        notice = await _go_on(town, after) if after.state.is_terminal else None
        names = await town.store.names()
        return EndedTask(after, name_of(after.assigned_to, names), name_of(after.assigned_by, names), notice)


async def _go_on(town: Town, task: Task) -> str | None:
    """Let go on what follows from the end of the task, and see that a runtime lives for it."""
    # The lifeline does whatever fails here.
    with suppress(TownError):
        handed_on = await release_dependents(town.store, task.id)
        if task.source is TaskSource.MISSION:
            return await rouse_missions(town)
        return await rouse_for(town, handed_on)
    return None


async def _end_with(town: Town, change: Change, before: Task, after: Task, *, told: bool) -> None:
    """Whatever else belongs to the end of a task, in the same commit."""
    said = one_line(after.result or "", 100) or None
    change.tell(Event(f"task.{after.state}", agent=after.assigned_to, task=after.id, detail=said))
    if before.state is TaskState.PENDING:
        change.write("LREM", town.keys("backlog"), 0, after.id)
    if after.state is TaskState.COMPLETED:
        await _count(town, change, after)
    if before.waits and before.review_task is not None:
        await _drop_review(town, change, before.review_task)
    if after.state is TaskState.CANCELLED:
        _drop(town, change, before)
    if after.assigned_to == SUPERVISOR_ID:
        # A conductor ends with its goal, whoever has ended that.
        change.ring(SUPERVISOR_ID)
    if told:
        _tell(town, change, after)


def _needs_proof(town: Town, task: Task) -> bool:
    """Whether its agent's word alone does not complete it."""
    return task.review_of is None and bool(task.review or task.verify or town.settings.verify)


def _claimed(task: Task, result: str) -> Task:
    """The task with what its agent says came of it."""
    if task.waits and task.state is not TaskState.PENDING:
        raise Conflict(f"Task {task.id} is in review already", hint="Its reviewer decides; there is nothing to do.")
    if task.state not in (TaskState.ASSIGNED, TaskState.RUNNING):
        # It refuses what has ended or not begun.
        return task.complete(result)
    return task.claimed(result)


async def _drop_review(town: Town, change: Change, review_id: TaskId) -> None:
    """Nobody needs the review of a task that has ended."""
    with suppress(TaskNotFound):
        review = await town.store.see_task(review_id)
        if not review.record.state.is_terminal:
            change.replace_task(review, review.record.cancel("The task has ended without it."))
            _drop(town, change, review.record)
            if review.record.state is TaskState.PENDING:
                change.write("LREM", town.keys("backlog"), 0, review_id)


def _drop(town: Town, change: Change, task: Task) -> None:
    """Let the turn that works on a task end: its work is for nothing."""
    agent_id, caller = task.assigned_to, town.caller
    # Whoever asks from within its own turn has still to end that.
    if (
        task.state is TaskState.RUNNING
        and agent_id is not None
        and (caller.kind, caller.agent_id) != ("agent", agent_id)
    ):
        change.control(agent_id, Control.drop(task.id, caller.name))


_ENDS: dict[TaskState, Callable[[Task, str], Task]] = {
    TaskState.COMPLETED: lambda task, text: replace(task, note=None).complete(text or task.claim or ""),
    TaskState.FAILED: lambda task, text: task.fail(text),
    TaskState.CANCELLED: lambda task, text: task.cancel(text),
}


async def _count(town: Town, change: Change, task: Task) -> None:
    """One more task that its agent has completed, in the same commit."""
    if task.assigned_to is None:
        return
    try:
        seen = await town.store.see_agent(task.assigned_to)
    except AgentNotFound:
        return
    change.replace_agent(seen, replace(seen.record, tasks_completed=seen.record.tasks_completed + 1))


def _tell(town: Town, change: Change, task: Task) -> None:
    """Tell whoever assigned it, and of a cancellation also the agent that has it, unless they do it themselves."""
    body: Body
    if task.state is TaskState.COMPLETED:
        body = TaskDone(task.id, task.result or "")
    elif task.state is TaskState.FAILED:
        body = TaskFailed(task.id, task.result or "")
    else:
        body = Informational(f"Task {task.id} was cancelled. {task.result or ''}".strip())
    told = {task.assigned_by, task.assigned_to if task.state is TaskState.CANCELLED else None}
    for agent_id in sorted(each for each in told if each is not None and each != town.caller.agent_id):
        change.send(Message(town.caller.agent_id, agent_id, body))
