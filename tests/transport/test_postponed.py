"""Messages that wait for a time."""

from __future__ import annotations

from towns import Parts, texts

from tinytown.ids import AgentId
from tinytown.transport.delivery import Snooze
from tinytown.transport.postponed import postponed


async def test_those_of_one_agent_are_found_soonest_first(town: Parts) -> None:
    ada, of_ada = await town.someone("ada")
    bob, of_bob = await town.someone("bob")
    for agent, fence, said, seconds in (
        (ada, of_ada, "later", 500.0),
        (ada, of_ada, "soon", 5.0),
        (bob, of_bob, "x", 1.0),
    ):
        await town.send(agent, said)
        (each,) = (await town.claim(fence)).deliveries
        await town.mailbox.settle(fence, [(each, Snooze(seconds))])

    found = await postponed(town.connection, town.keys, ada.id)

    assert texts(message for _, message in found if message is not None) == ["soon", "later"]
    assert 494 < found[1][0] - found[0][0] < 496


async def test_an_id_that_is_none_finds_nothing(town: Parts) -> None:
    assert await postponed(town.connection, town.keys, AgentId("*")) == []
