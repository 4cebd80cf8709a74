"""A town in this process and on trio's clock: the twin of the server, real actors, and a script for the CLI.

The CLI is the border: `Cli` is called as the launcher is, and does what a test says. Everything on our side of it
is the real thing, with the real Lua. With a clock that jumps an hour of rounds passes in milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

import trio
import trio.testing
from towns import Parts
from twin import Twin, TwinServer

from tinytown.actors.actor import Actor, Bell, Pace
from tinytown.actors.agent import AgentActor, RoundRules
from tinytown.actors.child import ChildExit, Ladder
from tinytown.actors.conductor import Conducting
from tinytown.actors.drivers.text import TurnResult
from tinytown.actors.missions.scheduler import Scheduler, SchedulerParts
from tinytown.actors.progress import Progress
from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId
from tinytown.lifecycle import AgentState
from tinytown.messages import Body, Informational, Message, Priority, TaskAssign, Work
from tinytown.records import Agent, Event, Task
from tinytown.runtime.heartbeat import Heartbeat
from tinytown.runtime.lifeline import Lifeline
from tinytown.runtime.restart import RestartPolicy
from tinytown.runtime.supervisor import Supervisor
from tinytown.times import Timestamp, timestamp
from tinytown.transport.connection import Reply, Value
from tinytown.transport.delivery import Control, ControlKind, Fence
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.placement import RuntimeCard, new_runtime_id
from tinytown.transport.shelves import Shelves

if TYPE_CHECKING:
    from tinytown.actors.agent import CheckTasks, RunRound

_SHOWN = re.compile(r"^--- (\w+) begins\n(.*?)\n--- \1 ends$", re.DOTALL | re.MULTILINE)


class Dice(Random):
    """A random number that is always the same; 1.0 makes every pause as long as it may be."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@dataclass
class Run:
    """One round as its CLI sees it."""

    agent: Agent
    number: int
    prompt: str
    ladder: Ladder
    began: float
    ended: float = math.inf
    was_cut: bool = False

    @property
    def texts(self) -> list[str]:
        """What it is to work on, in order."""
        return [text for _, text in _SHOWN.findall(self.prompt)]


def good(answer: str = "done") -> TurnResult:
    """A run that ended well."""
    return TurnResult(ok=True, answer=answer, exit=ChildExit(code=0))


def bad(reason: str = "exit status 1", *, unhealable: bool = False) -> TurnResult:
    """A run that failed."""
    return TurnResult(ok=False, answer="", exit=ChildExit(code=1), reason=reason, unhealable=unhealable)


class Cli:
    """What stands for the agents' CLI. `behave` is what the next runs do; at first they end well at once."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.behave: Callable[[Run], Awaitable[TurnResult]] = self.succeed
        self.release = trio.Event()

    async def __call__(self, agent: Agent, number: int, prompt: str, ladder: Ladder) -> TurnResult:
        run = Run(agent, number, prompt, ladder, trio.current_time())
        self.runs.append(run)
        try:
            return await self.behave(run)
        except trio.Cancelled:
            run.was_cut = True
            raise
        finally:
            run.ended = trio.current_time()

    @property
    def worked(self) -> list[list[str]]:
        """What each run was to work on."""
        return [run.texts for run in self.runs]

    async def succeed(self, _: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return good()

    async def fail(self, _: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return bad()

    async def hang(self, _: Run) -> TurnResult:
        await trio.sleep_forever()
        raise AssertionError

    async def work_until_released(self, _: Run) -> TurnResult:
        await self.release.wait()
        return good()


class Held:
    """A connection whose replies can be kept back: what the network may do at any time."""

    def __init__(self, connection: Twin) -> None:
        self._connection = connection
        self.keeps_back: Callable[[tuple[Value, ...]], bool] = lambda _: False
        self.kept = trio.Event()
        self.release = trio.Event()
        self.commands: list[tuple[Value, ...]] = []
        """All that was asked on it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, *command: Value, repeat: bool = False) -> Reply:
        self.commands.append(command)
        # As with a socket: once it is written it is done, whether or not somebody waits for the reply.
        with trio.CancelScope(shield=True):
            reply = await self._connection.execute(*command, repeat=repeat)
        if self.keeps_back(command):
            self.kept.set()
            await self.release.wait()
        return reply


@dataclass
class Life:
    """An actor that lives in a task of its own, and what became of it."""

    actor: Actor
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)
    error: BaseException | None = None

    async def live(self) -> None:
        try:
            with self.scope:
                await self.actor.live()
        except Exception as error:
            self.error = error
        finally:
            self.over.set()

    async def end(self) -> None:
        """Cancel it, as a runtime that ends does, and wait."""
        self.scope.cancel()
        await self.over.wait()


class Stage:
    """A town on the twin, whose bells ring the actors that were started here."""

    def __init__(self, nursery: trio.Nursery, *, rules: RoundRules | None = None, pace: Pace | None = None) -> None:
        self.nursery = nursery
        self.twin = TwinServer()
        self.wire = Held(self.twin.connect())
        self.town = Parts(self.wire)
        self.channel = new_runtime_id()
        self.mailbox = Mailbox(self.wire, self.town.keys, self.town.limits, runtime=self.channel)
        self.store, self.journal = self.town.store, self.town.journal
        self.cli = Cli()
        self.rules = RoundRules()
        self.pace = Pace()
        self.dice = Dice(1.0)
        self.bells: dict[str, list[Bell]] = {}
        self.deaf = False
        """What actors are handed gets lost on the way."""
        self.runtimes: list[Runtime] = []
        self.check_tasks: CheckTasks | None = None
        self.environ: dict[str, str] = {}
        """Of the runtimes here."""

    async def open(self) -> None:
        """Listen to the bell, and have a supervisor's mailbox."""
        await self.store.commit(self.store.change().create_supervisor())
        await self.wire.subscribe(self.town.keys("bell"), self._hear)
        await self.wire.subscribe(self.town.keys("handed", self.channel), self._hear_handed)

    def _hear_handed(self, payload: bytes) -> None:
        for agent_id, delivery in self.mailbox.handed(payload):
            for bell in self.bells.get(agent_id, ())[-1:]:
                if not self.deaf:
                    bell.hand(delivery)
            for runtime in self.runtimes:
                runtime.supervisor.hand(agent_id, delivery)

    def _hear(self, payload: bytes) -> None:
        for word in payload.decode().split():
            for bell in self.bells.get(word, ()):
                bell.ring()

    # Actors.

    async def agent(self, name: str = "ada", **given: Any) -> Agent:
        """A new agent."""
        agent = Agent(name=name, cli="any", **given)
        await self.store.commit(self.store.change().create_agent(agent))
        return agent

    def make_actor(self, fence: Fence, bell: Bell, cli: RunRound | None = None) -> AgentActor:
        """The actor of an agent, as the runtime makes it; its CLI is the stage's if none is given."""
        return AgentActor(
            fence,
            self.mailbox,
            bell,
            self.pace,
            progress=Progress(self.store, fence),
            run_round=cli or self.cli,
            rules=self.rules,
            town="test",
            random=self.dice,
            check_tasks=self.check_tasks,
            duty=Conducting(self.store, self.mailbox, "test") if fence.id == SUPERVISOR_ID else None,
        )

    def run(self, actor: Actor) -> Life:
        """Let an actor live here, within hearing of its bell."""
        self.bells.setdefault(actor.fence.id, []).append(actor.bell)
        life = Life(actor)
        self.nursery.start_soon(life.live)
        return life

    async def start(self, agent: Agent) -> Life:
        """Place the agent anew and let its actor live here, without a supervisor."""
        return self.run(self.make_actor(await self.town.fence(agent), Bell()))

    async def started(self, name: str = "ada", **given: Any) -> tuple[Agent, Life]:
        """A new agent whose actor waits at its mailbox."""
        agent = await self.agent(name, **given)
        life = await self.start(agent)
        await settle_down()
        return agent, life

    async def take_over(self, agent: Agent) -> Fence:
        """Let the lease of the runtime that holds the agent pass, and place the agent on another one."""
        holder = (await self.town.placement.holders([agent.id]))[agent.id]
        await self.town.ask("ZADD", self.town.keys("runtimes"), 1, holder)
        return await self.town.fence(agent, await self.town.begin())

    # What is said.

    async def send(self, agent: Agent, *texts: str, priority: Priority = Priority.NORMAL) -> list[Message]:
        """Ask for work, one message a text."""
        return await self.town.send(agent, *texts, priority=priority)

    async def inform(self, agent: Agent, *texts: str) -> None:
        """Tell something that asks for nothing, one message a text."""
        for text in texts:
            await self.tell(agent, Informational(text))

    async def tell(
        self,
        agent: Agent,
        body: Body,
        *,
        sender: AgentId = SUPERVISOR_ID,
        priority: Priority = Priority.NORMAL,
    ) -> Message:
        """Send any message."""
        message = Message(sender, agent.id, body, priority)
        await self.mailbox.send(message)
        return message

    async def assign(self, agent: Agent, *texts: str, by: AgentId | None = SUPERVISOR_ID) -> list[Task]:
        """Hand out tasks, one a text, as `tt assign` does."""
        tasks = []
        for text in texts:
            task = replace(Task(text).assign(agent.id), assigned_by=by)
            message = Message(SUPERVISOR_ID, agent.id, TaskAssign(task.id))
            await self.store.commit(self.store.change().create_task(task).send(message))
            tasks.append(task)
        return tasks

    async def mailbox_empty(self, agent: Agent) -> None:
        """Take everything out of the agent's lanes, as if it had been worked on."""
        await self.town.ask("DEL", *self.town.keys.lanes(agent.id))

    async def control(self, agent: Agent, kind: ControlKind, *, incarnation: int | None = None) -> None:
        """Tell the actor, past its mailbox."""
        life = agent.incarnation if incarnation is None else incarnation
        await self.store.commit(self.store.change().control(agent.id, Control(kind, life, "a person")))

    async def change_agent(self, agent: Agent, decide: Callable[[Agent], Agent], *, wake: bool = True) -> Agent:
        """Change the record as a person does, and wake the actor."""
        after = await self.store.update_agent(agent.id, decide)
        if wake:
            await self.control(agent, ControlKind.WAKE, incarnation=after.incarnation)
        return after

    # What can be seen.

    async def record(self, agent: Agent) -> Agent:
        return await self.store.agent(agent.id)

    async def state(self, agent: Agent) -> AgentState:
        return (await self.record(agent)).state

    async def waiting(self, agent: Agent) -> list[str]:
        """The texts of what waits, in the order of reading, claimed messages first."""
        return [text_of(message) for message in await self.mailbox.peek(agent.id)]

    async def claimed(self, agent: Agent) -> int:
        """How many messages are claimed and not settled."""
        count: int = await self.town.ask("HLEN", self.town.keys("inflight", agent.id))
        return count

    async def events(self, kind: str = "") -> list[Event]:
        """What the journal has, of one kind or all."""
        return [event for event in await self.journal.latest(10_000) if event.type.startswith(kind)]

    async def dead_letters(self) -> list[dict[str, bytes]]:
        return await self.town.entries("dlq")


class Runtime:
    """A whole runtime on the stage: supervisor, lifeline, heartbeat, scheduler, but no process and no signals."""

    def __init__(
        self, stage: Stage, *, host: str = "here", lease: float = 15.0, interval: float = 5.0, patrol: float = 5.0
    ) -> None:
        self.stage = stage
        self.patrol = patrol
        self.card = RuntimeCard(new_runtime_id(), host, 1, "2026-01-01T00:00:00.000Z")
        self.lease, self.interval = lease, interval
        self.reports: list[str] = []
        self.healed = 0
        self.heals: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        self.policy = RestartPolicy()
        self.make_actor: Callable[[Fence, Bell], Actor] = stage.make_actor
        self.supervisor: Supervisor
        self.lifeline: Lifeline
        self.heartbeat: Heartbeat
        self.scheduler: Scheduler

    async def start(self) -> Runtime:
        """Start it in the stage's nursery; returns when the agents that are there have been adopted."""
        await self.stage.nursery.start(self._run)
        return self

    async def _run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            async with trio.open_nursery() as permanent, trio.open_nursery() as children:
                await self._open(children)
                permanent.start_soon(self.heartbeat.run)
                permanent.start_soon(self.lifeline.run)
                permanent.start_soon(self.scheduler.run)
                task_status.started()
                await trio.sleep_forever()
        self.over.set()

    async def _open(self, children: trio.Nursery) -> None:
        town = self.stage.town
        await town.placement.begin(self.card, lease=self.lease)
        self.supervisor = Supervisor(
            children,
            runtime=self.card.id,
            store=town.store,
            placement=town.placement,
            make_actor=lambda fence, bell: self.make_actor(fence, bell),
            policy=self.policy,
            random=self.stage.dice,
            report=self.reports.append,
        )
        self.lifeline = Lifeline(
            self.supervisor, town.mailbox, town.placement, town.store, host=self.card.host, interval=self.patrol
        )
        self.heartbeat = Heartbeat(
            self.card,
            town.placement,
            self.supervisor,
            self.lifeline,
            lease=self.lease,
            interval=self.interval,
            heal=self._heal,
            report=self.reports.append,
        )
        self.scheduler = Scheduler(
            SchedulerParts(
                store=town.store,
                missions=town.missions,
                shelves=Shelves(town.connection, town.keys, town.limits),
                placement=town.placement,
                journal=town.journal,
                runtime=self.card.id,
                environ=self.stage.environ,
                bugbots=(),
                tick_secs=30.0,
                random=self.stage.dice,
                report=self.reports.append,
                now=now,
            )
        )
        self.supervisor.on_end = self.lifeline.wake
        self.stage.runtimes.append(self)
        connection = self.stage.twin.connect()
        await connection.subscribe(town.keys("bell"), self._hear)
        await self.lifeline.walk()

    async def _heal(self) -> None:
        self.healed += 1
        await self.heals()

    def _hear(self, payload: bytes) -> None:
        for word in payload.decode().split():
            if not self.supervisor.ring(AgentId(word)) and not self.scheduler.ring(word):
                self.lifeline.wake()

    async def kill(self) -> None:
        """End it without a word, as SIGKILL does: nothing reaches the store any more."""
        with self.stage.twin.outage():
            await self.end()

    async def end(self) -> None:
        """End it, cutting what runs."""
        self.supervisor.close()
        self.scope.cancel()
        await self.over.wait()


def text_of(message: Message) -> str:
    """What a message says, in one text."""
    body = message.body
    match body:
        case Work(description):
            return description
        case Informational(summary):
            return summary
        case _:
            return body.type


def now() -> Timestamp:
    """The time of day, on trio's clock."""
    return timestamp(1_800_000_000 + trio.current_time())


async def settle_down() -> None:
    """Let everybody do what can be done without time passing."""
    await trio.testing.wait_all_tasks_blocked()


async def until(true: Callable[[], object], *, within: float = 24 * 3600.0, each: float = 0.25) -> None:
    """Let virtual time pass until something is true."""
    with trio.fail_after(within):
        while not true():
            await trio.sleep(each)


def numbered(count: int, what: str = "m") -> list[str]:
    """`m01`, `m02`, …"""
    return [f"{what}{number:02d}" for number in range(1, count + 1)]


def ids_of(messages: Iterable[Message]) -> list[MessageId]:
    """Their ids."""
    return [message.id for message in messages]
