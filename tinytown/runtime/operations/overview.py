"""A town as one picture: what `tt top` shows. It costs in proportion to what it shows, not to what there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.ids import SUPERVISOR_ID, TaskId
from tinytown.lifecycle import AgentState, TaskState
from tinytown.runtime.living import without_dead
from tinytown.runtime.operations.bounds import whole
from tinytown.runtime.operations.conductor_view import conducting
from tinytown.runtime.operations.events import ids_told
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.status import tallied
from tinytown.runtime.operations.task_views import names_of, view
from tinytown.transport.agent_index import standing
from tinytown.transport.questions import Question, ask
from tinytown.transport.store import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.ids import AgentId
    from tinytown.records import Agent, Event, Task
    from tinytown.runtime.operations.task_views import TaskView
    from tinytown.runtime.town import Town
    from tinytown.transport.connection import Reply, Value
    from tinytown.transport.placement import RuntimeCard

_LANES = 4
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Overview:
    """How many of the last events, of the newest tasks, besides those that agents are at, and of the agents.

    Without a number all agents are shown; with one those first that are at work, then those alive.
    """

    events: int = whole("number of events", 0, _MOST, default=50)
    tasks: int = whole("number of tasks", 0, _MOST, default=50)
    agents: int | None = whole("number of agents", 0, _MOST, default=None)


@dataclass(frozen=True, slots=True)
class Mail:
    """How many messages lie in an agent's lanes, how many of these are urgent, how many its turn holds."""

    waiting: int = 0
    urgent: int = 0
    in_hand: int = 0


@dataclass(frozen=True, slots=True)
class AgentLine:
    """An agent with its mailbox, and the text of the task it is at; of the conductor's goal, while that is open."""

    agent: Agent
    mail: Mail
    work: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """`tasks` are those that the agents shown are at, then the newest of the others. Events oldest first.

    Agents are in the order of creation where all are shown. `at_work` counts those in a round, whatever their state.
    `names` are those of the agents that are shown or spoken of. `position` is the last event that it takes account
    of.
    """

    name: str
    agents: tuple[AgentLine, ...]
    agent_counts: Mapping[AgentState, int]
    at_work: int
    conductor: Mail
    runtimes: tuple[RuntimeCard, ...]
    tasks: tuple[TaskView, ...]
    task_counts: Mapping[TaskState, int]
    backlog: int
    put_aside: int
    events: tuple[Event, ...]
    names: Mapping[str, str]
    position: str
    conducting: AgentLine | None = None
    """The conductor with its goal, unless there is none to be seen; `conductor` is its mailbox, which a person has,
    too."""


@operation("town.overview", Scope.READ)
async def overview(town: Town, request: Overview) -> Picture:
    """Show agents, mailboxes, tasks and what happened last."""
    # Read first: what happens meanwhile is followed, and seen in the next picture.
    events = await town.journal.latest(max(1, request.events))
    store, placement = town.store, town.placement
    agents_now, living, counts = await ask(
        town.connection, standing(town.keys, request.agents), placement.living(), tallied(town)
    )
    ids = agents_now.agents
    everybody = [*ids, SUPERVISOR_ID]
    found, mail, runtimes = await ask(
        town.connection, store.these(everybody), _mail(town, everybody), placement.cards(living)
    )
    conductor = await conducting(town, found)
    agents = [agent for agent in found if agent.id != SUPERVISOR_ID]
    if len(ids) == agents_now.total:
        agents = in_order(agents)
    names = {agent.id: agent.name for agent in agents}
    tasks = await _tasks(town, [agent.current_task for agent in agents if agent.current_task], request.tasks)
    if len(ids) < agents_now.total:
        names |= await names_of(town, _spoken_of(events, tasks) - names.keys())
    texts = {task.id: task.description for task in tasks}
    return Picture(
        name=town.name,
        agents=tuple(
            AgentLine(agent, mail[agent.id], texts.get(agent.current_task, "") if agent.current_task else "")
            for agent in agents
        ),
        agent_counts=agents_now.by_state,
        at_work=agents_now.at_work,
        conductor=mail[SUPERVISOR_ID],
        runtimes=tuple(without_dead(town.ground, runtimes)),
        tasks=tuple(view(task, names) for task in tasks),
        task_counts=dict(zip(TaskState, counts, strict=False)),
        backlog=counts[-3],
        put_aside=counts[-2] + counts[-1],
        events=tuple(events if request.events else ()),
        names={str(agent_id): name for agent_id, name in names.items()},
        position=events[-1].id if events else "0",
        conducting=AgentLine(conductor.agent, mail[SUPERVISOR_ID], conductor.work) if conductor else None,
    )


def _mail(town: Town, agent_ids: Sequence[AgentId]) -> Question[dict[AgentId, Mail]]:
    """How much waits for each of these, and is in hand."""
    commands: list[tuple[Value, ...]] = []
    for agent_id in agent_ids:
        commands += [("LLEN", lane) for lane in town.keys.lanes(agent_id)]
        commands.append(("HLEN", town.keys("inflight", agent_id)))
    step = _LANES + 1

    def mail(replies: Sequence[Reply]) -> dict[AgentId, Mail]:
        counts = cast("Sequence[int]", replies)
        heaps = [counts[at : at + step] for at in range(0, len(counts), step)]
        return {
            agent_id: Mail(sum(heap[:_LANES]), heap[0], heap[_LANES])
            for agent_id, heap in zip(agent_ids, heaps, strict=True)
        }

    return Question(commands, mail)


def _spoken_of(events: Iterable[Event], tasks: Iterable[Task]) -> set[AgentId]:
    of_tasks = {each for task in tasks for each in (task.assigned_to, task.assigned_by) if each is not None}
    return ids_told(events) | of_tasks


async def _tasks(town: Town, current: Iterable[TaskId], newest: int) -> list[Task]:
    members: list[bytes] = []
    if newest > 0:
        reply = await town.connection.execute("ZREVRANGE", town.keys("tasks"), 0, newest - 1, repeat=True)
        members = cast("list[bytes]", reply)
    ids = list(dict.fromkeys([*current, *(TaskId(raw.decode()) for raw in members)]))
    found = {task.id: task for task in await town.store.tasks_of(ids)}
    return [found[task_id] for task_id in ids if task_id in found]
