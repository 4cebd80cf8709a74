"""How a round is put together from what was claimed."""

from __future__ import annotations

from stage import Stage
from trio.testing import MockClock

from tinytown.actors.rounds import Round, gather
from tinytown.ids import SUPERVISOR_ID, AgentId, new_id
from tinytown.messages import Informational, Message, Ping, Shutdown, StatusRequest, TaskAssign, Work
from tinytown.records import Agent
from tinytown.transport.delivery import Ack, DeadLetter, Quarantine, Return

LARGE = 1 << 20


async def round_of(stage: Stage, agent: Agent, *, size: int = LARGE) -> Round:
    """Claim all and gather."""
    claim = await stage.town.claim(await stage.town.fence(agent))
    names = await stage.store.names()
    return await gather(stage.store, agent, claim.deliveries, names, size=size)


def shown(found: Round) -> list[str]:
    return [entry.text for _, entry in found.entries]


async def test_what_is_said_stands_in_the_order_of_reading_with_names(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    await stage.tell(ada, Work("from bob"), sender=bob.id)
    await stage.tell(ada, Informational("from the conductor"))
    await stage.tell(ada, Work("from nobody"), sender=AgentId(stranger := new_id()))

    found = await round_of(stage, ada)

    assert shown(found) == ["from bob", "from the conductor", "from nobody"]
    assert [entry.sender for _, entry in found.entries] == ["bob", "conductor", stranger]
    assert found.asks_for_work()
    assert found.number == 1


async def test_a_task_is_read_and_named_once_however_often_it_was_assigned(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    (task,) = await stage.assign(ada, "whole\ntext")
    await stage.tell(ada, TaskAssign(task.id))

    found = await round_of(stage, ada)

    assert shown(found) == ["whole\ntext", "whole\ntext"]
    assert found.task_ids == [task.id]


async def test_what_the_runtime_knows_itself_is_set_apart(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    for body in (Ping(), StatusRequest(), Shutdown()):
        await stage.tell(ada, body)

    found = await round_of(stage, ada)

    assert [each.message and each.message.body for each in found.answerable] == [
        Ping(),
        StatusRequest(),
        Shutdown(),
    ]
    assert (found.entries, found.decided, found.asks_for_work()) == ([], {}, False)


async def test_information_alone_asks_for_nothing(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    await stage.inform(ada, "a", "b")

    found = await round_of(stage, ada)

    assert not found.asks_for_work()
    assert list(found.decide_all(Return(quiet=True)).values()) == [Return(quiet=True)] * 2


async def test_each_message_that_needs_no_run_has_its_outcome_at_once(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    ended, moved, kept = await stage.assign(ada, "ended", "moved", "kept")
    await stage.store.update_task(ended.id, lambda task: task.cancel())
    await stage.store.update_task(moved.id, lambda task: task.assign(bob.id))
    await stage.tell(ada, TaskAssign(missing := new_id()))
    await stage.town.ask("RPUSH", stage.town.keys("inbox", ada.id), b"{}")

    found = await round_of(stage, ada)

    assert shown(found) == ["kept"]
    assert found.task_ids == [kept.id]
    first, second, letter, broken = found.decided.values()
    assert (first, second) == (Ack(), Ack())
    assert letter == DeadLetter(f"task {missing} does not exist")
    assert isinstance(broken, Quarantine)
    assert broken.reason


async def test_what_does_not_fit_goes_back_with_all_that_stands_behind_it(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    await stage.send(ada, "a" * 300, "b" * 600, "c")

    found = await round_of(stage, ada, size=1000)

    assert shown(found) == ["a" * 300]
    assert list(found.decided.values()) == [Return(), Return()]


async def test_one_message_is_always_taken_however_large(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    await stage.send(ada, "a" * 5000, "b")

    found = await round_of(stage, ada, size=1000)

    assert shown(found) == ["a" * 5000]


async def test_one_outcome_for_all_leaves_what_is_decided(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    await stage.mailbox.send(Message(SUPERVISOR_ID, ada.id, TaskAssign(new_id())))
    await stage.send(ada, "a")

    outcomes = list((await round_of(stage, ada)).decide_all(Ack()).values())

    assert isinstance(outcomes[0], DeadLetter)
    assert outcomes[1] == Ack()
