"""What was written to the person, answered or put away: the inbox of the conductor is the person's too.

What must be true: a message is answered once. It leaves the inbox in the same commit that sends the answer and tells
the journal; so nobody can answer what is answered, and no crash loses the one or the other.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.conductor import is_note
from tinytown.errors import Conflict, Invalid, NotFound
from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId, resolve, short
from tinytown.messages import Message, Priority, Work
from tinytown.records import Event
from tinytown.runtime.operations.messages import descriptions, said
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import see_to
from tinytown.runtime.operations.texts import checked_text
from tinytown.text import one_line
from tinytown.transport.mailroom import Mailroom
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.errors import TownError
    from tinytown.records import Agent
    from tinytown.runtime.town import Town
    from tinytown.transport.mailroom import Letter

ANSWERED = "inbox.answered"
DISMISSED = "inbox.dismissed"
"""The types of the events. Their `message` is the one that left the inbox, their `agent` whoever had written it."""
_ENDS = (ANSWERED, DISMISSED)

MOST_DISMISSED = 500
"""Messages that are dismissed at once: the script that takes them stops the server while it runs."""

_QUOTED = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a message in the person's inbox, by the id of that message or the beginning of the id."""

    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What was `asked`, the `message` that answers it, and whom that went `to`.

    `note` says why it will not be read at once, where that can be seen, or that a runtime was started for it.
    """

    asked: Message
    message: Message
    to: Agent
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Messages in the person's inbox that are done with, by their ids or the beginnings of these."""

    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dismissed:
    """What has left the inbox."""

    messages: tuple[Message, ...]


@operation("inbox.answer", Scope.WRITE)
async def answer(town: Town, request: Answer) -> Answered:
    """Answer a message that waits in the person's inbox.

    It leaves the inbox as the answer is sent to whoever wrote it. Raises `NotFound`, `AmbiguousId`, `Conflict` when
    it was answered before (naming that answer) or the conductor's turn holds it, `AgentNotFound` when its sender is
    gone, `Invalid`, `TooLarge`, `MailboxFull`, `TownFull`.
    """
    text = checked_text(request.text, town, what="answer")
    while True:
        ((letter, asked),) = await _chosen(town, [request.message])
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
        return Answered(asked, reply, to, await see_to(town, to))


@operation("inbox.dismiss", Scope.WRITE)
async def dismiss(town: Town, request: Dismiss) -> Dismissed:
    """Put messages in the person's inbox away, without an answer: all of them or none.

    Whoever wrote them hears nothing of it. Raises `Invalid` for none or too many, `NotFound`, `AmbiguousId`, and
    `Conflict` for what was answered, what a turn of the conductor holds, or what an acting conductor has still to
    read.
    """
    wanted = list(dict.fromkeys(request.messages))
    if not 1 <= len(wanted) <= MOST_DISMISSED:
        raise Invalid(
            f"{len(wanted)} messages are named; expected 1 to {MOST_DISMISSED}",
            hint="Name their ids, as 'tt inbox' shows them.",
        )
    while True:
        chosen = await _chosen(town, wanted)
        if not all(is_note(message) for _, message in chosen) and (await town.store.agent(SUPERVISOR_ID)).acts:
            raise Conflict(
                "The conductor is at work, and has still to read what is written to it",
                hint="Speak to it with 'tt send conductor \"...\"', or end it with 'tt kill conductor'.",
            )
        texts = await descriptions(town, [message for _, message in chosen])
        change = town.store.change()
        for letter, message in chosen:
            change.take(SUPERVISOR_ID, letter.lane, letter.raw)
            detail = one_line(said(message.body, texts), 100)
            change.tell(Event(DISMISSED, agent=message.sender, message=message.id, detail=detail))
        try:
            await town.store.commit(change)
        except Raced:
            continue
        return Dismissed(tuple(message for _, message in chosen))


async def _chosen(town: Town, wanted: Sequence[str]) -> list[tuple[Letter, Message]]:
    """The messages that are meant, as they lie in the inbox, each once."""
    mailroom = Mailroom(town.connection, town.keys, town.store)
    lying = await mailroom.lying(SUPERVISOR_ID)
    chosen: dict[str, tuple[Letter, Message]] = {}
    for each in wanted:
        letter = _named(each, lying)
        if letter is None or letter.message is None:
            raise await _why_not(town, mailroom, each)
        chosen[letter.message.id] = (letter, letter.message)
    return list(chosen.values())


def _named(wanted: str, letters: Iterable[Letter]) -> Letter | None:
    found = {letter.message.id: letter for letter in letters if letter.message is not None}
    message_id = resolve(wanted, found)
    return None if message_id is None else found[message_id]


async def _why_not(town: Town, mailroom: Mailroom, wanted: str) -> TownError:
    """Why a message does not lie in the inbox."""
    (contents,) = await mailroom.contents([SUPERVISOR_ID])
    if _named(wanted, contents.letters) is not None:
        return Conflict(
            f"The conductor has message {one_line(wanted, 40)} in its hands",
            hint='Speak to the conductor: tt send conductor "..."',
        )
    first = await _end_of(town, wanted)
    if first is None:
        return NotFound(f"No message {one_line(wanted, 40)} waits in your inbox", hint="See what waits with: tt inbox")
    names = {SUPERVISOR_ID: "conductor", **await town.store.names()}
    name = names.get(AgentId(first.agent or ""))
    how = "answered" if first.type == ANSWERED else "dismissed"
    return Conflict(
        f"Message {short(first.message or wanted)} was {how} at {first.at}: {first.detail}",
        hint="Whoever asked is gone." if name is None else f'To say more: tt send {name} "..."',
    )


async def _end_of(town: Town, wanted: str) -> Event | None:
    """How a message has left the inbox, if the journal still tells of it."""
    async with aclosing(town.journal.backwards()) as pages:
        async for page in pages:
            ends = {MessageId(event.message): event for event in page if event.type in _ENDS and event.message}
            found = resolve(wanted, ends)
            if found is not None:
                return ends[found]
    return None


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
