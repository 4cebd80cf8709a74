"""What one round works on: the claimed messages, read, resolved and sorted before any CLI starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown.actors.prompts import Entry
from tinytown.errors import TaskNotFound
from tinytown.ids import SUPERVISOR_ID, TaskId
from tinytown.messages import Message, Ping, Shutdown, StatusRequest, TaskAssign
from tinytown.transport.delivery import Ack, DeadLetter, Quarantine, Return

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tinytown.ids import AgentId
    from tinytown.records import Agent, Task
    from tinytown.transport.delivery import Delivery, Outcome
    from tinytown.transport.store import Store

_ANSWERED_HERE = (Ping, StatusRequest, Shutdown)
"""The runtime knows the answers to these; they cost no tokens."""


@dataclass(slots=True)
class Round:
    """A round before, during and after its run.

    `decided` holds the outcomes that need no run. `entries` is what the prompt shows, in the order of reading.
    `lasting` are tasks that its end leaves open; `news` is told when it has ended well; `tokens` is what its CLI says
    that it has used.
    """

    number: int
    entries: list[tuple[Delivery, Entry]] = field(default_factory=list)
    answerable: list[Delivery] = field(default_factory=list)
    decided: dict[int, Outcome] = field(default_factory=dict)
    lasting: tuple[TaskId, ...] = ()
    news: list[Message] = field(default_factory=list)
    tokens: int = 0

    def asks_for_work(self, starts: Callable[[Message], bool] = Message.starts_a_round) -> bool:
        """There is something in it that may start a run."""
        return any(starts(entry.message) for _, entry in self.entries)

    @property
    def task_ids(self) -> list[TaskId]:
        """The tasks it works on, each once."""
        handed_over = (entry.task.id for _, entry in self.entries if entry.task is not None)
        return list(dict.fromkeys([*self.lasting, *handed_over]))

    def decide_all(self, outcome: Outcome) -> dict[int, Outcome]:
        """The outcomes of all deliveries when everything shown shares one."""
        return {**self.decided, **{delivery.tag: outcome for delivery, _ in self.entries}}


async def gather(
    store: Store, agent: Agent, deliveries: Iterable[Delivery], names: Mapping[AgentId, str], *, size: int
) -> Round:
    """The round of these deliveries, its texts together about `size` bytes at most (one is always taken).

    Bytes that are no message go to quarantine; an assignment whose task has ended, waits for others or went to
    somebody else is done with; one whose task does not exist becomes a dead letter. What does not fit goes back.
    """
    found = Round(agent.rounds_completed + 1)
    room = size
    for delivery in deliveries:
        message = delivery.message
        if message is None:
            found.decided[delivery.tag] = Quarantine(delivery.fault)
        elif isinstance(message.body, _ANSWERED_HERE):
            found.answerable.append(delivery)
        else:
            task, outcome = await _task_of(store, agent, message.body)
            if outcome is not None:
                found.decided[delivery.tag] = outcome
                continue
            entry = Entry(message, _name(message.sender, names), delivery.attempt, task)
            room -= entry.size
            if room < 0 and found.entries:
                found.decided[delivery.tag] = Return()
            else:
                found.entries.append((delivery, entry))
    return found


async def _task_of(store: Store, agent: Agent, body: object) -> tuple[Task | None, Outcome | None]:
    if not isinstance(body, TaskAssign):
        return None, None
    try:
        task = await store.task(TaskId(body.task_id))
    except TaskNotFound:
        return None, DeadLetter(f"task {body.task_id} does not exist")
    if task.state.is_terminal or task.assigned_to != agent.id or task.waits:
        # What waits for others comes again when they are done.
        return task, Ack()
    return task, None


def _name(sender: AgentId, names: Mapping[AgentId, str]) -> str:
    return "conductor" if sender == SUPERVISOR_ID else names.get(sender, sender)
