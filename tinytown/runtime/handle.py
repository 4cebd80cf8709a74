"""`AgentHandle`: one agent, as a program that uses the Python API holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage
from tinytown.messages import Message, Priority
from tinytown.records import Agent, Task
from tinytown.runtime.operations.registry import Scope, require
from tinytown.runtime.operations.texts import checked_text

if TYPE_CHECKING:
    from tinytown.ids import AgentId, MessageId, TaskId
    from tinytown.messages import Body
    from tinytown.runtime.town import Town


class AgentHandle:
    """An agent of a town that is open. Given by `Town.spawn_agent` and `Town.agent`.

    >>> async def main(town):
    ...     worker = await town.agent("worker-1")
    ...     task_id = await worker.assign("Fix the failing test in tests/test_parser.py")
    ...     print(await worker.inbox_len(), (await worker.state()).state)
    """

    __slots__ = ("_town", "id", "name")

    def __init__(self, town: Town, agent: Agent) -> None:
        self._town = town
        self.id: AgentId = agent.id
        self.name = agent.name

    def __repr__(self) -> str:
        return f"<AgentHandle {self.name} {self.id}>"

    async def assign(self, task: Task | str) -> TaskId:
        """Give the agent a task, a text or a record made by `Task(...)`, and return the task's id.

        The record and the message about it are stored together or not at all. A runtime is started when none of
        this host lives; where that fails the task waits for one. Raises `TooLarge`, `MailboxFull`,
        `TownFull`, `Conflict` for a record that is stored already.

        >>> async def main(worker):
        ...     task = Task("Write the changelog").with_tags(["docs"])
        ...     assert await worker.assign(task) == task.id
        """
        from dataclasses import replace

        from tinytown.runtime.operations.rousing import rouse
        from tinytown.runtime.operations.tasks import assign_record

        require(self._town, Scope.WRITE)
        record = task if isinstance(task, Task) else Task(description=task)
        text = checked_text(record.description, self._town, what="task description")
        agent = await self._town.store.agent(self.id)
        stored = await assign_record(self._town, replace(record, description=text), agent)
        if not stored.waits:
            await rouse(self._town, [agent])
        return stored.id

    async def send(self, body: Body | str, *, priority: Priority = Priority.NORMAL) -> MessageId:
        """Send the agent a message and return its id; a text is a request to do something.

        For what asks for work a runtime is started as `assign` does.
        Raises `TooLarge`, `MailboxFull`, `TownFull`, `AgentNotFound`.

        >>> async def main(worker):
        ...     await worker.send(Query("How far are you?"), priority=Priority.HIGH)
        """
        from tinytown.messages import Work
        from tinytown.runtime.operations.rousing import rouse

        require(self._town, Scope.WRITE, for_workers=True)
        said = Work(checked_text(body, self._town, what="message")) if isinstance(body, str) else body
        message = Message(self._town.caller.agent_id, self.id, said, priority=priority)
        try:
            Message.decode(message.encode())
        except (UnicodeEncodeError, TypeError, AttributeError) as error:
            raise BadMessage(f"This cannot be sent as a message: {error}") from error
        await self._town.mailbox.send(message)
        if message.starts_a_round():
            await rouse(self._town, [await self._town.store.agent(self.id)])
        return message.id

    async def inbox_len(self) -> int:
        """How many messages wait for the agent or are in the hands of its running turn."""
        return await self._town.mailbox.waiting(self.id)

    async def state(self) -> Agent:
        """The agent's record as it is now."""
        return await self._town.store.agent(self.id)

    async def wait(self) -> Agent:
        """Return the agent's record when it has stopped or gone to Error. Limit it by a cancel scope.

        >>> async def main(worker):
        ...     with trio.move_on_after(60):
        ...         await worker.wait()
        """
        from tinytown.runtime.operations.waiting import Wait, wait

        return cast("Agent", await wait(self._town, Wait(agent=self.id)))

    async def wait_task(self, task_id: TaskId) -> Task:
        """Return a task's record when it has ended. Limit it by a cancel scope.

        Raises `Conflict` when the agent that has the task has stopped or is in error: nothing would end it.
        """
        from tinytown.runtime.operations.waiting import Wait, wait

        return cast("Task", await wait(self._town, Wait(task=task_id)))

    async def kill(self, *, now: bool = False) -> Agent:
        """Ask the agent to end after its turn, or `now`; gives its record as it is then.

        Raises `IllegalTransition` when it is stopped already.
        """
        from tinytown.runtime.operations.agents import Kill, kill

        return (await kill(self._town, Kill(self.id, now=now))).agent
