"""The transport of one town over one connection, and what lies in Redis: the ground of the transport's tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tinytown.config import Limits
from tinytown.ids import SUPERVISOR_ID, AgentId, RuntimeId
from tinytown.lifecycle import MissionState
from tinytown.messages import Informational, Message, Priority, Work
from tinytown.mission_records import Mission, SourceText, Watch, WorkItem
from tinytown.records import Agent
from tinytown.transport.batch import Batch, one_by_one
from tinytown.transport.connection import Connection, Value
from tinytown.transport.delivery import Claim, Control, ControlKind, Delivery, Fence
from tinytown.transport.journal import Journal
from tinytown.transport.keys import Keys
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.missions import Changed, Missions
from tinytown.transport.placement import Placed, Placement, RuntimeCard, new_runtime_id
from tinytown.transport.store import Store

NAME = "a town: [tests] *?"
"""Full of characters that mean something in keys and globs."""

LEASE = 60.0

Snapshot = dict[str, tuple[str, Any]]
"""Every key with its type and its content, in a form that compares equal when nothing has changed."""


@dataclass
class Parts:
    """The parts of the transport, over one connection, with the phrases that many tests need."""

    connection: Connection
    limits: Limits = field(default_factory=Limits)
    batch: Batch = one_by_one
    keys: Keys = field(default_factory=lambda: Keys(NAME))

    def __post_init__(self) -> None:
        self.mailbox = Mailbox(self.connection, self.keys, self.limits, self.batch)
        self.store = Store(self.connection, self.keys, self.limits)
        self.placement = Placement(self.connection, self.keys, self.limits)
        self.journal = Journal(self.connection, self.keys, length=self.limits.events)
        self.missions = Missions(self.connection, self.keys)
        self.runtime: RuntimeId | None = None

    async def ask(self, *command: Value) -> Any:
        """Ask Redis one command."""
        return await self.connection.execute(*command)

    async def agent(self, name: str = "ada") -> Agent:
        """A new agent."""
        agent = Agent(name=name, cli="any")
        await self.store.commit(self.store.change().create_agent(agent))
        return agent

    async def begin(self, *, lease: float = LEASE) -> RuntimeId:
        """A new runtime with a lease."""
        runtime = new_runtime_id()
        await self.placement.begin(RuntimeCard(runtime, "here", 1, "2026-01-01T00:00:00.000Z"), lease=lease)
        return runtime

    async def place(self, *agents: Agent, runtime: RuntimeId | None = None) -> list[Placed]:
        """Place agents on a runtime: the given one, else the one runtime of this test."""
        if runtime is None:
            self.runtime = self.runtime or await self.begin()
            runtime = self.runtime
        return await self.placement.place(runtime, [agent.id for agent in agents])

    async def fence(self, agent: Agent, runtime: RuntimeId | None = None) -> Fence:
        """The right to act for an agent, newly placed."""
        (placed,) = await self.place(agent, runtime=runtime)
        assert placed.fence is not None
        return placed.fence

    async def someone(self, name: str = "ada") -> tuple[Agent, Fence]:
        """A new agent, placed."""
        agent = await self.agent(name)
        return agent, await self.fence(agent)

    async def send(self, agent: Agent, *texts: str, priority: Priority = Priority.NORMAL) -> list[Message]:
        """Send the agent some work, one message a text."""
        messages = [work(agent, text, priority) for text in texts]
        for message in messages:
            assert await self.mailbox.send(message)
        return messages

    async def tell(self, agent: Agent, kind: ControlKind) -> Control:
        """Send the agent's actor a control message."""
        control = Control(kind, agent.incarnation, "somebody")
        await self.store.commit(self.store.change().control(agent.id, control))
        return control

    async def claim(self, fence: Fence, *, count: int = 50, size: int = 1 << 20, lease: float = LEASE) -> Claim:
        """Claim with limits that do not matter, unless given."""
        return await self.mailbox.claim(fence, count=count, size=size, lease=lease)

    async def lane(self, agent: Agent, name: str = "inbox") -> list[bytes]:
        """The bytes in one lane of an agent."""
        found: list[bytes] = await self.ask("LRANGE", self.keys(name, agent.id), 0, -1)
        return found

    async def entries(self, name: str) -> list[dict[str, bytes]]:
        """What lies in a stream: dead letters or quarantine."""
        return [
            {key.decode(): value for key, value in zip(flat[::2], flat[1::2], strict=True)}
            for _, flat in await self.ask("XRANGE", self.keys(name), "-", "+")
        ]

    async def mission(self, *numbers: int, state: MissionState = MissionState.RUNNING) -> Mission:
        """A new mission with an item for each number, a watch on the first, and what they come from."""
        mission = Mission(state=state, objectives=tuple(f"o/r#{number}" for number in numbers))
        items = tuple(
            WorkItem(mission.id, f"item {number}", "implement", key=f"o/r#{number}", number=number)
            for number in numbers
        )
        watches = tuple(Watch(mission.id, item.id, "pr_checks", "o/r#9") for item in items[:1])
        sources = {item.id: SourceText("ann", "MEMBER", f"do {item.title}\r\n\u2028") for item in items}
        change = self.missions.create(self.store.change(), Changed(mission, items, watches, sources))
        await self.store.commit(self.missions.tell(change, mission.id, "mission.started", "1 item"))
        return mission

    async def pass_lease(self, agent: Agent, *deliveries: Delivery) -> None:
        """Let the leases of claimed messages run out now."""
        for done in deliveries:
            await self.ask("ZADD", self.keys("leases", agent.id), 1, done.tag)

    async def pass_time(self) -> None:
        """Let all that is snoozed be due, since the same millisecond."""
        for member in await self.ask("ZRANGE", self.keys("snoozed"), 0, -1):
            await self.ask("ZADD", self.keys("snoozed"), 1, member)


def work(agent: Agent | AgentId, text: str = "do it", priority: Priority = Priority.NORMAL) -> Message:
    """A message that asks for work."""
    to = agent.id if isinstance(agent, Agent) else agent
    return Message(sender=SUPERVISOR_ID, to=to, body=Work(text), priority=priority)


def note(agent: Agent, text: str = "for your information") -> Message:
    """A message that asks for nothing."""
    return Message(sender=SUPERVISOR_ID, to=agent.id, body=Informational(text))


def texts(found: Claim | Iterable[Delivery] | Iterable[Message]) -> list[str]:
    """What the claimed, delivered or seen messages say."""
    said = []
    for item in found.deliveries if isinstance(found, Claim) else found:
        message = item.message if isinstance(item, Delivery) else item
        assert message is not None
        assert isinstance(message.body, Work)
        said.append(message.body.description)
    return said


async def snapshot(connection: Connection) -> Snapshot:
    """All that lies in Redis."""
    cursor, names = 0, set()
    while True:
        reply: Any = await connection.execute("SCAN", cursor, "COUNT", 1000)
        cursor, found = int(reply[0]), reply[1]
        names.update(found)
        if cursor == 0:
            break
    ordered = sorted(names)
    types: list[Any] = await connection.pipeline([("TYPE", name) for name in ordered])
    contents = await connection.pipeline(
        [_READ[kind.decode()](name) for name, kind in zip(ordered, types, strict=True)]
    )
    return {
        name.decode(): (kind.decode(), _canonical(kind.decode(), content))
        for name, kind, content in zip(ordered, types, contents, strict=True)
    }


_READ: dict[str, Any] = {
    "string": lambda name: ("GET", name),
    "list": lambda name: ("LRANGE", name, 0, -1),
    "hash": lambda name: ("HGETALL", name),
    "set": lambda name: ("SMEMBERS", name),
    "zset": lambda name: ("ZRANGE", name, 0, -1, "WITHSCORES"),
    "stream": lambda name: ("XRANGE", name, "-", "+"),
}


def _canonical(kind: str, content: Any) -> Any:
    """Content in which neither the order of a hash or a set nor the protocol shows."""
    if kind == "hash":
        return content if isinstance(content, dict) else dict(zip(content[::2], content[1::2], strict=True))
    if kind == "set":
        return set(content)
    if kind == "zset":
        pairs = (
            content if not content or isinstance(content[0], list) else zip(content[::2], content[1::2], strict=True)
        )
        return [(member, float(score)) for member, score in pairs]
    return content


def strays(found: Snapshot, keys: Keys) -> list[str]:
    """The keys that the catalogue does not know, or knows with another type."""
    return [f"{name} ({kind})" for name, (kind, _) in found.items() if not _known(name, kind, keys)]


def _known(name: str, kind: str, keys: Keys) -> bool:
    if not name.startswith(keys.prefix):
        return False
    found = keys.find(name)
    return found is not None and found[0].type == kind
