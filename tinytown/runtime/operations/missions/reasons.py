"""Why a work item does not get on, and why a mission does not: from what is known to the one fact that blocks.

Nothing here reads or writes. As for agents and tasks, what holds the whole is said before what holds a part, and the
answer is a predicate (`waits for …`), so that one sentence serves a list and a person who asks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from tinytown.actors.missions.reconcile import IN_WORK
from tinytown.actors.missions.roles import may_review
from tinytown.ids import short
from tinytown.lifecycle import AgentState, MissionState, TaskState, WatchState, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE
from tinytown.runtime.operations.missions.names import home_of, label
from tinytown.runtime.operations.missions.watch_reasons import of_watches
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.actors.missions.roles import Worker
    from tinytown.ids import AgentId, TaskId
    from tinytown.mission_records import Mission, Watch, WorkItem
    from tinytown.records import Agent, Task

_I = WorkItemState
_TEXT = 200
_LISTED = 5


class MissionFact(StrEnum):
    """What blocks; for programs."""

    OVER = "over"
    STOPPED = "stopped"
    NO_RUNTIME = "no_runtime"
    DEPENDENCY = "dependency"
    GATE = "gate"
    APPROVAL = "approval"
    REVIEW = "review"
    IN_REVIEW = "in_review"
    NO_REVIEWER = "no_reviewer"
    LOOK_FAILS = "look_fails"
    LIMITED = "limited"
    REPAIR = "repair"
    CHECKS = "checks"
    MERGE = "merge"
    PERSON = "person"
    NO_PLACE = "no_place"
    NO_AGENT = "no_agent"
    AGENTS_BUSY = "agents_busy"
    AGENT_ENDED = "agent_ended"
    IN_WORK = "in_work"
    LOOKED_FOR = "looked_for"
    SOON = "soon"


HOLDS = frozenset({MissionFact.OVER, MissionFact.STOPPED, MissionFact.NO_RUNTIME})
"""What holds a mission as a whole, and so each of its items."""


@dataclass(frozen=True, slots=True)
class MissionReason:
    """A fact, what it means of the item or the mission, and what a person can do, if anything."""

    fact: MissionFact
    predicate: str
    advice: str = ""


@dataclass(frozen=True)
class MissionSituation:
    """What is known of a mission. `now` is in seconds since 1970; `runtimes` counts those that are alive.

    `tasks` are those that its items and watches name; `agents` are all of the town, ended ones too, and `workers`
    those that live, as the planner sees them.
    """

    mission: Mission
    items: Sequence[WorkItem]
    watches: Sequence[Watch]
    agents: Sequence[Agent]
    workers: Sequence[Worker]
    now: float
    runtimes: int = 1
    tasks: Mapping[TaskId, Task] = field(default_factory=dict)

    @cached_property
    def by_key(self) -> Mapping[str, WorkItem]:
        """The items by their key."""
        return {item.key: item for item in self.items}

    @cached_property
    def gates(self) -> Mapping[str, Watch]:
        """The watches on what is outside, by what they watch."""
        return {watch.target: watch for watch in self.watches if watch.watch_kind == EXTERNAL_GATE}

    @cached_property
    def own_watches(self) -> Mapping[str, list[Watch]]:
        """The watches on the pull request of each item, by the item's id."""
        found: dict[str, list[Watch]] = {}
        for watch in self.watches:
            if watch.watch_kind != EXTERNAL_GATE:
                found.setdefault(watch.work_item_id, []).append(watch)
        return found

    @cached_property
    def _agents(self) -> Mapping[AgentId, Agent]:
        return {agent.id: agent for agent in self.agents}

    def agent(self, agent_id: AgentId | None) -> Agent | None:
        """The agent of this id, if it is there."""
        return self._agents.get(agent_id) if agent_id is not None else None

    def name(self, agent_id: AgentId | None) -> str:
        """The name of an agent; its id when it is gone."""
        agent = self.agent(agent_id)
        return agent.name if agent is not None else str(agent_id or "nobody")

    def called(self, item: WorkItem) -> str:
        """How an item is called in a sentence."""
        return label(item, home_of(self.mission)) or f"'{one_line(item.title, 60)}'"


def of_mission(situation: MissionSituation) -> MissionReason:
    """What holds a mission as a whole; else what is going on in it."""
    held = _held(situation)
    if held is not None:
        return held
    left = [item for item in situation.items if item.state is not _I.DONE]
    if not left:
        return MissionReason(MissionFact.SOON, "has done all, and is completed with the next look")
    count = f"{len(situation.items) - len(left)} of {len(situation.items)} done"
    # What moves is said first, then what a person can move.
    first = min(left, key=lambda item: _URGENCY.get(_fact_of(item), 9))
    reason = of_item(situation, first)
    return MissionReason(reason.fact, f"goes on ({count}): {situation.called(first)} {reason.predicate}", reason.advice)


def of_item(situation: MissionSituation, item: WorkItem) -> MissionReason:
    """What holds an item; else what is done about it."""
    if item.state is _I.DONE:
        return MissionReason(MissionFact.OVER, "is done" + (f": {item.reason}" if item.reason else ""))
    if item.state is _I.FAILED:
        return MissionReason(MissionFact.OVER, f"has failed: {one_line(item.reason or 'no reason given', _TEXT)}")
    held = _held(situation)
    if held is not None:
        return MissionReason(held.fact, f"waits: its mission {held.predicate}", held.advice)
    if item.state is _I.PENDING:
        return _pending(situation, item)
    if item.state is _I.READY:
        return _ready(situation, item)
    if item.state in IN_WORK:
        return _in_work(situation, item)
    return _blocked(situation, item)


_URGENCY = {"in_work": 0, "person": 1, "approval": 2, "review": 3, "merge": 4, "ready": 5, "dependency": 7}


def _fact_of(item: WorkItem) -> str:
    return "in_work" if item.state in IN_WORK else item.waits_for or str(item.state)


def _held(situation: MissionSituation) -> MissionReason | None:
    mission = situation.mission
    if mission.state is MissionState.COMPLETED:
        return MissionReason(MissionFact.OVER, "is completed")
    if mission.state is MissionState.FAILED:
        return MissionReason(MissionFact.OVER, f"has failed: {one_line(mission.reason or 'no reason given', _TEXT)}")
    if mission.state is MissionState.STOPPED:
        why = f" ({one_line(mission.reason, _TEXT)})" if mission.reason else ""
        return MissionReason(MissionFact.STOPPED, f"is stopped{why}", f"tt mission resume {short(mission.id)}")
    if not situation.runtimes:
        return MissionReason(MissionFact.NO_RUNTIME, "needs a runtime, and none is alive", "tt start --detach")
    return None


def _pending(situation: MissionSituation, item: WorkItem) -> MissionReason:
    waiting = list(_unsatisfied(situation, item))
    if not waiting:
        return MissionReason(MissionFact.SOON, "begins with the next look of the scheduler")
    gate = all(key not in situation.by_key for key, _ in waiting)
    fact = MissionFact.GATE if gate else MissionFact.DEPENDENCY
    return MissionReason(fact, f"waits for {_listed(text for _, text in waiting)}")


def _unsatisfied(situation: MissionSituation, item: WorkItem) -> Iterable[tuple[str, str]]:
    """What it waits for, each with how that stands and where it is said."""
    for edge in item.edges:
        key, source = str(edge["on"]), str(edge.get("source", ""))
        inside, gate = situation.by_key.get(key), situation.gates.get(key)
        if inside is not None:
            if inside.state is _I.DONE:
                continue
            how = str(inside.state)
            if inside.state in IN_WORK:
                how += f" → {situation.name(inside.assigned_to)}"
            name = situation.called(inside)
        else:
            if gate is not None and gate.state is WatchState.DONE:
                continue
            result = (gate.last_result if gate is not None else None) or "not looked at yet"
            how, name = f"outside the mission: {one_line(result, 80)}", key
        yield key, f"{name} ({how}; said by {_SOURCES.get(source, source)})"


_SOURCES = {"native": "GitHub", "manifest": "the manifest", "body": "its text", "option": "--depends"}


def _ready(situation: MissionSituation, item: WorkItem) -> MissionReason:
    in_work = [each for each in situation.items if each.state in IN_WORK]
    most = situation.mission.max_parallel_items
    if len(in_work) >= most:
        listed = _listed(situation.called(each) for each in in_work)
        return MissionReason(MissionFact.NO_PLACE, f"waits for one of the {most} places: {listed} in work")
    if not situation.workers:
        broken = next((agent.name for agent in situation.agents if agent.state is AgentState.ERROR), None)
        if broken is not None:
            text = f"waits for an agent, and none is alive: '{broken}' is in error"
            return MissionReason(MissionFact.NO_AGENT, text, f"tt why {broken}")
        done = _out_of_rounds(situation.agents)
        told = f": '{done}' has used up its rounds" if done is not None else ""
        advice = f"tt restart {done}" if done is not None else "tt spawn worker-1"
        return MissionReason(MissionFact.NO_AGENT, f"waits for an agent, and none is alive{told}", advice)
    idle = [worker for worker in situation.workers if worker.idle]
    if not idle:
        names = _listed(situation.name(worker.id) for worker in situation.workers)
        return MissionReason(MissionFact.AGENTS_BUSY, f"waits for an agent, and all are busy: {names}")
    reviewing = any(each.waits_for == "review" for each in situation.items)
    if reviewing and all(worker.reviews for worker in idle) and len(idle) == 1:
        name = situation.name(idle[0].id)
        return MissionReason(
            MissionFact.AGENTS_BUSY, f"waits for an agent: '{name}' is kept free for a review", "tt spawn worker-1"
        )
    again = f" again: {one_line(item.reason, _TEXT)}" if item.reason else ""
    return MissionReason(MissionFact.SOON, f"is given out{again or ' with the next look of the scheduler'}")


def _out_of_rounds(agents: Iterable[Agent]) -> str | None:
    """An agent that has ended only because it was given no more rounds."""
    ended = (agent for agent in agents if agent.state is AgentState.STOPPED)
    return next((agent.name for agent in ended if agent.rounds_completed >= agent.max_rounds), None)


def _in_work(situation: MissionSituation, item: WorkItem) -> MissionReason:
    agent, name = situation.agent(item.assigned_to), situation.name(item.assigned_to)
    task = situation.tasks.get(item.task_id) if item.task_id is not None else None
    if task is not None and task.state is TaskState.COMPLETED:
        return MissionReason(MissionFact.LOOKED_FOR, f"is reported as done by '{name}'; its pull request is looked for")
    if agent is None or agent.state.is_terminal:
        how = "is gone" if agent is None else "is in error" if agent.state is AgentState.ERROR else "is stopped"
        return MissionReason(
            MissionFact.AGENT_ENDED,
            f"is with '{name}', which {how}; it is given to another with the next look",
            f"tt restart {name}" if agent is not None else "",
        )
    if agent.state is AgentState.PAUSED:
        return MissionReason(MissionFact.IN_WORK, f"is with '{name}', which is paused", f"tt resume {name}")
    if item.state is _I.RUNNING:
        return MissionReason(MissionFact.IN_WORK, f"is worked on by '{name}'", f"tt why {name}")
    return MissionReason(MissionFact.IN_WORK, f"is with '{name}', who has not begun", f"tt why {name}")


def _blocked(situation: MissionSituation, item: WorkItem) -> MissionReason:
    name = item.number or short(item.id)
    match item.waits_for:
        case "dependency":
            waiting = [text for _, text in _unsatisfied(situation, item)]
            why = one_line(item.reason or f"it waits for {_listed(waiting)}", _TEXT)
            return MissionReason(MissionFact.DEPENDENCY, f"is blocked: {why}")
        case "approval":
            who = item.author or "a stranger"
            return MissionReason(
                MissionFact.APPROVAL,
                f"waits for your approval: {who}, who wrote it, is no member of its repository",
                f"Read it with 'tt mission approve {name} --show', then: tt mission approve {name}",
            )
        case "review":
            return _review(situation, item)
        case "merge":
            fact, predicate, advice = of_watches(
                situation.mission,
                item,
                situation.own_watches.get(item.id, []),
                now=situation.now,
                mending=lambda watch: _has(situation, watch.fix_task_id),
            )
            return MissionReason(MissionFact(fact), predicate, advice)
        case _:
            why = one_line(item.reason or "the scheduler gave it up", _TEXT)
            return MissionReason(
                MissionFact.PERSON, f"waits for a person: {why}", f"Look into it, then: tt mission approve {name}"
            )


def _review(situation: MissionSituation, item: WorkItem) -> MissionReason:
    what = item.pull or "its result"
    advice = f"Or review it yourself: tt mission approve {item.number or short(item.id)}"
    if item.review_task_id is not None:
        by = _has(situation, item.review_task_id)
        return MissionReason(MissionFact.IN_REVIEW, f"waits for the review of {what}" + (f" by '{by}'" if by else ""))
    able = may_review(item, situation.workers)
    if not able:
        done = _out_of_rounds(agent for agent in situation.agents if agent.id != item.assigned_to)
        told = f": '{done}' has used up its rounds" if done is not None else ""
        return MissionReason(
            MissionFact.NO_REVIEWER,
            f"waits for a review of {what}, and no agent but its own is alive{told}",
            f"{f'tt restart {done}' if done is not None else 'tt spawn reviewer'}. {advice}",
        )
    idle = [worker for worker in able if worker.idle]
    if not idle:
        names = _listed(situation.name(worker.id) for worker in able)
        return MissionReason(
            MissionFact.REVIEW, f"waits for a review of {what}; who may do it is busy: {names}", advice
        )
    return MissionReason(MissionFact.REVIEW, f"waits for a review of {what}, asked for with the next look", advice)


def _has(situation: MissionSituation, task_id: TaskId | None) -> str:
    """The name of the agent that has a task; empty without such a task."""
    task = situation.tasks.get(task_id) if task_id is not None else None
    return situation.name(task.assigned_to) if task is not None else ""


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    rest = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(found[:_LISTED]) + rest


def states(items: Iterable[WorkItem]) -> Mapping[WorkItemState, int]:
    """How many items are in each state."""
    return Counter(item.state for item in items)
