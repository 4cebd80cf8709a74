"""What is asked of the person is answered once, and the answer reaches whoever asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from runtime_parts import add, happened, limit, move, place, worker

from tinytown.actors.conductor import note
from tinytown.errors import AgentNotFound, AmbiguousId, Conflict, Forbidden, Invalid, MailboxFull, NotFound
from tinytown.ids import SUPERVISOR_ID, MessageId
from tinytown.lifecycle import AgentEvent
from tinytown.messages import Informational, Message, Priority, Query, TaskDone, Work
from tinytown.records import Agent
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.answering import Answer, Dismiss, answer, dismiss
from tinytown.runtime.operations.clearing import Prune, prune
from tinytown.runtime.operations.messages import Inbox, inbox
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


def ask(town: Town, agent: Agent, text: str = "Which port?", message_id: str | None = None) -> Message:
    """A question of this agent in the person's inbox."""
    message = Message(agent.id, SUPERVISOR_ID, Query(text))
    if message_id is not None:
        message = Message(agent.id, SUPERVISOR_ID, Query(text), id=MessageId(message_id))
    run_sync(town.mailbox.send(message))
    return message


def waits(town: Town, agent_id: str) -> list[Message]:
    return run_sync(town.mailbox.peek(agent_id))  # type: ignore[arg-type]


def test_the_answer_goes_to_whoever_asked_and_the_question_leaves_the_inbox(town: Town, ada: Agent) -> None:
    other = ask(town, ada, "And the host?")
    asked = ask(town, ada)

    said = run_sync(answer(town, Answer(asked.id, "8080")))

    assert (said.asked, said.to.id) == (asked, ada.id)
    assert waits(town, SUPERVISOR_ID) == [other]
    (told,) = waits(town, ada.id)
    assert told == said.message
    assert (told.sender, told.correlation_id, told.priority) == (SUPERVISOR_ID, asked.id, Priority.HIGH)
    assert told.body == Work("8080\n\n(It answers what you wrote: Which port?)")
    assert told.rings()
    event = run_sync(town.journal.latest(2))[0]
    assert (event.type, event.agent, event.message, event.detail) == ("inbox.answered", ada.id, asked.id, "8080")


def test_what_was_answered_counts_as_delivered(town: Town, ada: Agent) -> None:
    limit(town, town_messages=1)
    asked = ask(town, ada)
    # It takes the place of the question: a full town can be talked empty.
    run_sync(answer(town, Answer(asked.id, "8080")))
    live = run_sync(town.connection.execute("SMEMBERS", town.keys("live")))
    assert list(live) == [waits(town, ada.id)[0].id.encode()]  # type: ignore[arg-type]


def test_a_message_is_found_by_the_beginning_of_its_id(town: Town, ada: Agent) -> None:
    ask(town, ada, "one", "abcd1111-0000-4000-8000-000000000000")
    ask(town, ada, "two", "abcd2222-0000-4000-8000-000000000000")
    with pytest.raises(AmbiguousId):
        run_sync(answer(town, Answer("abcd", "which?")))
    run_sync(answer(town, Answer("ABCD2", "that")))
    assert [message.body for message in waits(town, SUPERVISOR_ID)] == [Query("one")]


def test_a_second_answer_is_told_of_the_first(town: Town, ada: Agent) -> None:
    asked = ask(town, ada)
    run_sync(answer(town, Answer(asked.id, "8080")))
    for again in (asked.id, asked.id[:8]):
        with pytest.raises(Conflict, match=r"was answered at 2.*: 8080") as caught:
            run_sync(answer(town, Answer(again, "9090")))
        assert caught.value.hint == 'To say more: tt send ada "..."'
    assert len(waits(town, ada.id)) == 1


def test_of_many_answers_at_once_one_arrives(town: Town, ada: Agent) -> None:
    asked = ask(town, ada)

    def say(text: str) -> str:
        with open_blocking(town.root, environ=town.environ) as mine:
            try:
                run_sync(answer(mine, Answer(asked.id, text)))
            except Conflict as error:
                return error.message
            return text

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(say, [f"port {number}" for number in range(8)]))

    (told,) = waits(town, ada.id)
    assert isinstance(told.body, Work)
    won = told.body.description.partition("\n")[0]
    assert sorted(said) == sorted([won, *[each for each in said if each.endswith(f": {won}")]])
    assert happened(town).count("inbox.answered") == 1


@pytest.mark.parametrize("wanted", ["12345678", "nothing", "", "*", "\x1b[31m"])
def test_what_nobody_wrote_cannot_be_answered(town: Town, wanted: str) -> None:
    with pytest.raises(NotFound, match="waits in your inbox"):
        run_sync(answer(town, Answer(wanted, "8080")))


def test_an_answer_that_cannot_arrive_leaves_the_question_where_it_is(town: Town, ada: Agent) -> None:
    asked = ask(town, ada)
    with pytest.raises(Invalid, match="The answer is empty"):
        run_sync(answer(town, Answer(asked.id, " \n")))
    limit(town, inbox_messages=1)
    run_sync(town.mailbox.send(Message(SUPERVISOR_ID, ada.id, Work("dig"))))
    with pytest.raises(MailboxFull):
        run_sync(answer(town, Answer(asked.id, "8080")))
    run_sync(prune(town, Prune(everyone=True, force=True)))
    before = waits(town, SUPERVISOR_ID)
    with pytest.raises(AgentNotFound):
        run_sync(answer(town, Answer(asked.id, "8080")))
    assert asked in before
    assert waits(town, SUPERVISOR_ID) == before
    assert "inbox.answered" not in happened(town)


def test_what_a_conductor_holds_is_the_conductors_to_answer(town: Town, ada: Agent) -> None:
    asked = ask(town, ada)
    fence = place(town, run_sync(town.store.agent(SUPERVISOR_ID)))
    run_sync(town.mailbox.claim(fence, count=1, size=1000, lease=60))
    with pytest.raises(Conflict, match="in its hands"):
        run_sync(answer(town, Answer(asked.id, "8080")))


def test_a_note_of_a_conductor_is_answered_to_the_conductor_while_there_is_one(town: Town) -> None:
    said = note("Shall it have a login?")
    run_sync(town.mailbox.send(said))
    with pytest.raises(Conflict, match="nobody would read"):
        run_sync(answer(town, Answer(said.id, "yes")))

    assert run_sync(town.store.update_agent(SUPERVISOR_ID, lambda agent: replace(agent, cli="any"))).acts
    run_sync(answer(town, Answer(said.id, "yes")))
    (told,) = waits(town, SUPERVISOR_ID)
    assert (told.body, told.correlation_id) == (
        Work("yes\n\n(It answers what you wrote: Shall it have a login?)"),
        said.id,
    )


def test_news_can_be_answered_too(town: Town, ada: Agent) -> None:
    for body in (Informational("The tests are slow"), TaskDone("12345678-9", "all green")):
        news = Message(ada.id, SUPERVISOR_ID, body)
        run_sync(town.mailbox.send(news))
        run_sync(answer(town, Answer(news.id, "thanks")))
    last = waits(town, ada.id)[-1].body
    assert isinstance(last, Work)
    assert last.description.endswith("(It answers what you wrote: Task 12345678 is completed: all green)")


def test_it_is_said_when_nobody_will_read_the_answer_yet(town: Town, ada: Agent) -> None:
    place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.PAUSE)
    asked = ask(town, ada)
    said = run_sync(answer(town, Answer(asked.id, "8080"))).note
    assert said is not None
    assert "tt resume ada" in said


def test_a_worker_does_not_answer_for_the_person(town: Town, ada: Agent) -> None:
    asked = ask(town, ada)
    with pytest.raises(Forbidden):
        run_sync(answer(worker(town, ada), Answer(asked.id, "8080")))
    assert [entry.message for entry in run_sync(inbox(town, Inbox())).entries] == [asked]


# Put away.


def test_news_is_put_away_all_or_none(town: Town, ada: Agent) -> None:
    news = [ask(town, ada, text) for text in ("one", "two", "three")]

    for wanted in ((news[0].id, "12345678"), ()):
        with pytest.raises((NotFound, Invalid)):
            run_sync(dismiss(town, Dismiss(wanted)))
    assert len(waits(town, SUPERVISOR_ID)) == 3
    # Named twice it goes once.
    gone = run_sync(dismiss(town, Dismiss((news[2].id, news[0].id[:8], news[0].id)))).messages

    assert gone == (news[2], news[0])
    assert waits(town, SUPERVISOR_ID) == [news[1]]
    assert waits(town, ada.id) == []
    events = run_sync(town.journal.latest(2))
    assert [(event.type, event.agent, event.detail) for event in events] == [
        ("inbox.dismissed", ada.id, "three"),
        ("inbox.dismissed", ada.id, "one"),
    ]
    with pytest.raises(Conflict, match="was dismissed at"):
        run_sync(answer(town, Answer(news[0].id, "8080")))
    with pytest.raises(Invalid, match="501"):
        run_sync(dismiss(town, Dismiss(tuple(f"{number:08}" for number in range(501)))))


def test_what_a_conductor_has_to_read_stays_but_for_its_own_notes(town: Town, ada: Agent) -> None:
    asked, said = ask(town, ada), note("The goal is reached")
    run_sync(town.mailbox.send(said))
    run_sync(town.store.update_agent(SUPERVISOR_ID, lambda agent: replace(agent, cli="any")))
    with pytest.raises(Conflict, match="has still to read"):
        run_sync(dismiss(town, Dismiss((said.id, asked.id))))
    run_sync(dismiss(town, Dismiss((said.id,))))
    assert waits(town, SUPERVISOR_ID) == [asked]
