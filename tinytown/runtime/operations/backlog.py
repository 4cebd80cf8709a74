"""The backlog: work that should exist and that nobody has been given yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.pickup import given, is_at_leisure, may_take, notice, suits
from tinytown.errors import Conflict, Forbidden, Full, Invalid, TaskNotFound, TownError, Unavailable
from tinytown.ids import TaskId, is_id, resolve
from tinytown.records import Agent, Event, Task, TaskSource
from tinytown.runtime.operations.bounds import labels, words
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse, see_to
from tinytown.runtime.operations.task_views import name_of
from tinytown.runtime.operations.tasks import LONGEST_TAG, MOST_TAGS, checked_tags
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line
from tinytown.transport.backlog import AT_ONCE, Backlog, is_free
from tinytown.transport.clearing import delete_task
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class AddToBacklog:
    """New work for nobody in particular. `tags` say whom it suits."""

    description: str = words()
    tags: tuple[str, ...] = labels(MOST_TAGS, LONGEST_TAG)


@dataclass(frozen=True, slots=True)
class AddedToBacklog:
    """`woken` are the names of the idle agents that it suits: they were told, or are about to take it. `note` says
    what keeps them from it, or that a runtime was started for them."""

    task: Task
    woken: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ListBacklog:
    """The whole backlog, or what suits one agent (name, id or prefix)."""

    agent: str | None = None


@dataclass(frozen=True, slots=True)
class BacklogItems:
    """In the order in which they came. `damaged` are ids whose record is no free task (any more)."""

    tasks: tuple[Task, ...]
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimFromBacklog:
    """One item for an agent; None means the calling agent."""

    task: str
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedFromBacklog:
    """`note` says why it will not start at once, where that can be seen, or that a runtime was started for it."""

    task: Task
    agent: Agent
    note: str | None = None


@dataclass(frozen=True, slots=True)
class AssignAll:
    """The whole backlog for one agent."""

    agent: str


@dataclass(frozen=True, slots=True)
class AssignedAll:
    """What the agent has got, in the order of the backlog. `left` is how many stay in it, `note` why."""

    tasks: tuple[Task, ...]
    agent: Agent
    left: int = 0
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RemoveFromBacklog:
    """One item, by the id of its task or a prefix."""

    task: str


@dataclass(frozen=True, slots=True)
class RemovedFromBacklog:
    """`task` is what was deleted, None when the entry of the list was all there was."""

    id: str
    task: Task | None = None


@operation("backlog.add", Scope.WRITE, for_workers=True)
async def add_to_backlog(town: Town, request: AddToBacklog) -> AddedToBacklog:
    """Put new work into the backlog.

    Idle agents that it suits are woken. Raises `Invalid`, `TooLarge`.
    """
    text = checked_text(request.description, town, what="task description")
    caller, backlog = town.caller, backlog_of(town)
    task = Task(text, tags=checked_tags(request.tags), source=TaskSource.BACKLOG, assigned_by=caller.agent_id)
    alone = town.settings.backlog.auto_claim
    idle = [agent for agent in await town.store.agents() if is_at_leisure(agent) and agent.id != caller.agent_id]
    suited = [agent for agent in idle if suits(task, agent) or (alone and may_take(task, agent))]
    change = town.store.change().create_task(task)
    backlog.put(change, task.id)
    change.tell(Event("backlog.added", task=task.id, detail=f"{one_line(text, 100)}, by {caller.name}"))
    if alone:
        # They look for themselves, and one of them finds it.
        for agent in suited:
            change.ring(agent.id)
    await town.store.commit(change)
    woken = suited if alone else [agent for agent in suited if await _tell(town, task, agent)]
    return AddedToBacklog(task, tuple(agent.name for agent in woken), await rouse(town, woken))


@operation("backlog.list", Scope.READ)
async def list_backlog(town: Town, request: ListBacklog) -> BacklogItems:
    """Show the backlog.

    Raises `AgentNotFound`.
    """
    agent = await town.store.find_agent(request.agent) if request.agent else None
    backlog = backlog_of(town)
    ids = await backlog.ids()
    found = await backlog.see(ids)
    tasks = [seen.record for seen in found if seen is not None and is_free(seen.record)]
    whole = {task.id for task in tasks}
    damaged = () if agent else tuple(each for each in ids if each not in whole)
    return BacklogItems(tuple(task for task in tasks if agent is None or suits(task, agent)), damaged)


@operation("backlog.claim", Scope.WRITE, for_workers=True)
async def claim_from_backlog(town: Town, request: ClaimFromBacklog) -> ClaimedFromBacklog:
    """Give an item of the backlog to an agent.

    Of several that claim one item at once exactly one gets it; whoever is refused has changed nothing. An agent
    claims for itself only. Raises `AgentNotFound`, `TaskNotFound`, `Conflict` when it is not in the backlog (any
    more), `Forbidden`, `MailboxFull`, `TownFull`.
    """
    agent = await _claimer(town, request.agent)
    backlog = backlog_of(town)
    task_id = await _find(backlog, request.task, town)
    while True:
        seen = await town.store.see_task(task_id)
        if not is_free(seen.record) or not await backlog.holds(task_id):
            raise await _not_in_backlog(town, task_id)
        change = town.store.change()
        task = given(change, backlog, seen, agent, how=f"claimed by {town.caller.name}")
        try:
            await town.store.commit(change)
        except Raced:
            continue
        return ClaimedFromBacklog(task, agent, await see_to(town, agent))


@operation("backlog.assign_all", Scope.WRITE)
async def assign_all(town: Town, request: AssignAll) -> AssignedAll:
    """Give all that is in the backlog to one agent.

    What cannot be given stays where it is. Raises `AgentNotFound`, and `MailboxFull` or `TownFull` when not even
    the first items can be.
    """
    agent = await town.store.find_agent(request.agent)
    backlog = backlog_of(town)
    ids = await backlog.ids()
    done: list[Task] = []
    refusal: Full | None = None
    start, size = 0, AT_ONCE
    while start < len(ids):
        try:
            done += await _give(town, backlog, ids[start : start + size], agent)
        except Full as error:
            # Some of this part may still find room.
            if size > 1:
                size //= 2
                continue
            if not done:
                raise
            refusal = error
            break
        start += size
    note = await see_to(town, agent) if done else None
    return AssignedAll(tuple(done), agent, len(await backlog.ids()), refusal.message if refusal else note)


@operation("backlog.remove", Scope.WRITE)
async def remove_from_backlog(town: Town, request: RemoveFromBacklog) -> RemovedFromBacklog:
    """Remove an item from the backlog, and delete its task.

    Raises `TaskNotFound`, and `Conflict` when it is not in the backlog (any more).
    """
    backlog = backlog_of(town)
    task_id = await _find(backlog, request.task, town)
    while True:
        (seen,) = await backlog.see([task_id])
        if not await backlog.holds(task_id):
            raise TaskNotFound(request.task) if seen is None else await _not_in_backlog(town, task_id)
        change = town.store.change()
        deleted = seen if seen is not None and is_free(seen.record) else None
        if deleted is not None:
            delete_task(change, town.keys, deleted)
        else:
            # Somebody wrote the id into the list by hand: a task that is gone, or that an agent has.
            backlog.take(change, task_id)
        change.tell(Event("backlog.removed", task=task_id, detail=f"by {town.caller.name}"))
        try:
            await town.store.commit(change)
        except Raced:
            continue
        return RemovedFromBacklog(task_id, deleted.record if deleted is not None else None)


def backlog_of(town: Town) -> Backlog:
    """The backlog of a town."""
    return Backlog(town.connection, town.keys)


async def _tell(town: Town, task: Task, agent: Agent) -> bool:
    try:
        return await town.mailbox.send(notice(task, agent))
    except Unavailable:
        raise
    except TownError:
        # Its mailbox is full, or it is gone: the item lies in the backlog all the same.
        return False


async def _claimer(town: Town, named: str | None) -> Agent:
    caller = town.caller
    if named is None:
        if caller.kind == "person":
            raise Invalid("Who shall have it?", hint="Name the agent: tt backlog claim TASK AGENT")
        return await town.store.agent(caller.agent_id)
    agent = await town.store.find_agent(named)
    if caller.is_worker and agent.id != caller.agent_id:
        raise Forbidden(
            f"Agent '{caller.name}' cannot claim for '{agent.name}'", hint="Leave the name out to claim for yourself."
        )
    return agent


async def _find(backlog: Backlog, wanted: str, town: Town) -> TaskId:
    """The item that a person means, by id or a prefix that is unique in the backlog; else any task of that name."""
    if is_id(wanted.lower()):
        return TaskId(wanted.lower())
    ids = await backlog.ids()
    found = TaskId(wanted) if wanted in ids else resolve(wanted, ids)
    return found if found is not None else (await town.store.find_task(wanted)).id


async def _not_in_backlog(town: Town, task_id: TaskId) -> Conflict:
    task = await town.store.task(task_id)
    how = "claimed" if task.assigned_to is not None and not task.state.is_terminal else task.state.value
    owner = name_of(task.assigned_to, await town.store.names())
    return Conflict(
        f"Task {task_id} is not in the backlog: it is {how}" + (f" by '{owner}'" if owner else ""),
        hint="See what is there with: tt backlog list",
    )


async def _give(town: Town, backlog: Backlog, ids: Sequence[TaskId], agent: Agent) -> list[Task]:
    """Give those of these items that are still free, in one commit; `Full` when that is too much."""
    while True:
        change = town.store.change()
        how = f"all to {agent.name} by {town.caller.name}"
        free = [seen for seen in await backlog.see(ids) if seen is not None and is_free(seen.record)]
        tasks = [given(change, backlog, seen, agent, how=how) for seen in free]
        if tasks:
            try:
                await town.store.commit(change)
            except Raced:
                continue
        return tasks
