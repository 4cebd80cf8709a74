"""Tasks: hand out and look at. How they end: `task_ends.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.actors.succession import open_dependencies
from tinytown.errors import Conflict, Invalid, InvalidConfig
from tinytown.ids import AGENT_NAME, SUPERVISOR_NAMES, TaskId, agent_name, short
from tinytown.lifecycle import TaskState
from tinytown.messages import Message, TaskAssign
from tinytown.records import Event, Task, TaskSource
from tinytown.runtime.operations.bounds import each, labels, shown, words
from tinytown.runtime.operations.registry import Scope, operation, require
from tinytown.runtime.operations.rousing import see_to
from tinytown.runtime.operations.task_ends import TaskEnd, cancel_task, complete_task, fail_task
from tinytown.runtime.operations.task_views import TaskView, names_of, view
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from tinytown.records import Agent
    from tinytown.runtime.town import Town

__all__ = (
    "Assign",
    "Assigned",
    "Current",
    "CurrentTask",
    "ListTasks",
    "ShowTask",
    "TaskEnd",
    "TaskView",
    "Tasks",
    "assign",
    "assign_record",
    "cancel_task",
    "complete_task",
    "current_task",
    "fail_task",
    "list_tasks",
    "show_task",
    "waits_for",
)

MOST_TAGS = 32
LONGEST_TAG = 64
"""Characters of one."""


@dataclass(frozen=True, slots=True)
class Assign:
    """A new task for an agent (name, id or prefix). `parent` groups; it makes no order.

    `depends_on` are tasks (ids or prefixes) that must be completed before it begins. `review` names the agent that
    has to approve of it, `verify` are commands that must succeed, before it counts as completed.
    """

    agent: str
    description: str = words()
    tags: tuple[str, ...] = labels(MOST_TAGS, LONGEST_TAG)
    parent: str | None = None
    depends_on: tuple[str, ...] = ()
    review: str | None = shown({"pattern": AGENT_NAME}, None)
    verify: tuple[str, ...] = each("command")


@dataclass(frozen=True, slots=True)
class Assigned:
    """`note` says why it will not start at once, where that can be seen, or that a runtime was started for it."""

    task: Task
    agent: Agent
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ShowTask:
    """A task by id or prefix."""

    task: str


@dataclass(frozen=True, slots=True)
class ListTasks:
    """All tasks, those in one state, those of one agent."""

    state: TaskState | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Tasks:
    """In the order of creation."""

    tasks: tuple[TaskView, ...]


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """What an agent is at; None means the calling agent."""

    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Current:
    """`task` is None when the agent is at nothing."""

    agent: Agent
    task: TaskView | None


@operation("task.assign", Scope.WRITE)
async def assign(town: Town, request: Assign) -> Assigned:
    """Give an agent a new task.

    The record and the message that tells the agent are stored together or not at all. Raises `AgentNotFound`,
    `TaskNotFound` for the parent or a dependency, `Invalid`, `Forbidden` for commands of a caller who may not manage
    agents, `TooLarge`, `MailboxFull`, `TownFull`.
    """
    text = checked_text(request.description, town, what="task description")
    agent = await town.store.find_agent(request.agent)
    parent = (await town.store.find_task(request.parent)).id if request.parent else None
    source = TaskSource.CONDUCTOR if town.caller.kind == "agent" else TaskSource.ASSIGN
    task = Task(
        description=text,
        tags=checked_tags(request.tags),
        parent_id=parent,
        source=source,
        depends_on=tuple([(await town.store.find_task(each)).id for each in dict.fromkeys(request.depends_on)]),
        review=checked_reviewer(request.review, agent.name),
        verify=checked_commands(request.verify, town),
    )
    task = await assign_record(town, task, agent)
    return Assigned(task, agent, await waits_for(town, task) if task.waits else await see_to(town, agent))


async def assign_record(town: Town, task: Task, agent: Agent) -> Task:
    """Store a new task as this agent's and tell the agent, in one commit; `Conflict` when it is stored already.

    The agent of one that depends on others is told when those are completed.
    """
    caller = town.caller
    task = replace(task, assigned_by=caller.agent_id)
    while True:
        needs = [await town.store.see_task(TaskId(each)) for each in task.depends_on]
        waits = bool(open_dependencies([need.record for need in needs], task.depends_on))
        stored = replace(task, assigned_to=agent.id, waits=True) if waits else task.assign(agent.id)
        change = town.store.change().create_task(stored)
        if waits:
            # One that is completed meanwhile would find nobody waiting.
            for need in needs:
                change.require_task(need)
        else:
            change.send(Message(caller.agent_id, agent.id, TaskAssign(task.id)))
        kind = "task.waiting" if waits else "task.assigned"
        change.tell(Event(kind, agent=agent.id, task=task.id, detail=one_line(task.description, 100)))
        try:
            await town.store.commit(change)
        except Raced:
            if not await town.store.tasks_of([task.id]):
                continue
            raise Conflict(f"Task {task.id} is there already", hint="Change its record, or make a new task.") from None
        return stored


@operation("task.show", Scope.READ)
async def show_task(town: Town, request: ShowTask) -> TaskView:
    """Show one task.

    Raises `TaskNotFound`, `AmbiguousId`.
    """
    task = await town.store.find_task(request.task)
    return view(task, await town.store.names())


@operation("task.list", Scope.READ)
async def list_tasks(town: Town, request: ListTasks) -> Tasks:
    """List tasks.

    Raises `AgentNotFound` when tasks of an unknown agent are asked for.
    """
    agent = (await town.store.find_agent(request.agent)).id if request.agent else None
    found = await town.store.tasks(request.state, agent)
    names = await names_of(town, {each for task in found for each in (task.assigned_to, task.assigned_by) if each})
    return Tasks(tuple(view(task, names) for task in found))


@operation("task.current", Scope.READ)
async def current_task(town: Town, request: CurrentTask) -> Current:
    """Show the task that an agent is at.

    Raises `AgentNotFound`, and `Invalid` for a person who does not say which agent is meant.
    """
    if request.agent is None and town.caller.kind == "person":
        raise Invalid("Which agent is meant?", hint="Name it: tt task current AGENT")
    if request.agent is None:
        agent = await town.store.agent(town.caller.agent_id)
    else:
        agent = await town.store.find_agent(request.agent)
    if agent.current_task is None:
        return Current(agent, None)
    return Current(agent, view(await town.store.task(agent.current_task), await town.store.names()))


def checked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags, each once; `Invalid` for what is none."""
    for tag in tags:
        if not tag.strip() or not tag.isprintable() or len(tag) > LONGEST_TAG:
            raise Invalid(
                f"The tag '{one_line(tag, 40)}' cannot be used; expected 1 to {LONGEST_TAG} printable characters"
            )
    if len(tags) > MOST_TAGS:
        raise Invalid(f"A task has {len(tags)} tags; it may have {MOST_TAGS}")
    return tuple(dict.fromkeys(tags))


def checked_reviewer(name: str | None, agent: str | None) -> str | None:
    """The name of a reviewer; `Invalid` for none that an agent can have, and for the worker itself.

    The reviewer need not be there yet.
    """
    if name is None:
        return None
    if name not in SUPERVISOR_NAMES:
        agent_name(name)
    if name == agent:
        raise Invalid(f"Agent '{name}' cannot review its own work", hint="Name another agent, or 'conductor'.")
    return name


def checked_commands(commands: tuple[str, ...], town: Town) -> tuple[str, ...]:
    """The commands that verify a task; `Invalid` for one that cannot be split, `Forbidden` for who may run none."""
    if not commands:
        return ()
    from tinytown.actors.commands import split_line

    require(town, Scope.MANAGE)
    for command in commands:
        try:
            split_line(command, key="The command of --verify")
        except InvalidConfig as error:
            raise Invalid(error.message, hint=error.hint) from None
    return tuple(dict.fromkeys(commands))


async def waits_for(town: Town, task: Task) -> str:
    """What a task waits for, and whether that can still come."""
    needs = await town.store.tasks_of([TaskId(each) for each in task.depends_on])
    hopeless = next((each for each in needs if each.state in (TaskState.FAILED, TaskState.CANCELLED)), None)
    if hopeless is not None:
        return f"Task {short(hopeless.id)} is {hopeless.state}: this one will never begin"
    left = open_dependencies(needs, task.depends_on)
    named = ", ".join(short(each) for each in left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
    return f"It will begin when completed: {named}"
