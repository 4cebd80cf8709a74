"""What an agent leaves behind, and into whose hands it goes.

What must be true: whatever was in an agent's mailbox is afterwards in exactly one other place, and a task is the
task of whoever has the message that hands it over. To another agent everything goes as it is. To the backlog go the
tasks, and what asks for work becomes one; what remains (questions, answers, news) goes to the conductor's mailbox.
Nothing is dropped but an assignment whose task has ended or is somebody else's: that one asks for nothing any more.

Each agent is handed over in one commit, which is decided again whenever something was changed in between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown.errors import Conflict
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, is_id
from tinytown.lifecycle import AgentEvent, TaskState
from tinytown.messages import Message, TaskAssign, Work
from tinytown.records import Agent, Event, Task, TaskSource
from tinytown.transport.clearing import delete_agent
from tinytown.transport.store import Raced, Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.transport.backlog import Backlog
    from tinytown.transport.keys import Keys
    from tinytown.transport.mailroom import Contents, Letter, Mailroom
    from tinytown.transport.store import Change, Store

OPEN = (TaskState.PENDING, TaskState.ASSIGNED, TaskState.RUNNING)


class Where(StrEnum):
    """Where one thing has gone."""

    AGENT = "agent"
    BACKLOG = "backlog"
    CONDUCTOR = "conductor"
    NOWHERE = "nowhere"
    """It asked for nothing any more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that was left: a message with the task it hands over, or a task that no message spoke of.

    `task` is as it is now, None for what is no task. Both are None for bytes that are no message.
    """

    where: Where
    message: Message | None
    task: Task | None


class Then(StrEnum):
    """What becomes of the agent itself."""

    STAYS = "stays"
    """It has ended already."""
    ENDS = "ends"
    GOES = "goes"
    """It is deleted."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What became of everything an agent had, in the order of its mailbox. `agent` is as it was."""

    agent: Agent
    pieces: tuple[Piece, ...]

    def count(self, where: Where) -> int:
        """How many went there."""
        return sum(piece.where is where for piece in self.pieces)


@dataclass(slots=True)
class _Plan:
    """One try: the change, and what it does to each message."""

    change: Change
    tasks: dict[TaskId, Seen[Task]]
    pieces: list[Piece] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    done: set[TaskId] = field(default_factory=set)
    """The tasks that the change writes already."""

    def open_task(self, task_id: str, agent: Agent) -> Seen[Task] | None:
        """The task, if it is the agent's to end and was not dealt with yet."""
        seen = self.tasks.get(TaskId(task_id))
        if seen is None or seen.record.id in self.done:
            return None
        task = seen.record
        return seen if task.assigned_to == agent.id and not task.state.is_terminal else None


class Handover:
    """Hands over what agents of one town leave. `by` names in the journal who asked for it."""

    def __init__(self, store: Store, keys: Keys, mailroom: Mailroom, backlog: Backlog, *, by: str) -> None:
        self._store = store
        self._keys = keys
        self._mailroom = mailroom
        self._backlog = backlog
        self._by = by

    async def tasks_of(self, agents: Iterable[Agent]) -> dict[AgentId, list[TaskId]]:
        """The tasks of each of these that have not ended."""
        wanted = {agent.id for agent in agents}
        found: dict[AgentId, list[TaskId]] = defaultdict(list)
        for state in OPEN:
            for task in await self._store.tasks(state):
                if task.assigned_to in wanted and task.assigned_to is not None:
                    found[task.assigned_to].append(task.id)
        return found

    async def to_agent(
        self, agent: Agent, heir: Agent, tasks: Sequence[TaskId], *, then: Then, by_force: bool = False
    ) -> HandedOver:
        """Give all that an agent has to another one. `tasks` are those it has, from `tasks_of`.

        Raises `MailboxFull` when the other one's mailbox cannot take it all, `Conflict` when a turn of the agent
        has some of it in hand and it is not taken `by_force`.
        """
        return await self._hand_over(agent, heir, tasks, then=then, by_force=by_force)

    async def to_backlog(
        self, agent: Agent, tasks: Sequence[TaskId], *, then: Then, by_force: bool = False
    ) -> HandedOver:
        """Put all the work that an agent has into the backlog, and the rest into the conductor's mailbox.

        As `to_agent`.
        """
        return await self._hand_over(agent, None, tasks, then=then, by_force=by_force)

    async def _hand_over(
        self, agent: Agent, heir: Agent | None, tasks: Sequence[TaskId], *, then: Then, by_force: bool
    ) -> HandedOver:
        while True:
            seen = await self._store.see_agent(agent.id)
            (contents,) = await self._mailroom.contents([agent.id])
            if then is Then.STAYS and not seen.record.state.is_terminal:
                raise Conflict(f"Agent '{agent.name}' was started again in the meantime")
            plan = _Plan(self._store.change(), await self._see(contents, tasks))
            for letter in contents.letters:
                self._letter(plan, letter, agent, heir)
            for task_id in tasks:
                left = plan.open_task(task_id, agent)
                if left is not None:
                    self._leftover(plan, left, heir, gone=then is Then.GOES)
            if then is Then.STAYS and not plan.pieces:
                return HandedOver(seen.record, ())
            self._close(plan, seen, then)
            to = (heir.id if heir is not None else SUPERVISOR_ID) if any(plan.kept) else None
            if to is not None:
                plan.change.ring(to)
            try:
                await self._mailroom.move(plan.change, contents, plan.kept, to, by_force=by_force)
            except Raced:
                continue
            return HandedOver(seen.record, tuple(plan.pieces))

    async def _see(self, contents: Contents, tasks: Sequence[TaskId]) -> dict[TaskId, Seen[Task]]:
        """The tasks that the mailbox speaks of and the others of the agent, as they are now."""
        bodies = [letter.message.body for letter in contents.letters if letter.message is not None]
        named = [TaskId(body.task_id) for body in bodies if isinstance(body, TaskAssign) and is_id(body.task_id)]
        # What asks for work becomes a task under the message's own id, unless there is one already.
        asked = [TaskId(each.message.id) for each in contents.letters if each.message and is_id(each.message.id)]
        wanted = list(dict.fromkeys([*tasks, *named, *asked]))
        found = await self._backlog.see(wanted)
        return {task_id: seen for task_id, seen in zip(wanted, found, strict=True) if seen is not None}

    def _letter(self, plan: _Plan, letter: Letter, agent: Agent, heir: Agent | None) -> None:
        message = letter.message
        body = message.body if message is not None else None
        seen = plan.open_task(body.task_id, agent) if isinstance(body, TaskAssign) else None
        task: Task | None = None
        if heir is not None:
            where = Where.AGENT
            task = self._reassign(plan, seen, heir) if seen is not None else None
        elif seen is not None:
            where, task = Where.BACKLOG, self._release(plan, seen)
        elif isinstance(body, TaskAssign) and TaskId(body.task_id) in plan.tasks:
            where = Where.NOWHERE
        elif isinstance(body, Work) and message is not None:
            where, task = Where.BACKLOG, self._as_task(plan, message, body, letter.failures)
        else:
            where = Where.CONDUCTOR
        plan.kept.append(where in (Where.AGENT, Where.CONDUCTOR))
        plan.pieces.append(Piece(where, message, task))

    def _leftover(self, plan: _Plan, seen: Seen[Task], heir: Agent | None, *, gone: bool) -> None:
        """A task of the agent that no message speaks of."""
        if seen.record.waits or seen.record.state is TaskState.PENDING:
            # It waits for other tasks or for its review, and for its agent only after them.
            if heir is None and not gone:
                return
            task = replace(seen.record, assigned_to=heir.id if heir is not None else None)
            plan.change.replace_task(seen, task)
        elif heir is not None:
            task = self._reassign(plan, seen, heir)
            plan.change.send(Message(task.assigned_by or SUPERVISOR_ID, heir.id, TaskAssign(task.id)))
        else:
            task = self._release(plan, seen)
        plan.pieces.append(Piece(Where.BACKLOG if heir is None else Where.AGENT, None, task))

    def _reassign(self, plan: _Plan, seen: Seen[Task], heir: Agent) -> Task:
        task = seen.record.returned() if seen.record.state is TaskState.RUNNING else seen.record
        task = task.assign(heir.id)
        plan.done.add(task.id)
        plan.change.replace_task(seen, task)
        plan.change.tell(
            Event("task.assigned", agent=heir.id, task=task.id, detail=f"reclaimed for {heir.name} by {self._by}")
        )
        return task

    def _release(self, plan: _Plan, seen: Seen[Task]) -> Task:
        task = seen.record.release()
        plan.done.add(task.id)
        plan.change.replace_task(seen, task)
        self._backlog.put(plan.change, task.id)
        plan.change.tell(Event("task.released", task=task.id, detail=f"back to the backlog by {self._by}"))
        return task

    def _as_task(self, plan: _Plan, message: Message, body: Work, failures: int) -> Task:
        """What asks for work as a task, under the message's own id unless a task has it already."""
        task = Task(body.description, assigned_by=message.sender, source=TaskSource.BACKLOG, attempts=failures)
        own = TaskId(message.id)
        if is_id(own) and own not in plan.tasks and own not in plan.done:
            task = replace(task, id=own)
        plan.done.add(task.id)
        plan.change.create_task(task)
        self._backlog.put(plan.change, task.id)
        plan.change.tell(Event("backlog.added", task=task.id, message=message.id, detail=f"by {self._by}"))
        return task

    def _close(self, plan: _Plan, seen: Seen[Agent], then: Then) -> None:
        """Let the change do to the agent what shall become of it; it must be as it was seen."""
        agent, change = seen.record, plan.change
        counts = Counter(piece.where for piece in plan.pieces)
        said = ", ".join(f"{count} to {_PLACES[where]}" for where, count in counts.items())
        if then is Then.GOES:
            delete_agent(change, self._keys, seen)
            change.tell(Event("agent.pruned", agent=agent.id, detail=f"{agent.name}; {said or 'it had nothing'}"))
            return
        if then is Then.ENDS and not agent.state.is_terminal:
            ended = replace(agent.after(AgentEvent.STOP), in_round=False, current_task=None)
            change.replace_agent(seen, ended)
            # A turn of it that still runs finds that its placement is gone, and is cut.
            change.write("HINCRBY", self._keys("epochs"), agent.id, 1)
            change.write("HDEL", self._keys("placed"), agent.id)
            change.write("SREM", self._keys("unplaced"), agent.id)
            change.write("PUBLISH", self._keys("bell"), agent.id)
            change.tell(Event("agent.killed", agent=agent.id, detail=f"{agent.name}, now, by {self._by}"))
        else:
            change.checks.append((self._keys("agent", agent.id), "=", seen.raw))
        if said:
            change.tell(Event("agent.reclaimed", agent=agent.id, detail=f"{agent.name}: {said}"))


_PLACES: Mapping[Where, str] = {
    Where.AGENT: "another agent",
    Where.BACKLOG: "the backlog",
    Where.CONDUCTOR: "the conductor",
    Where.NOWHERE: "nobody",
}
