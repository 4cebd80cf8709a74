"""Messages: send, and look into inboxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown.messages import Priority
from tinytown.runtime.operations.registry import Scope, operation

if TYPE_CHECKING:
    from tinytown.messages import Message
    from tinytown.records import Agent
    from tinytown.runtime.operations.pending import Counts, Kind
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
    text: str
    kind: SendKind = SendKind.TASK
    priority: Priority = Priority.NORMAL
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and to whom."""

    message: Message
    to: Agent


@dataclass(frozen=True, slots=True)
class Inbox:
    """The inbox of an agent; None means the calling agent, for a person the conductor's."""

    agent: str | None = None


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One waiting message: who sent it, of which kind it is, and its text (that of the task, for an assignment)."""

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
    actionable: int = field(default=0)
    """Waiting messages of the agents that ask for work."""


@operation("message.send", Scope.WRITE, for_workers=True)
async def send(town: Town, request: Send) -> Sent:
    """Send an agent a message."""
    raise NotImplementedError


@operation("inbox.show", Scope.READ)
async def inbox(town: Town, request: Inbox) -> InboxView:
    """Show what waits for an agent."""
    raise NotImplementedError


@operation("inbox.list", Scope.READ)
async def inboxes(town: Town, request: Inboxes) -> InboxesView:
    """Show what waits for each agent."""
    raise NotImplementedError
