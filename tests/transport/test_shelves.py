"""Dead letters and quarantine: nothing leaves them by itself, and what a person does with one happens once."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from towns import Parts, snapshot, texts

from tinytown.config import Limits
from tinytown.errors import AgentNotFound, MailboxFull
from tinytown.messages import Message, Priority
from tinytown.records import Agent
from tinytown.transport.delivery import DeadLetter, Fence, Quarantine, Retry
from tinytown.transport.mailbox import refuse
from tinytown.transport.shelves import Shelf, Shelved, Shelves


def shelves(town: Parts, **limits: int) -> Shelves:
    return Shelves(town.connection, town.keys, Limits(**limits) if limits else town.limits)


async def bury(town: Parts, agent: Agent, fence: Fence, *said: str, priority: Priority = Priority.NORMAL) -> None:
    """Let these messages become dead letters."""
    await town.send(agent, *said, priority=priority)
    claim = await town.claim(fence)
    await town.mailbox.settle(fence, [(each, DeadLetter("it kills the CLI")) for each in claim.deliveries])


async def everything(town: Parts) -> list[Shelved]:
    async with aclosing(shelves(town).all()) as found:
        return [each async for each in found]


async def test_a_dead_letter_says_what_a_person_needs_to_judge_it(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig", priority=Priority.HIGH)

    (letter,) = await everything(town)

    assert (letter.shelf, letter.agent, letter.lane) == (Shelf.DEAD, ada.id, Priority.HIGH)
    assert letter.reason == "it kills the CLI"
    assert letter.message is not None
    assert letter.id == letter.message.id
    assert letter.raw == letter.message.encode()
    assert letter.at.endswith("Z")


async def test_bytes_that_are_no_message_are_called_by_their_hash(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.ask("RPUSH", town.keys("inbox", ada.id), b"\xff nonsense")
    (delivery,) = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(delivery, Quarantine(delivery.fault))])

    (letter,) = await everything(town)

    assert letter.shelf is Shelf.QUARANTINE
    assert letter.id.startswith("sha1-")
    assert (letter.message, letter.raw) == (None, b"\xff nonsense")


async def test_the_journal_tells_of_each_that_is_put_aside(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")

    event = (await town.journal.latest(1))[0]

    assert (event.type, event.agent, event.detail) == ("dead_letter", ada.id, "it kills the CLI")


async def test_the_latest_are_few_and_all_are_read_in_pages(town: Parts) -> None:
    ada, fence = await town.someone()
    said = [f"m{number:03d}" for number in range(230)]
    for start in range(0, len(said), 50):
        await bury(town, ada, fence, *said[start : start + 50])

    found = [each.message for each in await everything(town)]
    latest = await shelves(town).latest(Shelf.DEAD, 3)

    assert sorted(texts(each for each in found if each is not None)) == said
    assert len({each.place for each in latest}) == 3
    assert await shelves(town).latest(Shelf.DEAD, 0) == []
    assert await shelves(town).counts() == {Shelf.DEAD: 230, Shelf.QUARANTINE: 0}


async def test_looking_changes_nothing(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")
    before = await snapshot(town.connection)

    await everything(town)
    await shelves(town).latest(Shelf.DEAD, 10)
    await shelves(town).counts()

    assert await snapshot(town.connection) == before


async def test_a_retried_message_stands_at_the_end_of_its_lane_with_nothing_against_it(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "dig", priority=Priority.HIGH)
    for _ in range(2):
        (failing,) = (await town.claim(fence)).deliveries
        await town.mailbox.settle(fence, [(failing, Retry())])
    (failing,) = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(failing, DeadLetter("three times"))])
    await town.send(ada, "first", priority=Priority.HIGH)
    (letter,) = await everything(town)
    await town.ask("DEL", town.keys("ready"))

    assert await shelves(town).redeliver([letter], "a person") == [1]

    assert await everything(town) == []
    assert await town.ask("SMEMBERS", town.keys("ready")) in ({ada.id.encode()}, [ada.id.encode()])
    claim = await town.claim(fence)
    assert texts(claim) == ["first", "dig"]
    again = claim.deliveries[1]
    assert (again.raw, again.failures, again.attempt) == (letter.raw, 0, 1)
    event = (await town.journal.latest(1))[0]
    assert (event.type, event.agent, event.message) == ("dead_letter.retried", ada.id, letter.id)


async def test_of_two_who_retry_one_does_it(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")
    (letter,) = await everything(town)

    assert await shelves(town).redeliver([letter, letter], "a person") == [1, 0]
    assert await shelves(town).redeliver([letter], "another") == [0]
    assert await shelves(town).discard([letter], "another") == [False]

    assert texts(await town.claim(fence)) == ["dig"]


async def test_a_retried_message_that_is_done_leaves_nothing_behind(town: Parts) -> None:
    from tinytown.transport.delivery import Ack

    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")
    await shelves(town).redeliver(await everything(town), "a person")

    (done,) = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(done, Ack())])

    for name in ("live", "attempts", "recoveries"):
        assert await town.ask("EXISTS", town.keys(name)) == 0


async def test_a_full_mailbox_takes_nothing_back_and_the_message_stays(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")
    await town.send(ada, "fills it")
    (letter,) = await everything(town)

    (code,) = await shelves(town, inbox_messages=1).redeliver([letter], "a person")

    with pytest.raises(MailboxFull):
        refuse(code, ada.id, town.limits)
    assert await everything(town) == [letter]


async def test_the_message_of_an_agent_that_is_gone_stays(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")
    await town.ask("DEL", town.keys("agent", ada.id))
    (letter,) = await everything(town)

    (code,) = await shelves(town).redeliver([letter], "a person")

    with pytest.raises(AgentNotFound):
        refuse(code, ada.id, town.limits)
    assert await everything(town) == [letter]


async def test_a_dropped_message_is_gone_and_the_others_stay(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "one")
    await bury(town, ada, fence, "two")
    one, two = await everything(town)

    assert await shelves(town).discard([one], "a person") == [True]

    assert await everything(town) == [two]
    assert (await town.claim(fence)).deliveries == ()
    event = (await town.journal.latest(1))[0]
    assert (event.type, event.message, event.detail) == ("dead_letter.dropped", one.id, "by a person")


async def test_a_message_of_the_same_id_is_not_accepted_again_after_a_retry(town: Parts) -> None:
    ada, fence = await town.someone()
    await bury(town, ada, fence, "dig")
    (letter,) = await everything(town)
    await shelves(town).redeliver([letter], "a person")

    assert not await town.mailbox.send(Message.decode(letter.raw))
