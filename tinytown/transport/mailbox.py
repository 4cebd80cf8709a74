"""Mailboxes: send, claim, renew, settle.

What must be true:

* A message that `send` accepted is in exactly one place until it is settled: a lane, the in-flight hash, the
  snoozed, the dead letters or the quarantine. Every move between them is one script.
* Nothing is popped destructively. A claim moves messages into the in-flight hash under a lease; they leave it by
  `settle`, or go back when the lease ends or the actor is placed anew or disowns them. So delivery is at least
  once, and the message's id is the idempotency key.
* An actor of a runtime that finds nothing to claim stands ready: what is accepted for it next is claimed for it by
  the script that accepts it, and handed over on its runtime's channel. A hand-over may get lost like a ring; the
  actor's next claim finds it.
* Whoever acts for an agent carries the epoch of its placement. Once somebody else was placed, nothing that is
  done under the old epoch changes anything.

These verbs work the same over any connection: nothing here knows whether it waits.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias, cast

from tinytown.errors import AgentNotFound, BadMessage, LeaseLost, MailboxFull, RedisUnreachable, TooLarge, TownFull
from tinytown.messages import LANES, Message
from tinytown.transport import scripts
from tinytown.transport.batch import Batch, one_by_one
from tinytown.transport.delivery import (
    Ack,
    Claim,
    Control,
    DeadLetter,
    Delivery,
    Fence,
    Outcome,
    Quarantine,
    Retry,
    Return,
    Snooze,
    delivery,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.config import Limits
    from tinytown.ids import AgentId, RuntimeId
    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.keys import Keys

_Item: TypeAlias = "tuple[Value, ...]"
_Claimed: TypeAlias = tuple[int, int, bytes, bytes, bytes]
"""What the claim script gives for one message: tag, lane, failures, deaths, bytes."""

LANE_NUMBER = {lane: number for number, lane in enumerate(LANES, 1)}

_SEEN_MS = 24 * 3600 * 1000
_SEEN_IDS = 100_000
RECOVERY_WINDOW_MS = 72 * 3600 * 1000
"""Deaths of a runtime are counted over this long (Sidekiq's window for jobs that kill their process)."""

DUPLICATE = 2
_MAILBOX_FULL, _TOWN_FULL, _NO_AGENT = -1, -2, -3


def refuse(code: int, agent_id: str, limits: Limits) -> None:
    """Raise what a refusing code of the send and commit scripts means; return for the others."""
    if code == _MAILBOX_FULL:
        raise MailboxFull(
            f"The mailbox of agent {agent_id} is full: it holds {limits.inbox_messages} messages",
            agent_id=agent_id,
            hint="Wait until the agent has read some, or raise [limits] inbox_messages.",
        )
    if code == _TOWN_FULL:
        raise TownFull(
            f"The town holds {limits.town_messages} undelivered messages, as many as it may",
            hint="Look where they wait with 'tt inbox --all', or raise [limits] town_messages.",
        )
    if code == _NO_AGENT:
        raise AgentNotFound(agent_id)


def checked(message: Message, limits: Limits) -> bytes:
    """The message's bytes.

    `TooLarge` when they are more than one message may have, `BadMessage` for an id that is none: what is counted for
    a message is found by its id, and an id of other characters would not be recognised again.
    """
    if not (message.id.isascii() and message.id.replace("-", "").isalnum()):
        raise BadMessage("A message's id has letters, digits and dashes only")
    raw = message.encode()
    if len(raw) > limits.message_bytes:
        raise TooLarge(
            f"The message has {len(raw):,} bytes; a message may have {limits.message_bytes:,}",
            hint="Write long content to a file and send its path, or raise [limits] message_bytes.",
        )
    return raw


def send_header(limits: Limits) -> tuple[Value, ...]:
    """The first arguments of the scripts that accept messages."""
    return (limits.inbox_messages, limits.town_messages, limits.events)


class Mailbox:
    """The mailboxes of one town.

    `batch` decides how requests are grouped: `one_by_one` (the default), or a `batch.Grouped` of a long-running
    process. `runtime` is the runtime whose actors use it, if any: they may stand ready. It listens on its channel
    `handed` and gives what it hears there to `handed`.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        limits: Limits,
        batch: Batch = one_by_one,
        *,
        runtime: RuntimeId | None = None,
    ) -> None:
        self._connection = connection
        self._runtime = runtime
        # What is on its way, for actors of this process: read once, it need not be read again.
        self._sending: dict[bytes, Message] = {}
        self._keys = keys
        self._limits = limits
        self._submit_send = batch(self._run_sends)
        self._submit_claim = batch(self._run_claims)
        self._submit_settle = batch(self._run_settles)

    async def send(self, message: Message, *, wake: bool = True) -> bool:
        """Put the message at the end of its lane, or into the hands of an actor that stands ready. True when it is new,
        False when its id was accepted before.

        Without `wake` it lies in its lane, and whoever sends it sees to it that the agent looks. Raises `TooLarge`,
        `MailboxFull`, `TownFull` or `AgentNotFound`; then nothing was stored.
        """
        raw = checked(message, self._limits)
        rings = wake and message.rings()
        words = (
            message.to,
            LANE_NUMBER[message.priority],
            message.id,
            int(rings),
            message.sender,
            message.body.type,
            raw,
        )
        if self._runtime is None or not rings:
            code = await self._submit_send(words)
        else:
            self._sending[raw] = message
            try:
                code = await self._submit_send(words)
            finally:
                self._sending.pop(raw, None)
        refuse(code, message.to, self._limits)
        return code != DUPLICATE

    async def claim(self, fence: Fence, *, count: int, size: int, lease: float, stand: bool = False) -> Claim:
        """Take up to `count` messages of up to `size` bytes together under a lease of `lease` seconds.

        Control messages go first: a claim that finds any gives them and nothing else. Raises `LeaseLost` when the
        actor's epoch is over.

        `stand` says that the actor has nothing in its hands: what it was handed and has not got goes back first, and
        is part of what there is. If there is nothing, it stands ready, and may be handed as much as it would have
        taken now.
        """
        runtime = self._runtime or "" if stand else ""
        reply = await self._submit_claim((round(lease * 1000), fence.id, fence.epoch, count, size, runtime))
        status, controls, waiting, *flat = cast("list[int | bytes | list[bytes]]", reply)
        if status == -1:
            raise LeaseLost(f"Agent {fence.id} is held by somebody else")
        words = iter(flat)
        fives = cast("Iterable[_Claimed]", zip(words, words, words, words, words, strict=True))
        return Claim(
            tuple(
                [delivery(tag, LANES[lane - 1], raw, attempts, deaths) for tag, lane, attempts, deaths, raw in fives]
            ),
            await self._hear(fence, cast("list[bytes]", controls)) if controls else (),
            cast("int", waiting),
            held=status == -2,
            stands=status == 2,
        )

    def handed(self, payload: bytes) -> list[tuple[AgentId, Delivery]]:
        """What actors that stood ready are handed by one message on the channel of this runtime.

        Nothing for a message that no script of ours can have sent.
        """
        first, *lines = payload.split(b"\n")
        words, sending = iter(lines), self._sending
        given = []
        try:
            for tag, (actor, number, raw) in enumerate(zip(words, words, words, strict=True), int(first)):
                lane, message = LANES[int(number) - 1], sending.get(raw)
                done = delivery(tag, lane, raw) if message is None else Delivery(tag, lane, raw, message)
                given.append((cast("AgentId", actor.decode()), done))
        except (ValueError, IndexError):
            return []
        return given

    async def settle(self, fence: Fence, settled: Iterable[tuple[Delivery, Outcome]]) -> list[Delivery]:
        """Say what became of claimed messages; gives those that were not claimed any more.

        What goes back stands in its old order. Raises `LeaseLost` when the actor's epoch is over.
        """
        in_order = sorted(settled, key=_latest_first)
        if not in_order:
            return []
        codes = await self._settle(fence, _settlements(fence, in_order))
        return [done for (done, _), code in zip(in_order, codes, strict=True) if code == 0]

    async def settle_and_stand(
        self, fence: Fence, settled: Iterable[tuple[Delivery, Outcome]], *, count: int, size: int, lease: float
    ) -> bool:
        """Settle all that the actor has in its hands, and let it stand ready as a claim with `stand` does.

        False when there may be something that it was not handed: it does not stand, and has to claim. Raises
        `LeaseLost` when its epoch is over.
        """
        takes = f"{self._runtime} {count} {size}"
        stands = (fence.id, fence.epoch, 0, "stand", round(lease * 1000), takes)
        in_order = sorted(settled, key=_latest_first)
        codes = await self._settle(fence, (*_settlements(fence, in_order), *stands))
        return codes[-1] == 1

    async def _settle(self, fence: Fence, item: _Item) -> list[int]:
        codes = await self._submit_settle(item)
        if -1 in codes:
            raise LeaseLost(f"Agent {fence.id} is held by somebody else")
        return codes

    async def renew(self, fence: Fence, deliveries: Iterable[Delivery], *, lease: float, prompted: bool = False) -> int:
        """Renew the leases for `lease` seconds; gives how many are still held.

        `prompted` notes that the messages are in the prompt of a running turn from now on: if the runtime dies,
        they are suspects. Raises `LeaseLost` when the actor's epoch is over.
        """
        tags = [done.tag for done in deliveries]
        arguments: list[Value] = [fence.id, fence.epoch, round(lease * 1000), int(prompted), *tags]
        held = cast("int", await self._run(scripts.RENEW, arguments, repeat=True))
        if held < 0:
            raise LeaseLost(f"Agent {fence.id} is held by somebody else")
        return held

    async def disown(self, fence: Fence, held: Iterable[Delivery]) -> int:
        """Give back, uncounted, what is claimed for the actor and not among `held`; gives how many.

        For an actor whose claim raised `Unavailable`: nobody knows whether it took anything. Call it when no other
        claim of the actor is under way. Raises `LeaseLost` when the actor's epoch is over.
        """
        arguments: list[Value] = [fence.id, fence.epoch, *(done.tag for done in held)]
        back = cast("int", await self._run(scripts.DISOWN, arguments, repeat=True))
        if back < 0:
            raise LeaseLost(f"Agent {fence.id} is held by somebody else")
        return back

    async def glance(self, fence: Fence) -> tuple[tuple[Control, ...], int]:
        """The control messages, taken, and how many urgent messages wait: what may end a running turn."""
        reply = await self._run(scripts.GLANCE, (fence.id, fence.epoch), repeat=True)
        status, controls, urgent = cast("tuple[int, list[bytes], int]", reply)
        if status < 0:
            raise LeaseLost(f"Agent {fence.id} is held by somebody else")
        return await self._hear(fence, controls), urgent

    async def _hear(self, fence: Fence, raws: Sequence[bytes]) -> tuple[Control, ...]:
        """Take control messages that have arrived: one whose reply was lost is still there to be given again."""
        if raws:
            # Not repeated, or it might take others that nobody has seen. Where nobody knows whether it was done they
            # are obeyed all the same, twice at worst.
            with suppress(RedisUnreachable):
                await self._run(scripts.HEARD, (fence.id, fence.epoch, len(raws)))
        return _controls(raws)

    async def sweep(self, agent_ids: Sequence[AgentId]) -> tuple[int, int, dict[AgentId, int]]:
        """Bring back what is due: snoozed messages of the whole town, passed leases of these agents.

        Gives how many of each, and how many messages wait for each agent. De-duplication forgets what is old: it
        remembers a day, and at most 100,000 ids.
        """
        arguments: list[Value] = [self._limits.max_recoveries, RECOVERY_WINDOW_MS, 1000, _SEEN_MS, _SEEN_IDS]
        arguments += agent_ids
        reply = cast("list[int]", await self._run(scripts.SWEEP, arguments, repeat=True))
        return reply[0], reply[1], dict(zip(agent_ids, reply[2:], strict=True))

    async def ready(self) -> set[AgentId]:
        """The agents with something to read."""
        reply = await self._connection.execute("SMEMBERS", self._keys("ready"), repeat=True)
        return {cast("AgentId", member.decode()) for member in cast("Iterable[bytes]", reply)}

    async def waiting(self, agent_id: AgentId) -> int:
        """How many messages lie in the agent's lanes or are claimed and not settled."""
        commands: list[tuple[Value, ...]] = [("LLEN", lane) for lane in self._keys.lanes(agent_id)]
        commands.append(("HLEN", self._keys("inflight", agent_id)))
        return sum(cast("list[int]", await self._connection.pipeline(commands)))

    async def peek(self, agent_id: AgentId, *, most: int = 1000) -> list[Message]:
        """What waits for the agent, in the order of reading; claimed messages first. Changes nothing.

        Bytes that are no message are left out. At most `most` of each lane.
        """
        return [message for message, _ in await self.peek_with_bytes(agent_id, most=most) if message is not None]

    async def peek_with_bytes(self, agent_id: AgentId, *, most: int = 1000) -> list[tuple[Message | None, bytes]]:
        """As `peek`, with the bytes, and None where they are no message."""
        commands: list[tuple[Value, ...]] = [("HGETALL", self._keys("inflight", agent_id))]
        commands += [("LRANGE", lane, 0, most - 1) for lane in self._keys.lanes(agent_id)]
        claimed, *lanes = await self._connection.pipeline(commands)
        in_flight = sorted(pairs(claimed), key=lambda pair: int(pair[0]))
        raws = [value.partition(b"\n")[2] for _, value in in_flight]
        raws += [raw for lane in lanes for raw in cast("list[bytes]", lane)]
        return [(_decoded(raw), raw) for raw in raws]

    async def broadcast(self, message: Message) -> int:
        """Publish to everybody who listens right now; gives how many. Nothing is kept."""
        return cast("int", await self._connection.execute("PUBLISH", self._keys("broadcast"), message.encode()))

    async def _run(self, script: scripts.Script, arguments: Sequence[Value], *, repeat: bool = False) -> Reply:
        return await script.run(self._connection, self._keys.prefix, arguments, repeat=repeat)

    async def _run_sends(self, items: Sequence[_Item]) -> list[int]:
        arguments: list[Value] = [*send_header(self._limits)]
        for item in items:
            arguments += item
        return cast("list[int]", await self._run(scripts.SEND, arguments, repeat=True))

    async def _run_claims(self, items: Sequence[_Item]) -> list[Reply]:
        lease = max(cast("int", item[0]) for item in items)
        arguments = [lease, *(value for item in items for value in item[1:])]
        # Never twice: what a lost reply had claimed goes back when the actor is placed anew, or disowns it.
        return cast("list[Reply]", await self._run(scripts.CLAIM, arguments))

    async def _run_settles(self, items: Sequence[_Item]) -> list[list[int]]:
        codes = iter(
            cast("list[int]", await self._run(scripts.SETTLE, [v for item in items for v in item], repeat=True))
        )
        return [[next(codes) for _ in range(len(item) // 6)] for item in items]


def _latest_first(settled: tuple[Delivery, Outcome]) -> int:
    return -settled[0].tag


def _settlements(fence: Fence, in_order: Iterable[tuple[Delivery, Outcome]]) -> _Item:
    return tuple(
        [value for done, outcome in in_order for value in (fence.id, fence.epoch, done.tag, *_outcome_words(outcome))]
    )


def _outcome_words(outcome: Outcome) -> tuple[str, int, str]:
    match outcome:
        case Ack():
            return "ack", 0, ""
        case Return(quiet):
            return "return", int(quiet), ""
        case Retry(delay, successes):
            return "retry", round(delay * 1000), str(successes)
        case Snooze(seconds):
            return "snooze", round(seconds * 1000), ""
        case DeadLetter(reason):
            return "dead", 0, reason
        case Quarantine(reason):
            return "quarantine", 0, reason


def _controls(raws: Iterable[bytes]) -> tuple[Control, ...]:
    taken = []
    for raw in raws:
        try:
            taken.append(Control.decode(raw))
        except BadMessage:
            # Nobody but us writes there; what is unreadable asks for nothing.
            continue
    return tuple(taken)


def pairs(reply: Reply) -> list[tuple[bytes, bytes]]:
    """The pairs of a hash, however the connection's protocol gives them."""
    if isinstance(reply, dict):
        return cast("list[tuple[bytes, bytes]]", list(reply.items()))
    flat = cast("list[bytes]", reply)
    return list(zip(flat[::2], flat[1::2], strict=True))


def _decoded(raw: bytes) -> Message | None:
    try:
        return Message.decode(raw)
    except BadMessage:
        return None
