"""Messages: send, and look into inboxes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown.errors import BadMessage, Forbidden
from tinytown.ids import SUPERVISOR_ID, short
from tinytown.messages import (
    AckType,
    Body,
    Confirmation,
    Custom,
    Informational,
    Message,
    Priority,
    Query,
    StatusResponse,
    TaskAssign,
    TaskDone,
    TaskFailed,
    Work,
)
from tinytown.runtime.operations.bounds import words
from tinytown.runtime.operations.pending import kind_of, look
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import see_to
from tinytown.runtime.operations.task_views import name_of, texts_of
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.ids import AgentId
    from tinytown.records import Agent
    from tinytown.runtime.operations.pending import Counts, Kind, Waiting
    from tinytown.runtime.town import Town


class SendKind(StrEnum):
    """What a text means to its recipient."""

    TASK = "task"
    QUERY = "query"
    INFO = "info"
    ACK = "ack"


@dataclass(frozen=True, slots=True)
class Send:
    """A text for an agent (name, id or prefix; `conductor`). `sender` is for persons only: speak as this agent."""

    to: str
    text: str = words()
    kind: SendKind = SendKind.TASK
    priority: Priority = Priority.NORMAL
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and to whom.

    `note`: why what asks for work will not be read at once, where that can be seen, or that a runtime was started.
    """

    message: Message
    to: Agent
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """The inbox of an agent; None means the calling agent, for a person the conductor's."""

    agent: str | None = None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One waiting message: who sent it, of which kind it is, and its text; for an assignment that of the task."""

    message: Message
    sender_name: str
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class InboxView:
    """What waits for an agent, in the order of reading.

    `counts` and `entries` are of the first messages of each lane where very many wait; `waiting` is of all.
    `unreadable` are bytes that are no message. `in_hand` were taken by a turn that runs.
    """

    agent: Agent
    entries: tuple[InboxEntry, ...]
    counts: Counts
    waiting: int
    in_hand: int = 0
    unreadable: int = 0

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages alone."""
        return tuple(entry.message for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Inboxes:
    """The inboxes of all agents."""


@dataclass(frozen=True, slots=True)
class InboxesView:
    """Every agent with what waits for it, in the order of creation, and the conductor's inbox."""

    agents: tuple[InboxView, ...]
    conductor: InboxView
    actionable: int = 0
    """Waiting messages of the agents that ask for work."""


@operation("message.send", Scope.WRITE, for_workers=True)
async def send(town: Town, request: Send) -> Sent:
    """Send an agent a message.

    An agent speaks as itself; only a person may name another sender. Raises `AgentNotFound`, `Forbidden`,
    `Invalid`, `TooLarge`, `MailboxFull`, `TownFull`.
    """
    text = checked_text(request.text, town, what="message")
    to = await town.store.find_agent(request.to)
    sender = await _sender(town, request.sender)
    message = Message(sender, to.id, _body(request.kind, text), priority=request.priority)
    if town.caller.kind == "agent" and sender == to.id == SUPERVISOR_ID:
        # What the conductor says to its own mailbox is for the person, and must not start it again.
        from tinytown.actors.conductor import note

        message = note(text)
    await town.mailbox.send(message)
    return Sent(message, to, await see_to(town, to) if message.starts_a_round() else None)


@operation("inbox.show", Scope.READ)
async def inbox(town: Town, request: Inbox) -> InboxView:
    """Show what waits for an agent.

    Raises `AgentNotFound`.
    """
    if request.agent is None:
        agent = await town.store.agent(town.caller.agent_id)
    else:
        agent = await town.store.find_agent(request.agent)
    (waiting,) = await look(town, [agent.id])
    (shown,) = await _views(town, [agent], [waiting])
    return shown


@operation("inbox.list", Scope.READ)
async def inboxes(town: Town, request: Inboxes) -> InboxesView:
    """Show what waits for each agent."""
    agents = [*await town.store.agents(), await town.store.agent(SUPERVISOR_ID)]
    *views, conductor = await _views(town, agents, await look(town, [agent.id for agent in agents]))
    return InboxesView(tuple(views), conductor, sum(each.counts.actionable for each in views))


async def _sender(town: Town, named: str | None) -> AgentId:
    if named is None:
        return town.caller.agent_id
    sender = (await town.store.find_agent(named)).id
    if town.caller.kind == "agent" and sender != town.caller.agent_id:
        raise Forbidden(
            f"Agent '{town.caller.name}' cannot write as '{one_line(named, 64)}'",
            hint="Leave --from out: the sender is known.",
        )
    return sender


def _body(kind: SendKind, text: str) -> Body:
    if kind is SendKind.TASK:
        return Work(text)
    if kind is SendKind.QUERY:
        return Query(text)
    if kind is SendKind.INFO:
        return Informational(text)
    # "Received. I'll start soon." is a receipt; only a whole first word counts, never a part of one.
    first = re.match(r"[a-z]+", text.lower())
    word = first[0] if first is not None else ""
    return Confirmation(AckType(word) if word in _ACK_WORDS else AckType.ACKNOWLEDGED, reason=text)


_ACK_WORDS = frozenset(AckType)


async def _views(town: Town, agents: Sequence[Agent], found: Sequence[Waiting]) -> list[InboxView]:
    names = await town.store.names()
    decoded = [[_decoded(raw) for raw in waiting.raws] for waiting in found]
    tasks = await descriptions(town, [message for messages in decoded for message in messages if message])
    views = []
    for agent, waiting, messages in zip(agents, found, decoded, strict=True):
        entries = tuple(
            InboxEntry(
                message,
                name_of(message.sender, names),
                kind_of(message.body.type),
                said(message.body, tasks),
            )
            for message in messages
            if message is not None
        )
        unreadable = messages.count(None)
        views.append(InboxView(agent, entries, waiting.counts, waiting.total, waiting.in_hand, unreadable))
    return views


async def descriptions(town: Town, messages: Iterable[Message]) -> dict[str, str]:
    """The texts of the tasks that these messages name, by id."""
    bodies = (message.body for message in messages)
    return await texts_of(town, (body.task_id for body in bodies if isinstance(body, TaskAssign)))


def said(body: Body, tasks: Mapping[str, str]) -> str:
    """What a message says, for people; `tasks` has the texts of tasks by id."""
    match body:
        case TaskAssign(task_id):
            return tasks.get(task_id, f"Task {task_id}")
        case Work(text) | Query(text) | Informational(text):
            return text
        case Confirmation(ack_type, reason):
            return reason or ack_type.value
        case TaskDone(task_id, result):
            return f"Task {short(task_id)} is completed: {result}"
        case TaskFailed(task_id, error):
            return f"Task {short(task_id)} failed: {error}"
        case StatusResponse(state, current):
            return f"state: {state}" + (f", working on task {current}" if current else "")
        case Custom(kind, payload):
            return f"{kind}: {payload}"
        case _:
            return body.type


def _decoded(raw: bytes) -> Message | None:
    try:
        return Message.decode(raw)
    except BadMessage:
        return None
