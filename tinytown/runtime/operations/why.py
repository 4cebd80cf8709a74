"""Why is nothing happening? One sentence, with the fact that blocks."""

from __future__ import annotations

import time
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinytown.actors.pickup import may_take
from tinytown.errors import AgentNotFound, AmbiguousId, BadMessage, NotFound, TaskNotFound
from tinytown.ids import TaskId, short
from tinytown.messages import TaskAssign, decode_json
from tinytown.runtime.living import living
from tinytown.runtime.operations.pending import look
from tinytown.runtime.operations.reasons import TEXT, Fact, Reason, Situation, of_agent
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.task_reasons import Dependency, TaskSituation, of_task
from tinytown.runtime.operations.task_views import name_of
from tinytown.text import one_line
from tinytown.transport.postponed import postponed
from tinytown.transport.shelves import Shelved, Shelves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.ids import AgentId
    from tinytown.messages import Message
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town

_MOST = 10_000
"""Messages of one lane among which that of a task is looked for."""


@dataclass(frozen=True, slots=True)
class Why:
    """An agent by name, id or prefix, or a task by id or prefix."""

    subject: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`sentence` names the fact; `advice` is a command or a hint, empty when there is nothing to do."""

    kind: Literal["agent", "task"]
    id: str
    fact: Fact
    sentence: str
    advice: str = ""


@operation("town.why", Scope.READ)
async def why(town: Town, request: Why) -> Answer:
    """Say what an agent or a task waits for.

    Raises `NotFound`, `AmbiguousId`.
    """
    agent, task = await _find(town, request.subject)
    if agent is not None:
        reason = of_agent(await _situation(town, agent))
        return _answer("agent", agent.id, f"Agent '{agent.name}'", reason)
    assert task is not None
    reason = of_task(await _task_situation(town, task))
    text = one_line(task.description, TEXT)
    return _answer("task", task.id, f"Task {short(task.id)} '{text}'", reason)


def _answer(kind: Literal["agent", "task"], record_id: str, what: str, reason: Reason) -> Answer:
    return Answer(kind, record_id, reason.fact, f"{what} {reason.predicate}".rstrip(".") + ".", reason.advice)


async def _find(town: Town, wanted: str) -> tuple[Agent | None, Task | None]:
    agent, task = None, None
    with suppress(AgentNotFound):
        agent = await town.store.find_agent(wanted)
    if agent is not None and wanted in (agent.name, agent.id):
        return agent, None
    with suppress(TaskNotFound):
        task = await town.store.find_task(wanted)
    if agent is not None and task is not None:
        raise AmbiguousId(f"'{one_line(wanted, 64)}' fits agent {agent.id} and task {task.id}")
    if agent is None and task is None:
        raise NotFound(
            f"No agent and no task is called {one_line(wanted, 64)}",
            hint="See what is there with: tt list, tt task list",
        )
    return agent, task


async def _situation(town: Town, agent: Agent, put_aside: list[Shelved] | None = None) -> Situation:
    (waiting,) = await look(town, [agent.id])
    cards = {card.id: card for card in await living(town)}
    holders = await town.placement.holders([agent.id])
    work = ""
    if agent.current_task is not None:
        with suppress(TaskNotFound):
            current = await town.store.task(agent.current_task)
            work = f"task {short(current.id)} '{one_line(current.description, TEXT)}'"
    if put_aside is None:
        put_aside = await _put_aside(town, agent.id)
    return Situation(
        agent=agent,
        now=time.time(),
        counts=waiting.counts,
        waiting=waiting.total,
        in_hand=waiting.in_hand,
        runtimes=len(cards),
        holder=cards.get(holders[agent.id]) if agent.id in holders else None,
        snoozed=tuple(due for due, _ in await postponed(town.connection, town.keys, agent.id)),
        put_aside=len(put_aside),
        work=work,
    )


async def _put_aside(town: Town, agent_id: AgentId) -> list[Shelved]:
    async with aclosing(Shelves(town.connection, town.keys, town.settings.limits).all()) as everything:
        return [each async for each in everything if each.agent == agent_id]


async def _task_situation(town: Town, task: Task) -> TaskSituation:
    if task.state.is_terminal:
        return TaskSituation(task)
    names = await town.store.names()
    dependencies = tuple([await _dependency(town, each, names) for each in task.depends_on])
    if task.assigned_to is None:
        return TaskSituation(task, dependencies=dependencies, suitable=await _suitable(town, task))
    try:
        agent = await town.store.agent(task.assigned_to)
    except AgentNotFound:
        return TaskSituation(task, dependencies=dependencies)
    aside = await _put_aside(town, agent.id)
    seen = await _situation(town, agent, aside)
    # What a turn holds comes first.
    lying = [message for message, _ in await town.mailbox.peek_with_bytes(agent.id, most=_MOST)]
    places = [place for place, message in enumerate(lying) if _tells_of(message, task)]
    later = await postponed(town.connection, town.keys, agent.id)
    review = task.to_json().get("review_task")
    return TaskSituation(
        task,
        agent=seen,
        dependencies=dependencies,
        review=await _dependency(town, review, names) if isinstance(review, str) else None,
        failed_check=_failed_check(task),
        ahead=next((place - seen.in_hand for place in places if place >= seen.in_hand), None),
        in_hand=any(place < seen.in_hand for place in places),
        due=next((due for due, message in later if _tells_of(message, task)), None),
        shelved=next((each for each in reversed(aside) if _tells_of(each.message, task)), None),
    )


def _tells_of(message: Message | None, task: Task) -> bool:
    return message is not None and isinstance(message.body, TaskAssign) and message.body.task_id == task.id


def _failed_check(task: Task) -> str:
    """The check that the work on the task has not passed, with what came of it; empty when there is none."""
    evidence = task.to_json().get("evidence")
    last = evidence[-1] if isinstance(evidence, list) and evidence else None
    if isinstance(last, str):
        with suppress(BadMessage):
            last = decode_json(last.encode())
    if not isinstance(last, dict) or (last.get("code") == 0 and not last.get("failure")):
        return ""
    outcome = last.get("failure") or f"exit status {last.get('code')}"
    return f"'{one_line(str(last.get('name')), TEXT)}' ({one_line(str(outcome), TEXT)})"


async def _dependency(town: Town, task_id: str, names: Mapping[AgentId, str]) -> Dependency:
    try:
        task = await town.store.task(TaskId(task_id))
    except TaskNotFound:
        return Dependency(task_id)
    return Dependency(task_id, task, name_of(task.assigned_to, names))


async def _suitable(town: Town, task: Task) -> tuple[str, ...] | None:
    """The agents alive that may claim it; None when it does not lie in the backlog."""
    place = await town.connection.execute("LPOS", town.keys("backlog"), task.id, repeat=True)
    if place is None:
        return None
    agents = await town.store.agents()
    return tuple(agent.name for agent in agents if not agent.state.is_terminal and may_take(task, agent))
