"""`Channel`: messages and records of a town, directly, for programs that use the Python API.

A program can be an agent itself: `receive` takes messages the way an agent's actor does. For that the agent is
placed on this process, under a lease that is renewed as long as the town is open; a runtime that holds the agent
keeps it. What is received is settled at the end of its block, or goes back.
"""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from tinytown.actors.succession import release_dependents
from tinytown.errors import AgentNotFound, Conflict, Forbidden, IllegalTransition, TaskNotFound, TownError
from tinytown.ids import agent_name
from tinytown.lifecycle import AGENT, TASK
from tinytown.records import Agent, Record, Task
from tinytown.runtime.operations.registry import Scope, require
from tinytown.runtime.seat import Received, Seats
from tinytown.transport.store import Raced, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.ids import AgentId, TaskId
    from tinytown.messages import Message
    from tinytown.runtime.town import Town
    from tinytown.transport.store import Change

_R = TypeVar("_R", bound=Record)
_S = TypeVar("_S", bound=StrEnum)
_E = TypeVar("_E", bound=StrEnum)

_REMEMBERED = 1024
"""Records of which it is remembered how they were read, for `set_task` and `set_agent_state`."""


class Channel:
    """The channel of one town; `town.channel`.

    >>> async def main(town, worker):
    ...     channel = town.channel
    ...     await channel.send(Message(SUPERVISOR_ID, worker.id, StatusRequest()))
    ...     print(await channel.inbox_len(worker.id))
    """

    def __init__(self, town: Town) -> None:
        self._town = town
        self._seats: Seats | None = None
        self._agents: _Memory[Agent] = _Memory()
        self._tasks: _Memory[Task] = _Memory()

    async def send(self, message: Message) -> bool:
        """Put a message into its recipient's mailbox; False when one with this id was accepted before.

        Raises `TooLarge`, `MailboxFull`, `TownFull`, `AgentNotFound`, and `Forbidden` when an agent writes under
        another's name; then nothing was stored.
        """
        self._check_sender(message)
        return await self._town.mailbox.send(message)

    async def broadcast(self, message: Message) -> int:
        """Publish a message to whoever listens at this moment; gives how many. It is stored nowhere."""
        self._check_sender(message)
        return await self._town.mailbox.broadcast(message)

    async def receive(self, agent_id: AgentId) -> Received:
        """The next message for this agent, as soon as there is one. Limit the wait by a cancel scope.

        Settle it: `async with` takes it as done at the end of the block and gives it back when the block raises.
        Raises `Conflict` when a runtime holds the agent, or the agent has ended.

        >>> async def main(channel, agent_id):
        ...     with trio.move_on_after(30):
        ...         async with await channel.receive(agent_id) as message:
        ...             print(message.body)
        """
        self._check_player(agent_id)
        return await self._my_seats().receive(agent_id)

    async def try_receive(self, agent_id: AgentId) -> Received | None:
        """As `receive`, but None when nothing waits."""
        self._check_player(agent_id)
        return await self._my_seats().try_receive(agent_id)

    async def inbox_len(self, agent_id: AgentId) -> int:
        """How many messages wait for the agent or are in the hands of a turn."""
        return await self._town.mailbox.waiting(agent_id)

    async def get_task(self, task_id: TaskId) -> Task | None:
        """The record of a task; None when there is none."""
        try:
            seen = await self._town.store.see_task(task_id)
        except TaskNotFound:
            return None
        self._tasks.keep(task_id, seen)
        return seen.record

    async def set_task(self, task: Task) -> None:
        """Store the record of a task, new or changed.

        A change is compared with what `get_task` gave: when somebody else was faster it raises `Conflict`, when
        the life of a task has no such step `IllegalTransition`, and nothing is stored.

        >>> async def main(channel, task_id):
        ...     task = await channel.get_task(task_id)
        ...     await channel.set_task(task.start())
        """
        require(self._town, Scope.WRITE)
        change = self._town.store.change()
        try:
            seen = self._tasks.take(task.id) or await self._town.store.see_task(task.id)
        except TaskNotFound:
            change.create_task(task)
        else:
            _check_step(TASK, seen.record.state, task.state, f"Task {task.id}")
            change.replace_task(seen, task)
        await self._commit(change, f"Task {task.id}")
        if task.state.is_terminal:
            # The lifeline does whatever fails here.
            with suppress(TownError):
                await release_dependents(self._town.store, task.id)

    async def get_agent_state(self, agent_id: AgentId) -> Agent | None:
        """The record of an agent; None when there is none."""
        try:
            seen = await self._town.store.see_agent(agent_id)
        except AgentNotFound:
            return None
        self._agents.keep(agent_id, seen)
        return seen.record

    async def set_agent_state(self, agent: Agent) -> None:
        """Store the record of an agent, new or changed; errors as `set_task`, and `InvalidName`.

        A new agent's name must be free. Nothing is started for it.
        """
        require(self._town, Scope.MANAGE)
        change = self._town.store.change()
        try:
            seen = self._agents.take(agent.id) or await self._town.store.see_agent(agent.id)
        except AgentNotFound:
            agent_name(agent.name)
            change.create_agent(agent)
        else:
            if seen.record.name != agent.name:
                raise Conflict(f"Agent '{seen.record.name}' cannot change its name") from None
            _check_step(AGENT, seen.record.state, agent.state, f"Agent '{agent.name}'")
            change.replace_agent(seen, agent).ring(agent.id)
        await self._commit(change, f"Agent '{agent.name}'")

    async def close(self) -> None:
        """Give back what was received and not settled, and the agents. The town calls it at its end."""
        if self._seats is not None:
            await self._seats.close()

    def _my_seats(self) -> Seats:
        if self._seats is None:
            self._seats = Seats(self._town)
        return self._seats

    def _check_player(self, agent_id: AgentId) -> None:
        if agent_id != self._town.caller.agent_id:
            require(self._town, Scope.MANAGE)

    def _check_sender(self, message: Message) -> None:
        require(self._town, Scope.WRITE, for_workers=True)
        caller = self._town.caller
        if caller.kind == "agent" and message.sender != caller.agent_id:
            raise Forbidden(f"Agent '{caller.name}' cannot write as {message.sender}")

    async def _commit(self, change: Change, what: str) -> None:
        try:
            await self._town.store.commit(change)
        except Raced:
            raise Conflict(
                f"{what} was changed by somebody else meanwhile; nothing was stored",
                hint="Read it again and decide anew.",
            ) from None


class _Memory(Generic[_R]):
    """The bytes that records were read from, of the last ones read."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen[_R]] = {}

    def keep(self, record_id: str, seen: Seen[_R]) -> None:
        self._seen.pop(record_id, None)
        self._seen[record_id] = seen
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def take(self, record_id: str) -> Seen[_R] | None:
        return self._seen.pop(record_id, None)


def _check_step(table: Mapping[_S, Mapping[_E, _S]], now: _S, wanted: _S, what: str) -> None:
    """Raise `IllegalTransition` unless the record may get from one state to the other in one step."""
    if wanted is not now and wanted not in table[now].values():
        raise IllegalTransition(what, now=now.value, event=f"to {wanted}")
