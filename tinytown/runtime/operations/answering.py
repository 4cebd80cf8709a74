"""Answers to what was written to the person: the inbox of the conductor, until one acts, is the person's.

What must be true: a message is answered once. It leaves the inbox in the same commit that sends the answer and tells
the journal; so nobody can answer what is answered, and no crash loses the one or the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import Conflict, NotFound
from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId, resolve, short
from tinytown.messages import Message, Priority, Work
from tinytown.records import Event
from tinytown.runtime.operations.messages import descriptions, said
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.task_views import name_of
from tinytown.runtime.operations.tasks import why_not_yet
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line
from tinytown.transport.mailroom import Mailroom
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.errors import TownError
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.mailroom import Letter

ANSWERED = "inbox.answered"
"""The type of the event. Its `message` is the one that was answered, its `agent` whoever had asked."""

_QUOTED = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a message in the person's inbox, by the id of that message or the beginning of the id."""

    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What was `asked`, the `message` that answers it, and whom that went `to`.

    `note` says why it will not be read at once, where that can be seen.
    """

    asked: Message
    message: Message
    to: Agent
    note: str | None = None


@operation("inbox.answer", Scope.WRITE)
async def answer(town: Town, request: Answer) -> Answered:
    """Answer a message that waits in the person's inbox.

    It leaves the inbox as the answer is sent to whoever wrote it. Raises `NotFound`, `AmbiguousId`, `Conflict` when
    it was answered before (naming that answer) or the conductor's turn holds it, `AgentNotFound` when its sender is
    gone, `Invalid`, `TooLarge`, `MailboxFull`, `TownFull`.
    """
    text = checked_text(request.text, town, what="answer")
    mailroom = Mailroom(town.connection, town.keys, town.store)
    while True:
        letter = _named(request.message, await mailroom.lying(SUPERVISOR_ID))
        if letter is None or letter.message is None:
            raise await _why_not(town, mailroom, request.message)
        asked = letter.message
        to = await _sender(town, asked)
        reply = Message(
            town.caller.agent_id,
            to.id,
            Work(await _with_question(town, asked, text)),
            # Whoever asked may not get on without it, and goes on with it before anything new.
            Priority.HIGH,
            correlation_id=asked.id,
        )
        change = town.store.change().take(SUPERVISOR_ID, letter.lane, letter.raw).send(reply)
        change.tell(Event(ANSWERED, agent=to.id, message=asked.id, detail=one_line(text, 100)))
        try:
            await town.store.commit(change)
        except Raced:
            continue
        return Answered(asked, reply, to, await why_not_yet(town, to))


def _named(wanted: str, letters: Iterable[Letter]) -> Letter | None:
    found = {letter.message.id: letter for letter in letters if letter.message is not None}
    message_id = resolve(wanted, found)
    return None if message_id is None else found[message_id]


async def _why_not(town: Town, mailroom: Mailroom, wanted: str) -> TownError:
    """What keeps a message from being answered that does not lie in the inbox."""
    (contents,) = await mailroom.contents([SUPERVISOR_ID])
    if _named(wanted, contents.letters) is not None:
        return Conflict(
            f"The conductor has message {one_line(wanted, 40)} in its hands",
            hint='Speak to the conductor: tt send conductor "..."',
        )
    answers = {MessageId(event.message): event for event in await _answers(town) if event.message}
    first = answers.get(resolve(wanted, answers) or MessageId(""))
    if first is None:
        return NotFound(f"No message {one_line(wanted, 40)} waits in your inbox", hint="See what waits with: tt inbox")
    name = name_of(AgentId(first.agent or ""), await town.store.names())
    return Conflict(
        f"Message {short(first.message or wanted)} was answered at {first.at}: {first.detail}",
        hint=f'To say more: tt send {name} "..."',
    )


async def _answers(town: Town) -> list[Event]:
    """The answers that the journal still tells of."""
    return [event for event in await town.journal.latest(town.settings.limits.events) if event.type == ANSWERED]


async def _sender(town: Town, asked: Message) -> Agent:
    """Whoever wrote it; somebody has to be there to read the answer."""
    sender = await town.store.agent(asked.sender)
    if sender.id == SUPERVISOR_ID and not sender.acts:
        raise Conflict(
            "The conductor that wrote this has ended, so nobody would read an answer",
            hint='Start one: tt conductor "goal"',
        )
    return sender


async def _with_question(town: Town, asked: Message, text: str) -> str:
    """The answer with what it answers: an agent may remember nothing of its last round."""
    question = said(asked.body, await descriptions(town, [asked]))
    return f"{text}\n\n(It answers what you wrote: {one_line(question, _QUOTED)})"
