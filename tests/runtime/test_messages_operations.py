"""Messages come from whoever sends them; inboxes can be looked into without taking anything."""

from __future__ import annotations

import pytest
from runtime_parts import add, limit, worker

from tinytown.errors import AgentNotFound, Forbidden, Invalid, MailboxFull, TooLarge
from tinytown.ids import SUPERVISOR_ID
from tinytown.messages import (
    AckType,
    Body,
    Confirmation,
    Custom,
    Informational,
    Message,
    Ping,
    Pong,
    Priority,
    Query,
    Shutdown,
    StatusRequest,
    StatusResponse,
    TaskAssign,
    TaskDone,
    TaskFailed,
    Work,
)
from tinytown.records import Agent
from tinytown.runtime.operations.messages import (
    Inbox,
    Inboxes,
    Send,
    SendKind,
    inbox,
    inboxes,
    send,
)
from tinytown.runtime.operations.pending import Counts, Kind, look
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


def waits(town: Town, agent: Agent) -> list[Message]:
    return run_sync(town.mailbox.peek(agent.id))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (SendKind.TASK, Work("Hello")),
        (SendKind.QUERY, Query("Hello")),
        (SendKind.INFO, Informational("Hello")),
        (SendKind.ACK, Confirmation(AckType.ACKNOWLEDGED, "Hello")),
    ],
)
def test_a_text_arrives_as_what_it_is_meant(town: Town, ada: Agent, kind: SendKind, body: Body) -> None:
    sent = run_sync(send(town, Send("ada", "Hello", kind)))
    assert (sent.to, sent.message.body, sent.message.sender) == (ada, body, SUPERVISOR_ID)
    assert waits(town, ada) == [sent.message]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Received. I start after lunch.", AckType.RECEIVED),
        ("thanks!", AckType.THANKS),
        ("Approved", AckType.APPROVED),
        ("rejected: no tests", AckType.REJECTED),
        ("The backend package is acknowledged", AckType.ACKNOWLEDGED),
        ("receivedness", AckType.ACKNOWLEDGED),
        ("👍", AckType.ACKNOWLEDGED),
    ],
)
def test_a_confirmation_is_read_by_its_first_whole_word(town: Town, ada: Agent, text: str, said: AckType) -> None:
    assert run_sync(send(town, Send("ada", text, SendKind.ACK))).message.body == Confirmation(said, text)


def test_an_urgent_message_keeps_its_kind_and_goes_first(town: Town, ada: Agent) -> None:
    late = run_sync(send(town, Send("ada", "first sent"))).message
    soon = run_sync(send(town, Send("ada", "stop?", SendKind.QUERY, Priority.URGENT))).message
    assert soon.body == Query("stop?")
    assert waits(town, ada) == [soon, late]


def test_the_recipient_is_found_by_name_id_and_prefix(town: Town, ada: Agent) -> None:
    for name in ("ada", ada.id, ada.id[:6]):
        assert run_sync(send(town, Send(name, "Hello"))).to == ada
    assert run_sync(send(town, Send("conductor", "Hello"))).to.id == SUPERVISOR_ID


@pytest.mark.parametrize("name", ["nobody", "x/y", "*", "", "a" * 200])
def test_nobody_by_that_name_gets_nothing(town: Town, name: str) -> None:
    with pytest.raises(AgentNotFound):
        run_sync(send(town, Send(name, "Hello")))


def test_what_cannot_be_sent_is_refused(town: Town, ada: Agent) -> None:
    with pytest.raises(Invalid, match="empty"):
        run_sync(send(town, Send("ada", " \n")))
    with pytest.raises(TooLarge, match="262,144"):
        run_sync(send(town, Send("ada", "x" * (10 << 20))))
    # The text fits, the message with its address does not.
    with pytest.raises(TooLarge, match="a message may have 262,144"):
        run_sync(send(town, Send("ada", "x" * (256 << 10))))
    limit(town, inbox_messages=1)
    run_sync(send(town, Send("ada", "Hello")))
    with pytest.raises(MailboxFull):
        run_sync(send(town, Send("ada", "Hello")))
    assert len(waits(town, ada)) == 1


def test_a_worker_writes_as_itself(town: Town, ada: Agent) -> None:
    bob = add(town, "bob")
    assert run_sync(send(worker(town, ada), Send("bob", "Hello"))).message.sender == ada.id
    assert run_sync(send(worker(town, ada), Send("bob", "Hello", sender="ada"))).message.sender == ada.id
    for other in ("bob", bob.id, "conductor"):
        with pytest.raises(Forbidden, match="Agent 'ada' cannot write as"):
            run_sync(send(worker(town, ada), Send("bob", "Hello", sender=other)))
    assert len(waits(town, bob)) == 2


def test_a_person_may_speak_for_an_agent(town: Town, ada: Agent) -> None:
    add(town, "bob")
    assert run_sync(send(town, Send("bob", "Hello", sender="ada"))).message.sender == ada.id
    with pytest.raises(AgentNotFound):
        run_sync(send(town, Send("bob", "Hello", sender="nobody")))


ALL_BODIES: list[tuple[Body, Kind, str]] = [
    (Work("do"), Kind.TASK, "do"),
    (Query("why?"), Kind.QUERY, "why?"),
    (Informational("so"), Kind.INFORMATIONAL, "so"),
    (Confirmation(AckType.THANKS), Kind.CONFIRMATION, "thanks"),
    (TaskAssign("no id"), Kind.TASK, "Task no id"),
    (TaskAssign("5f0c7c1e-8d0a-4a3e-9d52-3b6f0e9a7c11"), Kind.TASK, "Task "),
    (TaskDone("12345678-9", "ok"), Kind.INFORMATIONAL, "Task 12345678 is completed: ok"),
    (TaskFailed("12345678-9", "no"), Kind.INFORMATIONAL, "Task 12345678 failed: no"),
    (StatusRequest(), Kind.QUERY, "status_request"),
    (StatusResponse("idle"), Kind.INFORMATIONAL, "state: idle"),
    (StatusResponse("working", "t1"), Kind.INFORMATIONAL, "state: working, working on task t1"),
    (Ping(), Kind.QUERY, "ping"),
    (Pong(), Kind.INFORMATIONAL, "pong"),
    (Shutdown(), Kind.TASK, "shutdown"),
    (Custom("pr", "{}"), Kind.TASK, "pr: {}"),
]


@pytest.mark.parametrize(("body", "kind", "text"), ALL_BODIES, ids=lambda value: str(value)[:30])
def test_every_type_of_message_is_shown_and_counted(town: Town, ada: Agent, body: Body, kind: Kind, text: str) -> None:
    run_sync(town.mailbox.send(Message(SUPERVISOR_ID, ada.id, body)))
    view = run_sync(inbox(town, Inbox("ada")))
    (entry,) = view.entries
    assert (entry.kind, entry.sender_name) == (kind, "conductor")
    assert entry.text.startswith(text)
    counts = view.counts
    assert {
        Kind.TASK: counts.tasks,
        Kind.QUERY: counts.queries,
        Kind.INFORMATIONAL: counts.informational,
        Kind.CONFIRMATION: counts.confirmations,
    } == {each: int(each is kind) for each in Kind}


def test_looking_takes_nothing(town: Town, ada: Agent) -> None:
    task = run_sync(assign(town, Assign("ada", "dig\na hole"))).task
    for _ in range(2):
        view = run_sync(inbox(town, Inbox("ada")))
        assert [(entry.text, entry.message.body) for entry in view.entries] == [("dig\na hole", TaskAssign(task.id))]
        assert (view.waiting, view.in_hand, view.unreadable) == (1, 0, 0)


def test_an_agent_looks_into_its_own_inbox_by_default_a_person_into_the_conductors(town: Town, ada: Agent) -> None:
    run_sync(send(town, Send("ada", "for her")))
    run_sync(send(town, Send("conductor", "for him")))
    assert [entry.text for entry in run_sync(inbox(worker(town, ada), Inbox())).entries] == ["for her"]
    assert [entry.text for entry in run_sync(inbox(town, Inbox())).entries] == ["for him"]


def test_what_is_pushed_by_hand_is_counted_too(town: Town, ada: Agent) -> None:
    key = town.keys("inbox", ada.id)
    by_hand = b'{ "type": "query", "question": "why?", "to": "%s" }' % ada.id.encode()
    run_sync(town.connection.execute("RPUSH", key, by_hand, b"\xff no message", b'{"type":"nonsense","to":"x"}'))
    view = run_sync(inbox(town, Inbox("ada")))
    assert [entry.text for entry in view.entries] == ["why?"]
    assert (view.counts, view.waiting, view.unreadable) == (Counts(queries=1), 3, 2)


def test_what_a_turn_holds_is_told_apart(town: Town, ada: Agent) -> None:
    from tinytown.transport.placement import RuntimeCard, new_runtime_id

    run_sync(send(town, Send("ada", "one")))
    run_sync(send(town, Send("ada", "two")))
    card = RuntimeCard(new_runtime_id(), "here", 1, "2026-01-01T00:00:00.000Z")
    run_sync(town.placement.begin(card, lease=60))
    (placed,) = run_sync(town.placement.place(card.id, [ada.id]))
    assert placed.fence is not None
    run_sync(town.mailbox.claim(placed.fence, count=1, size=1000, lease=60))
    view = run_sync(inbox(town, Inbox("ada")))
    assert ([entry.text for entry in view.entries], view.in_hand) == (["two"], 1)


def test_all_inboxes_at_one_glance(town: Town, ada: Agent) -> None:
    add(town, "bob")
    run_sync(assign(town, Assign("ada", "dig")))
    run_sync(send(town, Send("ada", "why?", SendKind.QUERY)))
    run_sync(send(town, Send("bob", "news", SendKind.INFO)))
    run_sync(send(town, Send("conductor", "done", SendKind.INFO)))
    shown = run_sync(inboxes(town, Inboxes()))
    assert [(view.agent.name, view.counts) for view in shown.agents] == [
        ("ada", Counts(tasks=1, queries=1)),
        ("bob", Counts(informational=1)),
    ]
    assert shown.actionable == 2
    assert [entry.text for entry in shown.conductor.entries] == ["done"]


def test_a_town_without_agents_has_only_the_conductors_inbox(town: Town) -> None:
    assert run_sync(inboxes(town, Inboxes())).agents == ()
    assert run_sync(look(town, [])) == []
