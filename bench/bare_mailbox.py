"""A mailbox that promises nothing but to deliver at least once: what the fastest design of our prototypes did.

Lists for lanes, a claim into one hash, a set of who has something to read, a bell; requests are grouped as ours are.
No de-duplication, no limits, no journal, no leases, no fence, no control: `bench/mailbox.py` has it beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio
import trio.testing
from traffic import CLAIM

from tinytown.actors.actor import Bell
from tinytown.ids import AgentId
from tinytown.messages import Message
from tinytown.transport.group import Group
from tinytown.transport.mailbox import LANE_NUMBER
from tinytown.transport.multiplexed import MultiplexedConnection

MOST = 48
"""Requests in one group, as of ours."""

TAKE = """
local out = {}
for place = 2, #ARGV do
  local agent, room, taken, tags = ARGV[place], tonumber(ARGV[1]), {}, {}
  for lane = 1, 4 do
    if room > 0 then
      local key = lane .. ':' .. agent
      local found = redis.call('LRANGE', key, 0, room - 1)
      if #found > 0 then
        redis.call('LTRIM', key, #found, -1)
        room = room - #found
        for _, raw in ipairs(found) do taken[#taken + 1] = raw end
      end
    end
  end
  if #taken > 0 then
    local tag, values = redis.call('INCRBY', 'tags', #taken) - #taken, {}
    for number, raw in ipairs(taken) do
      tags[number] = tag + number
      values[2 * number - 1], values[2 * number] = tag + number, raw
    end
    redis.call('HSET', 'inflight', unpack(values))
  end
  if room > 0 then redis.call('SREM', 'ready', agent) end
  out[place - 1] = {room, tags, taken}
end
return out
"""


class BareMailbox:
    """The mailboxes of agents that claim and acknowledge when their bell rings."""

    def __init__(self, connection: MultiplexedConnection, nursery: trio.Nursery) -> None:
        self.agents: list[AgentId] = []
        self._connection = connection
        self._nursery = nursery
        self._bells: dict[bytes, Bell] = {}
        self._script = b""
        self._submit_send = Group(nursery, self._run_sends, MOST).submit
        self._submit_claim = Group(nursery, self._run_claims, MOST).submit
        self._submit_ack = Group(nursery, self._run_acks, MOST).submit

    async def settle_in(self, agents: Sequence[AgentId], handled: Callable[[int], None]) -> None:
        """Start these agents; each tells how many messages it has acknowledged."""
        script = await self._connection.execute("SCRIPT", "LOAD", TAKE)
        assert isinstance(script, bytes)
        self._script = script
        await self._connection.subscribe("bell", self._ring)
        for agent_id in agents:
            self._nursery.start_soon(self._work, agent_id, handled)
        self.agents = list(agents)
        await trio.testing.wait_all_tasks_blocked()

    async def send(self, message: Message) -> None:
        """Put a message into its lane."""
        await self._submit_send((message.to, LANE_NUMBER[message.priority], message.encode()))

    def _ring(self, payload: bytes) -> None:
        for name in payload.split():
            self._bells[name].ring()

    async def _work(self, agent_id: AgentId, handled: Callable[[int], None]) -> None:
        bell = self._bells[agent_id.encode()] = Bell()
        while True:
            await bell.wait()
            bell.take()
            room = 0
            while not room:
                room, tags, raws = await self._submit_claim(agent_id)
                if tags:
                    for raw in raws:
                        Message.decode(raw)
                    await self._submit_ack(tags)
                    handled(len(tags))

    async def _run_sends(self, items: Sequence[tuple[str, int, bytes]]) -> Sequence[object]:
        agents = list(dict.fromkeys(agent_id for agent_id, _, _ in items))
        pushes = [("RPUSH", f"{lane}:{agent_id}", raw) for agent_id, lane, raw in items]
        bell = ("PUBLISH", "bell", " ".join(agents))
        return (await self._connection.pipeline([*pushes, ("SADD", "ready", *agents), bell]))[: len(items)]

    async def _run_claims(self, items: Sequence[AgentId]) -> Sequence[Any]:
        reply: Any = await self._connection.execute("EVALSHA", self._script, 0, CLAIM, *items)
        return list(reply)

    async def _run_acks(self, items: Sequence[Sequence[int]]) -> Sequence[object]:
        await self._connection.execute("HDEL", "inflight", *(tag for item in items for tag in item))
        return [None] * len(items)
