"""Records: read, list, find by what a person types, change by compare-and-set.

A change is a `Change`: which records must still be what was read, what is written, which messages go out with it,
what the journal is told. One script does all of it or nothing. Nobody reads, modifies and writes without that
guard; a lost race is read again and decided again, by the tables of `lifecycle.py`, so it comes back as
`IllegalTransition` naming the state the record is in by now.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from tinytown.errors import AgentNotFound, BadMessage, LeaseLost, TaskNotFound
from tinytown.ids import SUPERVISOR_ID, SUPERVISOR_NAMES, AgentId, TaskId, is_id, resolve
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import decode_json
from tinytown.records import Agent, Event, Record, Task
from tinytown.transport import agent_index, scripts, task_index
from tinytown.transport.mailbox import LANE_NUMBER, checked, pairs, refuse, send_header
from tinytown.transport.questions import Question, ask
from tinytown.transport.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tinytown.config import Limits
    from tinytown.messages import Message
    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.delivery import Control, Fence
    from tinytown.transport.keys import Keys

_HELD_STATES = frozenset({AgentState.PAUSED, AgentState.DRAINING, AgentState.STOPPED, AgentState.ERROR})
"""In these an agent claims nothing; the claim script asks the set, not the state."""

_R = TypeVar("_R", bound=Record)


class Seen(NamedTuple, Generic[_R]):
    """A record and the very bytes it was read from.

    A commit compares these, so that nothing is overwritten unread.
    """

    record: _R
    raw: bytes

    def overwrite(self, after: _R) -> bytes:
        """The bytes to write instead. Fields that this version does not know stay as they are."""
        known = {item.name for item in fields(after)}  # type: ignore[arg-type]
        old = decode_json(self.raw)
        unknown = {key: value for key, value in old.items() if key not in known} if isinstance(old, dict) else {}
        if not unknown:
            return after.encode()
        return json.dumps({**after.to_json(), **unknown}, ensure_ascii=False, separators=(",", ":")).encode()


class Raced(Exception):
    """A record was changed by somebody else between reading and committing; nothing was written."""


class Change:
    """What one commit does. Every method returns the change, so that it reads as a sentence.

    `fence`, where given, guards it: nothing happens once the actor's epoch is over.
    """

    def __init__(self, keys: Keys, fence: Fence | None = None) -> None:
        self._keys = keys
        self.fence = fence
        self.checks: list[tuple[str, str, bytes]] = []
        self.taken: list[tuple[str, int, bytes]] = []
        self.writes: list[tuple[Value, ...]] = []
        self.messages: list[Message] = []
        self.events: list[Event] = []
        self.bells: list[str] = []

    def create_agent(self, agent: Agent) -> Change:
        """Write a new agent; its name must be free."""
        key = self._keys("agent", agent.id)
        self.checks.append((key, "!", b""))
        self.checks.append((self._keys("names"), "-", agent.name.encode()))
        self.writes.append(("SET", key, agent.encode()))
        self.writes.append(("HSET", self._keys("names"), agent.name, agent.id))
        return self._place(None, agent)

    def create_supervisor(self) -> Change:
        """Write the supervisor's record: a mailbox with a well-known id that no list of agents shows."""
        agent = Agent.supervisor()
        self.writes.append(("SET", self._keys("agent", agent.id), agent.encode()))
        return self

    def replace_agent(self, seen: Seen[Agent], after: Agent) -> Change:
        """Write an agent over what was read."""
        key = self._keys("agent", after.id)
        self.checks.append((key, "=", seen.raw))
        self.writes.append(("SET", key, seen.overwrite(after)))
        return self._place(seen.record, after)

    def _place(self, before: Agent | None, agent: Agent) -> Change:
        """Put it where agents of its state are looked for."""
        self.writes += agent_index.index_writes(self._keys, before, agent)
        verb = "SADD" if agent.state in _HELD_STATES else "SREM"
        self.writes.append((verb, self._keys("held"), agent.id))
        if agent.state is AgentState.STARTING and self.fence is None:
            # Under a fence a runtime has it already.
            self.writes.append(("SADD", self._keys("unplaced"), agent.id))
        return self

    def create_task(self, task: Task) -> Change:
        """Write a new task."""
        key = self._keys("task", task.id)
        self.checks.append((key, "!", b""))
        self.writes.append(("SET", key, task.encode()))
        self.writes += task_index.index_writes(self._keys, None, task)
        return self

    def replace_task(self, seen: Seen[Task], after: Task) -> Change:
        """Write a task over what was read."""
        key = self._keys("task", after.id)
        self.checks.append((key, "=", seen.raw))
        self.writes.append(("SET", key, seen.overwrite(after)))
        self.writes += task_index.index_writes(self._keys, seen.record, after)
        return self

    def require_task(self, seen: Seen[Task]) -> Change:
        """The task must still be what was read."""
        self.checks.append((self._keys("task", seen.record.id), "=", seen.raw))
        return self

    def write(self, *words: Value) -> Change:
        """One more write command on a key of this town."""
        self.writes.append(words)
        return self

    def require_absent(self, key: str) -> Change:
        """The key must not exist."""
        self.checks.append((key, "!", b""))
        return self

    def take(self, agent_id: AgentId, lane: int, raw: bytes) -> Change:
        """Be done with a message that lies in this lane (1 is the first that is read) of this agent."""
        self.taken.append((agent_id, lane, raw))
        return self

    def send(self, message: Message) -> Change:
        """Send a message with it."""
        self.messages.append(message)
        return self

    def control(self, agent_id: AgentId, control: Control) -> Change:
        """Tell an actor, past its lanes, and wake it."""
        self.writes.append(("RPUSH", self._keys("control", agent_id), control.encode()))
        return self.ring(agent_id)

    def ring(self, agent_id: str) -> Change:
        """Wake whoever listens for this agent."""
        self.bells.append(agent_id)
        return self

    def tell(self, event: Event) -> Change:
        """Append to the journal."""
        self.events.append(event)
        return self


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
        self.judge(change, await script.run(self._connection, self._keys.prefix, self.words(change)))

    def judge(self, change: Change, reply: Reply) -> None:
        """Raise what the reply of a committing script means, as `commit` does."""
        code, *rest = cast("list[int | bytes]", reply)
        if code == 0:
            raise Raced
        if code == -4:
            raise LeaseLost(f"Agent {change.fence.id if change.fence else ''} is held by somebody else")
        if code != 1:
            refused = cast("bytes", rest[0]).decode()
            to = next((message.to for message in change.messages if message.id == refused), refused)
            refuse(cast("int", code), to, self._limits)

    def words(self, change: Change) -> list[Value]:
        """The arguments of a committing script."""
        fence = change.fence
        words: list[Value] = [*send_header(self._limits)]
        words += (fence.id, fence.epoch) if fence else ("", "")
        words.append(len(change.checks))
        for check in change.checks:
            words += check
        words.append(len(change.taken))
        for taken in change.taken:
            words += taken
        words.append(len(change.writes))
        for write in change.writes:
            words += (len(write), *write)
        words.append(len(change.messages))
        for message in change.messages:
            raw = checked(message, self._limits)
            words += (message.to, LANE_NUMBER[message.priority], message.id, int(message.rings()), raw)
        events = [*change.events, *(_sent(message) for message in change.messages)]
        words.append(len(events))
        for event in events:
            fields = event.to_fields()
            words += (len(fields), *fields)
        words += (len(change.bells), *change.bells)
        return words

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


def _sent(message: Message) -> Event:
    return Event(
        "message.sent",
        agent=message.to,
        message=message.id,
        detail=f"{message.body.type} from {message.sender}",
    )
