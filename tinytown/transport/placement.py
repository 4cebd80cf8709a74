"""Who holds which actor: runtimes with leases, actors placed on them under an epoch.

A runtime renews one lease for all it holds, in one command. Being placed means: the record says this runtime, and
the actor's epoch is the one it was given. The epoch decides, never the clock: a runtime that lost an actor finds
out at its next script, which changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage, LeaseLost
from tinytown.ids import AgentId, RuntimeId, new_id
from tinytown.messages import decode_json
from tinytown.transport import scripts
from tinytown.transport.delivery import Fence
from tinytown.transport.mailbox import RECOVERY_WINDOW_MS
from tinytown.transport.questions import Question, ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.config import Limits
    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.keys import Keys


STAND_DOWN = "stand-down"
"""On the bell: the town was stopped, so nobody works on missions until there is an agent again."""


@dataclass(frozen=True, slots=True)
class RuntimeCard:
    """What a runtime says of itself. `host` is the same for all runtimes that one lock file keeps apart."""

    id: RuntimeId
    host: str
    pid: int
    started_at: str

    def encode(self) -> bytes:
        """The bytes of its record."""
        return json.dumps({"id": self.id, "host": self.host, "pid": self.pid, "started_at": self.started_at}).encode()

    @classmethod
    def decode(cls, raw: bytes) -> RuntimeCard:
        """The card of these bytes; `BadMessage` for anything else."""
        value = decode_json(raw)
        if not isinstance(value, dict):
            raise BadMessage("not a runtime's record")
        pid = value.get("pid")
        return cls(
            RuntimeId(str(value.get("id", ""))),
            str(value.get("host", "")),
            pid if isinstance(pid, int) else 0,
            str(value.get("started_at", "")),
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """The outcome of placing one actor. `fence` is None when a living runtime, `holder`, has it."""

    fence: Fence | None
    holder: RuntimeId | None = None
    recovered: int = 0
    quarantined: int = 0


def new_runtime_id() -> RuntimeId:
    """A fresh id."""
    return RuntimeId(new_id())


class Placement:
    """The placements of one town."""

    def __init__(self, connection: Connection, keys: Keys, limits: Limits) -> None:
        self._connection = connection
        self._keys = keys
        self._limits = limits

    async def begin(self, card: RuntimeCard, *, lease: float, dead: Sequence[RuntimeId] = ()) -> None:
        """Register a runtime with a lease of `lease` seconds; runtimes known to be `dead` lose theirs at once."""
        arguments: list[Value] = [card.id, round(lease * 1000), 1, card.encode(), *dead]
        await scripts.BEAT.run(self._connection, self._keys.prefix, arguments, repeat=True)

    async def beat(self, runtime: RuntimeId, *, lease: float) -> list[RuntimeId]:
        """Renew; gives the runtimes whose lease has passed. `LeaseLost` when somebody took ours away."""
        arguments = (runtime, round(lease * 1000), 0, "")
        reply = await scripts.BEAT.run(self._connection, self._keys.prefix, arguments, repeat=True)
        held, *passed = cast("list[int | bytes]", reply)
        if not held:
            raise LeaseLost("The lease of this runtime was taken away")
        return [RuntimeId(cast("bytes", raw).decode()) for raw in passed]

    async def end(self, runtime: RuntimeId) -> None:
        """Take the runtime off the list."""
        await self._connection.pipeline(
            [("ZREM", self._keys("runtimes"), runtime), ("DEL", self._keys("runtime", runtime))]
        )

    async def place(self, runtime: RuntimeId, agent_ids: Sequence[AgentId]) -> list[Placed]:
        """Place actors on this runtime, each unless another living runtime holds it.

        What was claimed for them before goes back to their lanes.
        """
        if not agent_ids:
            return []
        arguments: list[Value] = [runtime, self._limits.max_recoveries, RECOVERY_WINDOW_MS, *agent_ids]
        reply = await scripts.PLACE.run(self._connection, self._keys.prefix, arguments)
        placed = []
        for agent_id, result in zip(agent_ids, cast("list[list[int | bytes]]", reply), strict=True):
            if result[0] == 1:
                epoch, recovered, quarantined = cast("list[int]", result[1:])
                placed.append(Placed(Fence(agent_id, epoch), None, recovered, quarantined))
            else:
                placed.append(Placed(None, RuntimeId(cast("bytes", result[1]).decode())))
        return placed

    async def unplace(self, fence: Fence, *, wanted: bool) -> None:
        """Let go of an actor; nothing happens when it is not ours any more.

        `wanted`: it has not ended, and waits for another runtime.
        """
        arguments = (fence.id, fence.epoch, int(wanted))
        await scripts.UNPLACE.run(self._connection, self._keys.prefix, arguments, repeat=True)

    async def unplaced(self) -> list[AgentId]:
        """The agents that wait for a runtime."""
        reply = await self._connection.execute("SMEMBERS", self._keys("unplaced"), repeat=True)
        return [AgentId(raw.decode()) for raw in cast("Iterable[bytes]", reply)]

    async def holders(self, agent_ids: Sequence[AgentId]) -> dict[AgentId, RuntimeId]:
        """The runtime on which each of these is placed, living or not."""
        if not agent_ids:
            return {}
        reply = await self._connection.execute("HMGET", self._keys("placed"), *agent_ids, repeat=True)
        found = zip(agent_ids, cast("list[bytes | None]", reply), strict=True)
        return {agent_id: RuntimeId(raw.decode()) for agent_id, raw in found if raw is not None}

    async def runtimes(self) -> list[RuntimeCard]:
        """The runtimes whose lease has not passed, by the server's clock."""
        (living,) = await ask(self._connection, self.living())
        (found,) = await ask(self._connection, self.cards(living))
        return found

    def living(self) -> Question[list[RuntimeId]]:
        """The ids of the runtimes whose lease has not passed, by the server's clock."""
        return Question([("TIME",), ("ZRANGE", self._keys("runtimes"), 0, -1, "WITHSCORES")], _living)

    def cards(self, runtimes: Sequence[RuntimeId]) -> Question[list[RuntimeCard]]:
        """What these runtimes say of themselves."""
        keys = [self._keys("runtime", runtime) for runtime in runtimes]
        return Question([("MGET", *keys)] if keys else [], _cards)


def _living(replies: Sequence[Reply]) -> list[RuntimeId]:
    time, leases = cast("tuple[list[bytes], list[object]]", replies)
    seconds, microseconds = map(int, time)
    now = seconds * 1000 + microseconds // 1000
    return [RuntimeId(member.decode()) for member, deadline in _scored(leases) if deadline >= now]


def _cards(replies: Sequence[Reply]) -> list[RuntimeCard]:
    found = cast("list[bytes | None]", replies[0]) if replies else []
    return [RuntimeCard.decode(raw) for raw in found if raw is not None]


def _scored(reply: list[object]) -> list[tuple[bytes, float]]:
    """Members with scores: pairs in RESP3, flat in RESP2."""
    if reply and isinstance(reply[0], list):
        return [(member, float(score)) for member, score in cast("list[tuple[bytes, float]]", reply)]
    flat = cast("list[bytes]", reply)
    return [(flat[at], float(flat[at + 1])) for at in range(0, len(flat), 2)]
