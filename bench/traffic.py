"""The traffic that the benches of mailboxes measure: senders, messages, and the count of both ends."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable

import trio
from turns import Figures

from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.messages import Message, Priority, Work
from tinytown.transport.connection import Connection

SENDERS = 100
CLAIM = 16
LANES = [Priority.URGENT] * 5 + [Priority.HIGH] * 15 + [Priority.NORMAL] * 60 + [Priority.LOW] * 20
TEXT = "x" * 80
"""Makes a message of 300 bytes."""
WARM_UP = 0.3

Send = Callable[[Message], Awaitable[object]]


def message_for(agent_id: AgentId, chance: random.Random) -> Message:
    return Message(SUPERVISOR_ID, agent_id, Work(TEXT), chance.choice(LANES))


class Count:
    """How many messages were sent and handled; `done` when all that were sent are handled."""

    def __init__(self) -> None:
        self.sent = 0
        self.handled = 0
        self.over = False
        self.done = trio.Event()

    def handle(self, count: int) -> None:
        self.handled += count
        if self.over and self.handled >= self.sent:
            self.done.set()


async def end_to_end(
    connection: Connection, send: Send, agents: list[AgentId], count: Count, seconds: float
) -> Figures:
    """Let the senders send for so long; the clock stops when the last message is handled."""

    async def keep_sending(seed: int) -> None:
        chance = random.Random(seed)
        while time.perf_counter() < until:
            await send(message_for(chance.choice(agents), chance))
            count.sent += 1

    until = time.perf_counter() + WARM_UP
    async with trio.open_nursery() as nursery:
        for seed in range(SENDERS):
            nursery.start_soon(keep_sending, seed)
    sent, cpu, of_server, began = count.sent, time.process_time(), await cpu_of(connection), time.perf_counter()
    until = began + seconds
    async with trio.open_nursery() as nursery:
        for seed in range(SENDERS):
            nursery.start_soon(keep_sending, SENDERS + seed)
    count.over = True
    count.handle(0)
    with trio.fail_after(60):
        await count.done.wait()
    took = time.perf_counter() - began
    messages = count.sent - sent
    return {
        "rate": messages / took,
        "cpu_us": 1e6 * (time.process_time() - cpu) / messages,
        "server_us": 1e6 * (await cpu_of(connection) - of_server) / messages,
    }


async def cpu_of(connection: Connection) -> float:
    """CPU seconds that the server has used."""
    info = await connection.execute("INFO", "cpu")
    assert isinstance(info, bytes)
    used = dict(line.split(":") for line in info.decode().splitlines() if ":" in line)
    return float(used["used_cpu_sys"]) + float(used["used_cpu_user"])
