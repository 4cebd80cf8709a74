"""Records: read, list, find by what a person types, change by compare-and-set.

What changes them is a `Change`; one script does all of it or nothing. Nobody reads, modifies and writes without that
guard; a lost race is read again and decided again, by the tables of `lifecycle.py`, so it comes back as
`IllegalTransition` naming the state the record is in by now.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar, cast

from tinytown.errors import AgentNotFound, BadMessage, TaskNotFound
from tinytown.ids import SUPERVISOR_ID, SUPERVISOR_NAMES, AgentId, TaskId, is_id, resolve
from tinytown.records import Agent, Record, Task
from tinytown.transport import scripts
from tinytown.transport.change import Change, Raced, Seen
from tinytown.transport.mailbox import pairs
from tinytown.transport.questions import Question, ask
from tinytown.transport.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tinytown.config import Limits
    from tinytown.lifecycle import TaskState
    from tinytown.transport.connection import Connection
    from tinytown.transport.delivery import Fence
    from tinytown.transport.keys import Keys

__all__ = ("Change", "Raced", "Seen", "Store", "in_order")

_R = TypeVar("_R", bound=Record)


class Store:
    """The records of one town."""

    def __init__(self, connection: Connection, keys: Keys, limits: Limits) -> None:
        self._connection = connection
        self._keys = keys
        self._limits = limits
        self.waiting = Waiting(connection, keys)

    @property
    def limits(self) -> Limits:
        """What the town takes before it refuses."""
        return self._limits

    @property
    def keys(self) -> Keys:
        """The keys of the town."""
        return self._keys

    def change(self, fence: Fence | None = None) -> Change:
        """An empty change, to be filled and committed."""
        return Change(self._keys, fence)

    async def commit(self, change: Change) -> None:
        """Do all of it or nothing.

        Raises `Raced` when a record is not what was read or a message to be taken is not there any more,
        `LeaseLost` when the actor's epoch is over, and the refusals of `Mailbox.send` for its messages. Under a
        fence it is done on a full server, too: a turn that is over must be told, or its messages could never leave.
        """
        script = scripts.COMMIT if change.fence is None else scripts.FINISH
        words = change.words(self._limits)
        change.judge(await script.run(self._connection, self._keys.prefix, words), self._limits)

    async def agents(self) -> list[Agent]:
        """Every agent but the supervisor, in the order of creation."""
        (agent_ids,) = await ask(self._connection, self.everybody())
        return in_order(await self.agents_of(agent_ids))

    async def agents_of(self, agent_ids: Sequence[AgentId]) -> list[Agent]:
        """Those of these agents that there are."""
        (found,) = await ask(self._connection, self.these(agent_ids))
        return found

    def everybody(self) -> Question[list[AgentId]]:
        """The ids of all agents but the supervisor, in no order."""
        return Question(
            [("HVALS", self._keys("names"))],
            lambda replies: [AgentId(raw.decode()) for raw in cast("list[bytes]", replies[0])],
        )

    def these(self, agent_ids: Sequence[AgentId]) -> Question[list[Agent]]:
        """Those of these agents that there are."""
        return self._question(_agent, "agent", agent_ids)

    async def names(self) -> dict[AgentId, str]:
        """The name of every agent by its id."""
        reply = await self._connection.execute("HGETALL", self._keys("names"), repeat=True)
        return {AgentId(value.decode()): name.decode() for name, value in pairs(reply)}

    async def agent(self, agent_id: AgentId) -> Agent:
        """The agent with this id; `AgentNotFound`."""
        return (await self.see_agent(agent_id)).record

    async def see_agent(self, agent_id: AgentId) -> Seen[Agent]:
        """The agent with the bytes it was read from, to be replaced in a commit; `AgentNotFound`."""
        raw = await self._connection.execute("GET", self._keys("agent", agent_id), repeat=True)
        if raw is None:
            raise AgentNotFound(agent_id)
        return Seen(Agent.decode(cast("bytes", raw)), cast("bytes", raw))

    async def find_agent(self, wanted: str) -> Agent:
        """The agent a person means: by name, by id, by a unique prefix of its id.

        `AgentNotFound`, `AmbiguousId`. The reserved names give the supervisor.
        """
        if wanted in SUPERVISOR_NAMES:
            return await self.agent(SUPERVISOR_ID)
        named = await self._connection.execute("HGET", self._keys("names"), wanted, repeat=True)
        if named is not None:
            return await self.agent(AgentId(cast("bytes", named).decode()))
        if is_id(wanted.lower()):
            return await self.agent(AgentId(wanted.lower()))
        names = cast("list[bytes]", await self._connection.execute("HVALS", self._keys("names"), repeat=True))
        found = resolve(wanted, [AgentId(raw.decode()) for raw in names])
        if found is None:
            raise AgentNotFound(wanted)
        return await self.agent(found)

    async def tasks(self, state: TaskState | None = None, agent: AgentId | None = None) -> list[Task]:
        """Every task, or those in one state, or of one agent that there is, in the order of creation."""
        sets = [] if state is None else [self._keys("tasks_in", state)]
        sets += [] if agent is None else [self._keys("agent_tasks", agent)]
        if sets:
            members = await self._connection.execute("SINTER", *sets, repeat=True)
        else:
            members = await self._connection.execute("ZRANGE", self._keys("tasks"), 0, -1, repeat=True)
        found = await self._records(Task, "task", [raw.decode() for raw in cast("Iterable[bytes]", members)])
        return sorted(found, key=lambda task: (task.created_at, task.id))

    async def tasks_of(self, task_ids: Sequence[TaskId]) -> list[Task]:
        """Those of these tasks that there are."""
        return await self._records(Task, "task", task_ids)

    async def task(self, task_id: TaskId) -> Task:
        """The task with this id; `TaskNotFound`."""
        return (await self.see_task(task_id)).record

    async def see_task(self, task_id: TaskId) -> Seen[Task]:
        """The task with the bytes it was read from, to be replaced in a commit; `TaskNotFound`."""
        raw = await self._connection.execute("GET", self._keys("task", task_id), repeat=True)
        if raw is None:
            raise TaskNotFound(task_id)
        return Seen(Task.decode(cast("bytes", raw)), cast("bytes", raw))

    async def find_task(self, wanted: str) -> Task:
        """The task a person means, by id or unique prefix; `TaskNotFound`, `AmbiguousId`."""
        if is_id(wanted.lower()):
            return await self.task(TaskId(wanted.lower()))
        members = await self._connection.execute("ZRANGE", self._keys("tasks"), 0, -1, repeat=True)
        ids = [TaskId(raw.decode()) for raw in cast("Iterable[bytes]", members)]
        found = resolve(wanted, ids)
        if found is None:
            raise TaskNotFound(wanted)
        return await self.task(found)

    async def update_agent(
        self,
        agent_id: AgentId,
        decide: Callable[[Agent], Agent],
        also: Callable[[Change, Agent, Agent], object] | None = None,
        *,
        fence: Fence | None = None,
    ) -> Agent:
        """Replace an agent by what `decide` makes of it, together with what `also(change, before, after)` adds.

        Decides again, on what is there by then, as often as somebody else was faster. Gives the new record.
        """
        while True:
            seen = await self.see_agent(agent_id)
            after = decide(seen.record)
            change = self.change(fence).replace_agent(seen, after)
            if also is not None:
                also(change, seen.record, after)
            try:
                await self.commit(change)
            except Raced:
                continue
            return after

    async def update_task(
        self,
        task_id: TaskId,
        decide: Callable[[Task], Task],
        also: Callable[[Change, Task, Task], object] | None = None,
        *,
        fence: Fence | None = None,
    ) -> Task:
        """As `update_agent`, for a task."""
        while True:
            seen = await self.see_task(task_id)
            after = decide(seen.record)
            change = self.change(fence).replace_task(seen, after)
            if also is not None:
                also(change, seen.record, after)
            try:
                await self.commit(change)
            except Raced:
                continue
            return after

    async def _records(self, record: type[_R], key: str, ids: Sequence[str]) -> list[_R]:
        (found,) = await ask(self._connection, self._question(record.decode, key, ids))
        return found

    def _question(self, decode: Callable[[bytes], _R], key: str, ids: Sequence[str]) -> Question[list[_R]]:
        names = [self._keys(key, identifier) for identifier in ids]
        return Question(
            [("MGET", *names)] if names else [],
            lambda replies: _sound(decode, cast("list[bytes | None]", replies[0]) if replies else []),
        )


def in_order(agents: Iterable[Agent]) -> list[Agent]:
    """Agents in the order of creation."""
    return sorted(agents, key=lambda agent: (agent.created_at, agent.name))


@lru_cache(1024)
def _agent(raw: bytes) -> Agent:
    # Agents are read again and again, and change seldom: the same bytes are the same record, which is frozen.
    return Agent.decode(raw)


def _sound(decode: Callable[[bytes], _R], raws: Iterable[bytes | None]) -> list[_R]:
    records = []
    for raw in raws:
        if raw is not None:
            try:
                records.append(decode(raw))
            except BadMessage:
                # One damaged record must not hide the others; `tt doctor` lists it.
                continue
    return records
