"""Mailboxes end to end beside one blocking connection an agent, and how soon an idle agent wakes.

    python bench/mailbox.py [--rounds 5] [--seconds 2.0] [--agents 100 1000 10000]

End to end: 100 senders and all agents in one process; a message of 300 bytes counts when it was sent and accepted,
read in the order of the lanes, and settled. The reference pops its messages destructively with `BLMPOP`, on one
connection an agent, and loses what it holds when it dies; ours delivers at least once. Both encode and decode.

Wake: one message to a random idle agent, from the call of `send` until the agent has it in hands; beside it the raw
round trip of the same connection in the same second.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from statistics import median, quantiles

import trio
import trio.testing
from bare_mailbox import BareMailbox
from traffic import CLAIM, SENDERS, TEXT, WARM_UP, Count, end_to_end, message_for
from turns import Figures, Rounds, in_a_process, in_turns, middle, ratio, server

from tinytown.actors.actor import Bell
from tinytown.config import Limits
from tinytown.ids import AgentId, new_id
from tinytown.messages import Message
from tinytown.records import Agent
from tinytown.transport.address import Address
from tinytown.transport.batch import Grouped
from tinytown.transport.delivery import Ack, Fence
from tinytown.transport.keys import Keys
from tinytown.transport.mailbox import LANE_NUMBER, Mailbox
from tinytown.transport.multiplexed import MultiplexedConnection
from tinytown.transport.placement import Placement, RuntimeCard, new_runtime_id

SIZE = 1 << 20
LEASE = 60.0
LIMITS = Limits(town_messages=10_000_000)


class Bells:
    """Wakes agents by the town's bell, as a runtime does."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.bells: dict[bytes, Bell] = {}
        self._mailbox = mailbox

    def ring(self, payload: bytes) -> None:
        for name in payload.split():
            self.bells[name].ring()

    def hand(self, payload: bytes) -> None:
        for agent_id, delivery in self._mailbox.handed(payload):
            self.bells[agent_id.encode()].hand(delivery)

    def hang(self, agent_id: AgentId) -> Bell:
        bell = self.bells[agent_id.encode()] = Bell()
        return bell


class Town:
    """Placed agents that claim and settle when their bell rings."""

    def __init__(self, connection: MultiplexedConnection, nursery: trio.Nursery) -> None:
        self.connection = connection
        self.keys = Keys("bench")
        self.runtime = new_runtime_id()
        self.mailbox = Mailbox(connection, self.keys, LIMITS, Grouped(nursery), runtime=self.runtime)
        self.bells = Bells(self.mailbox)
        self.agents: list[AgentId] = []
        self._nursery = nursery

    async def settle_in(self, number: int, handled: Callable[[int], None]) -> None:
        """Create, place and start so many agents; each tells how many messages it has settled."""
        await self.connection.subscribe(self.keys("bell"), self.bells.ring)
        await self.connection.subscribe(self.keys("handed", self.runtime), self.bells.hand)
        records = [Agent(name=f"agent{place}", cli="any") for place in range(number)]
        placement = Placement(self.connection, self.keys, LIMITS)
        runtime = self.runtime
        await placement.begin(RuntimeCard(runtime, "bench", 1, ""), lease=3600.0)
        for start in range(0, number, 1000):
            part = records[start : start + 1000]
            await self.connection.pipeline([("SET", self.keys("agent", agent.id), agent.encode()) for agent in part])
            for placed in await placement.place(runtime, [agent.id for agent in part]):
                assert placed.fence is not None
                self._nursery.start_soon(self._work, placed.fence, handled)
        self.agents = [agent.id for agent in records]
        await trio.testing.wait_all_tasks_blocked()

    async def _work(self, fence: Fence, handled: Callable[[int], None]) -> None:
        bell = self.bells.hang(fence.id)
        stands = False
        while True:
            if stands:
                await bell.wait(for_work=True)
            deliveries = bell.take_handed()
            if not deliveries:
                bell.take()
                claim = await self.mailbox.claim(fence, count=CLAIM, size=SIZE, lease=LEASE, stand=True)
                deliveries, stands = claim.deliveries, claim.stands
                if not stands:
                    bell.take_handed()
            if deliveries:
                handled(0)
                settled = [(delivery, Ack()) for delivery in deliveries]
                stands = await self.mailbox.settle_and_stand(fence, settled, count=CLAIM, size=SIZE, lease=LEASE)
                handled(len(deliveries))


async def measure_mailbox(connection: MultiplexedConnection, agents: int, seconds: float) -> Figures:
    count = Count()
    async with trio.open_nursery() as nursery:
        town = Town(connection, nursery)
        await town.settle_in(agents, count.handle)
        figures = await end_to_end(connection, town.mailbox.send, town.agents, count, seconds)
        nursery.cancel_scope.cancel()
    return figures


async def measure_blmpop(connection: MultiplexedConnection, agents: int, seconds: float) -> Figures:
    keys, count = Keys("bench"), Count()
    ids = [AgentId(new_id()) for _ in range(agents)]

    async def send(message: Message) -> None:
        lane = keys.lanes(message.to)[LANE_NUMBER[message.priority] - 1]
        await connection.execute("RPUSH", lane, message.encode())

    async def work(agent_id: AgentId) -> None:
        lanes = keys.lanes(agent_id)
        async with connection.dedicated() as own:
            while True:
                reply = await own.execute("BLMPOP", 0, len(lanes), *lanes, "LEFT", "COUNT", CLAIM)
                assert isinstance(reply, list)
                raws = reply[1]
                assert isinstance(raws, list)
                for raw in raws:
                    assert isinstance(raw, bytes)
                    Message.decode(raw)
                count.handle(len(raws))

    async with trio.open_nursery() as nursery:
        for agent_id in ids:
            nursery.start_soon(work, agent_id)
        await trio.testing.wait_all_tasks_blocked(0.05)
        figures = await end_to_end(connection, send, ids, count, seconds)
        nursery.cancel_scope.cancel()
    return figures


async def measure_bare(connection: MultiplexedConnection, agents: int, seconds: float) -> Figures:
    count = Count()
    async with trio.open_nursery() as nursery:
        mailbox = BareMailbox(connection, nursery)
        await mailbox.settle_in([AgentId(new_id()) for _ in range(agents)], count.handle)
        figures = await end_to_end(connection, mailbox.send, mailbox.agents, count, seconds)
        nursery.cancel_scope.cancel()
    return figures


async def measure_wake(connection: MultiplexedConnection, agents: int, seconds: float) -> Figures:
    chance = random.Random(1)
    clock = time.perf_counter
    wakes: list[float] = []
    trips: list[float] = []
    in_hands = trio.Event()
    until = clock() + seconds + WARM_UP

    def handled(count: int) -> None:
        # First with 0, when the agent has the message in hands, then with 1, when it is settled.
        if count:
            in_hands.set()
        else:
            wakes.append(clock() - began)

    async with trio.open_nursery() as nursery:
        town = Town(connection, nursery)
        await town.settle_in(agents, handled)
        while clock() < until:
            in_hands = trio.Event()
            message = message_for(chance.choice(town.agents), chance)
            began = clock()
            await town.mailbox.send(message)
            await in_hands.wait()
            await pause()
            began = clock()
            await connection.execute("ECHO", TEXT)
            trips.append(clock() - began)
            await pause()
        nursery.cancel_scope.cancel()
    return {
        "wake_us": 1e6 * median(wakes[20:]),
        "wake_p99_us": 1e6 * quantiles(wakes[20:], n=100)[98],
        "trip_us": 1e6 * median(trips[20:]),
    }


async def pause() -> None:
    """Let everything be idle again: both cases begin from a sleeping process."""
    await trio.sleep(0.002)


MEASURES = {
    "mailbox": measure_mailbox,
    "blmpop": measure_blmpop,
    "bare": measure_bare,
    "wake": measure_wake,
}


async def run_case(case: str, socket: str, seconds: float) -> Figures:
    """One case, `<measure> <agents>`."""
    kind, agents = case.split()
    async with MultiplexedConnection.open(Address.unix(socket)) as connection:
        await connection.execute("FLUSHALL")
        return await MEASURES[kind](connection, int(agents), seconds)


def show(results: Rounds) -> None:
    for case, rounds in results.items():
        figures = "  ".join(f"{figure} {middle(results, case, figure):>9,.1f}" for figure in rounds[0])
        print(f"  {case:16} {figures}")


def judge(what: str, found: float, target: float, *, most: bool = False) -> None:
    sign, fine = ("<=", found <= target) if most else (">=", found >= target)
    print(f"  {what}: {found:.2f} (target {sign} {target:g}){'' if fine else '  MISSED'}")


def report(agents: list[int], seconds: float, rounds: int) -> None:
    cases = [
        f"{kind} {number}"
        for number in agents
        for kind in ("mailbox", "blmpop", "bare")
        if kind == "mailbox" or number < 10_000
    ]
    with server("appendonly no") as plain:
        run = lambda case: in_a_process(__file__, case, plain.socket_path, seconds)  # noqa: E731
        print(f"end to end, {SENDERS} senders, medians of {rounds} rounds of {seconds:g} s")
        results = in_turns(cases, run, rounds)
        show(results)
        for number, target in ((100, 1.5), (1000, 2.7)):
            if f"blmpop {number}" in results:
                judge(
                    f"mailbox / blmpop at {number}",
                    ratio(results, f"mailbox {number}", f"blmpop {number}"),
                    target,
                )
                bare = ratio(results, f"bare {number}", f"blmpop {number}")
                print(f"  a bare one / blmpop at {number}: {bare:.2f}")
        if {"mailbox 100", "mailbox 10000"} <= results.keys():
            judge("10,000 agents / 100", ratio(results, "mailbox 10000", "mailbox 100"), 0.4)

        print("wake of an idle agent, microseconds")
        results = in_turns(["wake 100"], run, rounds)
        show(results)
        found = median(one["wake_us"] / one["trip_us"] for one in results["wake 100"])
        judge("wake p50 / raw round trip", found, 3.5, most=True)

    with server("appendonly no") as none, server("appendonly yes", "appendfsync always") as always:
        sockets = {"none": none.socket_path, "always": always.socket_path}
        print("durability, 100 agents")
        results = in_turns(
            list(sockets), lambda kind: in_a_process(__file__, "mailbox 100", sockets[kind], seconds), rounds
        )
        show(results)
        judge("always / none", ratio(results, "always", "none"), 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--agents", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(trio.run(run_case, chosen.case, chosen.socket, chosen.seconds)))
    else:
        report(chosen.agents, chosen.seconds, chosen.rounds)


if __name__ == "__main__":
    main()
