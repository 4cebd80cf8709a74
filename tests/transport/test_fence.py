"""The fence, and a server without memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from servers import valkey_server
from towns import Parts, snapshot, texts, work

from tinytown.errors import LeaseLost, RedisFull
from tinytown.lifecycle import AgentEvent
from tinytown.records import Event
from tinytown.transport.blocking import BlockingConnection
from tinytown.transport.delivery import (
    Ack,
    ControlKind,
    DeadLetter,
    Quarantine,
    Retry,
    Return,
    Snooze,
)

# The fence.


STALE: dict[str, Any] = {
    "claim": lambda town, stale, held: town.claim(stale),
    "ack": lambda town, stale, held: town.mailbox.settle(stale, [(held, Ack())]),
    "return": lambda town, stale, held: town.mailbox.settle(stale, [(held, Return())]),
    "retry": lambda town, stale, held: town.mailbox.settle(stale, [(held, Retry(5.0))]),
    "snooze": lambda town, stale, held: town.mailbox.settle(stale, [(held, Snooze(5.0))]),
    "dead letter": lambda town, stale, held: town.mailbox.settle(stale, [(held, DeadLetter("x"))]),
    "quarantine": lambda town, stale, held: town.mailbox.settle(stale, [(held, Quarantine("x"))]),
    "renew": lambda town, stale, held: town.mailbox.renew(stale, [held], lease=60.0, prompted=True),
    "disown": lambda town, stale, held: town.mailbox.disown(stale, []),
    "glance": lambda town, stale, held: town.mailbox.glance(stale),
    "commit": lambda town, stale, held: town.store.commit(
        town.store.change(stale).send(work(stale.id)).tell(Event("agent.state"))
    ),
    "transition": lambda town, stale, held: town.store.update_agent(
        stale.id, lambda agent: agent.after(AgentEvent.STOP), fence=stale
    ),
}


@pytest.mark.parametrize("verb", STALE)
async def test_who_lost_the_actor_can_change_nothing(town: Parts, verb: str) -> None:
    ada, stale = await town.someone()
    await town.send(ada, "a", "b")
    current = await town.fence(ada)
    (held,) = (await town.claim(current, count=1)).deliveries
    await town.tell(ada, ControlKind.WAKE)
    before = await snapshot(town.connection)

    with pytest.raises(LeaseLost):
        await STALE[verb](town, stale, held)

    assert await snapshot(town.connection) == before


async def test_who_lost_the_actor_cannot_let_go_of_it(town: Parts) -> None:
    ada, stale = await town.someone()
    await town.send(ada, "a")
    current = await town.fence(ada)
    await town.claim(current)
    before = await snapshot(town.connection)

    await town.placement.unplace(stale, wanted=True)

    assert await snapshot(town.connection) == before


# A server without memory.


async def test_a_full_server_refuses_what_is_new_and_lets_work_be_finished() -> None:
    with valkey_server() as server, BlockingConnection(server.address) as connection:
        town = Parts(connection)
        ada, fence = await town.someone()
        bob = await town.agent("bob")
        await town.send(ada, "a", "b", "c", "d")
        (snoozed,) = (await town.claim(fence, count=1)).deliveries
        await town.mailbox.settle(fence, [(snoozed, Snooze(30.0))])
        await town.pass_time()
        await town.ask("CONFIG", "SET", "maxmemory", 1)

        with pytest.raises(RedisFull):
            await town.mailbox.send(work(ada))
        with pytest.raises(RedisFull):
            await town.store.update_agent(bob.id, lambda agent: replace(agent, nickname="B"))

        assert (await town.mailbox.sweep([ada.id]))[0] == 1
        done, again, dead = (await town.claim(fence, count=3)).deliveries
        assert texts([done, again, dead]) == ["a", "b", "c"]
        assert await town.mailbox.renew(fence, [done], lease=60.0, prompted=True) == 1
        await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.READY), fence=fence)
        outcomes = [(done, Ack()), (again, Retry()), (dead, DeadLetter("no"))]
        assert await town.mailbox.settle(fence, outcomes) == []
        assert await town.mailbox.glance(fence) == ((), 0)
        await town.placement.beat(town.runtime or await town.begin(), lease=60.0)
        taken_over = await town.fence(ada)
        assert texts(await town.claim(taken_over)) == ["b", "d"]
        await town.placement.unplace(taken_over, wanted=True)
