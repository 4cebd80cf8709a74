"""What one commit does: which records must still be what was read, what is written, what goes out with it.

What must be true: nothing is overwritten unread. A record is replaced only where its bytes are still those that it
was read from, and the indexes that lead to it are written in the same commit.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from tinytown.errors import LeaseLost
from tinytown.lifecycle import AgentState
from tinytown.messages import decode_json
from tinytown.records import Agent, Event, Record, Task
from tinytown.transport import agent_index, task_index
from tinytown.transport.mailbox import LANE_NUMBER, checked, refuse, send_header

if TYPE_CHECKING:
    from tinytown.config import Limits
    from tinytown.ids import AgentId
    from tinytown.messages import Message
    from tinytown.transport.connection import Reply, Value
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

    def require_count(self, key: str, count: int) -> Change:
        """The sorted set must still have so many entries: nothing was added that was not looked at."""
        self.checks.append((key, "#", str(count).encode()))
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

    def words(self, limits: Limits) -> list[Value]:
        """The arguments of a committing script."""
        fence = self.fence
        words: list[Value] = [*send_header(limits)]
        words += (fence.id, fence.epoch) if fence else ("", "")
        for group in (self.checks, self.taken):
            words.append(len(group))
            for each in group:
                words += each
        words.append(len(self.writes))
        for write in self.writes:
            words += (len(write), *write)
        words.append(len(self.messages))
        for message in self.messages:
            raw = checked(message, limits)
            words += (message.to, LANE_NUMBER[message.priority], message.id, int(message.rings()), raw)
        events = [*self.events, *(_sent(message) for message in self.messages)]
        words.append(len(events))
        for event in events:
            told = event.to_fields()
            words += (len(told), *told)
        words += (len(self.bells), *self.bells)
        return words

    def judge(self, reply: Reply, limits: Limits) -> None:
        """Raise what the reply of a committing script means, as `Store.commit` does."""
        code, *rest = cast("list[int | bytes]", reply)
        if code == 0:
            raise Raced
        if code == -4:
            raise LeaseLost(f"Agent {self.fence.id if self.fence else ''} is held by somebody else")
        if code != 1:
            refused = cast("bytes", rest[0]).decode()
            to = next((message.to for message in self.messages if message.id == refused), refused)
            refuse(cast("int", code), to, limits)


def _sent(message: Message) -> Event:
    return Event(
        "message.sent",
        agent=message.to,
        message=message.id,
        detail=f"{message.body.type} from {message.sender}",
    )
