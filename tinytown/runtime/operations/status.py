"""The state of a town at one glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import TaskState
from tinytown.runtime.living import without_dead
from tinytown.runtime.operations.conductor_view import conducting
from tinytown.runtime.operations.pending import pending_for
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.worktrees import checkout_of
from tinytown.transport.address import Address
from tinytown.transport.questions import Question, ask
from tinytown.transport.store import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.records import Agent, Event
    from tinytown.runtime.operations.pending import Counts
    from tinytown.runtime.operations.tasks import TaskView
    from tinytown.runtime.operations.worktrees import Checkout
    from tinytown.runtime.town import Town
    from tinytown.transport.connection import Value
    from tinytown.transport.placement import RuntimeCard

_ROUND_ENDS = frozenset({"round.finished", "round.failed", "round.cut"})
_ROUNDS = 5
_LOOK_BACK = 2000
"""Events that are searched for the last rounds."""


@dataclass(frozen=True, slots=True)
class Status:
    """`deep` adds what each agent did last, `tasks` the tasks one by one."""

    deep: bool = False
    tasks: bool = False


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent, what waits for it, and its last rounds (newest first, at most five; only with `deep`).

    `pending` is how many messages lie in its lanes, `counts` what they ask for, `in_hand` how many its turn holds,
    `checkout` its worktree on this host. `work` is said of the conductor only: its goal, while that is open.
    """

    agent: Agent
    pending: int
    counts: Counts
    in_hand: int = 0
    rounds: tuple[Event, ...] = ()
    checkout: Checkout | None = None
    work: str = ""


@dataclass(frozen=True, slots=True)
class TownStatus:
    """All of it. `durability` is `always`, `fast` or `none` for our own server, `external` for another.

    `task_counts` has every state; `backlog` are pending tasks that nobody has. `tasks` is empty unless asked for.
    """

    name: str
    root: str
    redis_url: str
    durability: str
    runtimes: tuple[RuntimeCard, ...]
    agents: tuple[AgentStatus, ...]
    task_counts: Mapping[TaskState, int]
    backlog: int
    dead_letters: int
    quarantined: int
    tasks: tuple[TaskView, ...] = ()
    notices: tuple[str, ...] = ()
    conductor: AgentStatus | None = None
    """The conductor, unless there is none to be seen."""


@operation("town.status", Scope.READ)
async def status(town: Town, request: Status) -> TownStatus:
    """Show the state of the town."""
    store, placement = town.store, town.placement
    ids, living, counts = await ask(town.connection, store.everybody(), placement.living(), tallied(town))
    ids.append(SUPERVISOR_ID)
    found, pending, runtimes = await ask(
        town.connection, store.these(ids), pending_for(town, ids), placement.cards(living)
    )
    waiting = dict(zip(ids, pending, strict=True))
    conductor = await conducting(town, found)
    rounds = await _last_rounds(town) if request.deep else {}

    def standing(agent: Agent, work: str = "") -> AgentStatus:
        has, checkout = waiting[agent.id], checkout_of(town.root, agent)
        return AgentStatus(agent, has.total, has.counts, has.in_hand, tuple(rounds.get(agent.id, ())), checkout, work)

    return TownStatus(
        name=town.name,
        root=str(town.root),
        redis_url=redis_url(town),
        durability=town.settings.redis.durability if town.ground.server is not None else "external",
        runtimes=tuple(without_dead(town.ground, runtimes)),
        agents=tuple(standing(agent) for agent in in_order(found) if agent.id != SUPERVISOR_ID),
        task_counts=dict(zip(TaskState, counts, strict=False)),
        backlog=counts[-3],
        dead_letters=counts[-2],
        quarantined=counts[-1],
        tasks=await _tasks(town) if request.tasks else (),
        notices=town.notices,
        conductor=standing(conductor.agent, conductor.work) if conductor else None,
    )


def tallied(town: Town) -> Question[list[int]]:
    """How many tasks are in each state, in the backlog, among the dead letters, in quarantine."""
    commands: list[tuple[Value, ...]] = [("SCARD", town.keys("tasks_in", state)) for state in TaskState]
    commands += [("LLEN", town.keys("backlog")), ("XLEN", town.keys("dlq")), ("XLEN", town.keys("quarantine"))]
    return Question(commands, lambda replies: cast("list[int]", list(replies)))


async def _last_rounds(town: Town) -> dict[str, list[Event]]:
    """The last ends of rounds of each agent, newest first."""
    found: dict[str, list[Event]] = {}
    for event in reversed(await town.journal.latest(_LOOK_BACK)):
        if event.agent is not None and event.type in _ROUND_ENDS:
            rounds = found.setdefault(event.agent, [])
            if len(rounds) < _ROUNDS:
                rounds.append(event)
    return found


def redis_url(town: Town) -> str:
    """Where Redis is, for people: for our own server the link in the project, which `redis-cli -s` takes."""
    redis = town.settings.redis
    if town.ground.directory is None or redis.central:
        return town.ground.address.url
    return Address(path=str(town.root / redis.socket_path)).url


async def _tasks(town: Town) -> tuple[TaskView, ...]:
    # Imported here: without `tasks` the status needs none of it, and must be quick.
    from tinytown.runtime.operations.tasks import ListTasks, list_tasks

    return (await list_tasks(town, ListTasks())).tasks
