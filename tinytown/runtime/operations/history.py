"""What agents have done: their lives, their rounds, and the tasks that ended in them; told from the journal.

The journal is bounded, so the oldest rounds are forgotten first. It is filtered before it is limited: the last ten
rounds of an agent are its last ten, however much others did since.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown.errors import Invalid
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.task_views import texts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinytown.records import Event
    from tinytown.runtime.town import Town
    from tinytown.times import Timestamp

_MOST = 10_000
_ROUND_ENDS = frozenset({"round.finished", "round.failed", "round.cut"})
_TASK_ENDS = frozenset({"task.completed", "task.failed", "task.cancelled"})
_LIFE = frozenset(
    {
        "agent.spawned", "agent.restarted", "agent.paused", "agent.resumed", "agent.killed", "agent.closed",
        "agent.stopped", "agent.failed",
    }
)  # fmt: skip
_NUMBER = re.compile(r"\d+")


class Outcome(StrEnum):
    """What came of a round."""

    FINISHED = "finished"
    FAILED = "failed"
    CUT = "cut"
    RUNNING = "running"
    LOST = "lost"
    """Its runtime died before it could say."""


@dataclass(frozen=True, slots=True)
class History:
    """The last `count` entries, of one agent or of all."""

    agent: str | None = None
    count: int = 20


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task that came to its end: `how` is `completed`, `failed` or `cancelled`."""

    id: str
    how: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A round, when `outcome` is given; else something in an agent's life, or the end of tasks outside a round.

    `what` is the type of the event it was told by; `round` the number of the round, `ended` its end.
    """

    at: Timestamp
    agent: str
    what: str
    agent_name: str = ""
    detail: str = ""
    round: int | None = None
    outcome: Outcome | None = None
    ended: Timestamp | None = None
    tasks: tuple[TaskEnded, ...] = ()


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Oldest first. `complete` says whether the journal reaches back to the first event of the town."""

    entries: tuple[Entry, ...]
    complete: bool


@operation("agent.history", Scope.READ)
async def history(town: Town, request: History) -> Chronicle:
    """Show what agents have done.

    Raises `AgentNotFound`, `Invalid`.
    """
    if not 1 <= request.count <= _MOST:
        raise Invalid(f"The number of entries is {request.count}; expected 1 to {_MOST:,}")
    wanted = (await town.store.find_agent(request.agent)).id if request.agent else None
    events = await town.journal.latest(max(_MOST, town.settings.limits.events))
    agents = {str(agent.id): agent for agent in await town.store.agents()}
    entries = told(
        (event for event in events if wanted in (None, event.agent)),
        running={agent_id for agent_id, agent in agents.items() if agent.in_round},
    )[-request.count :]
    texts = await texts_of(town, (task.id for entry in entries for task in entry.tasks))
    names = {agent_id: agent.name for agent_id, agent in agents.items()}
    return Chronicle(
        tuple(_named(entry, names, texts) for entry in entries),
        complete=bool(events) and events[0].type == "town.initialized",
    )


def told(events: Iterable[Event], *, running: set[str]) -> list[Entry]:
    """The entries that these events make, oldest first; `running` are the agents that are in a round by now."""
    entries: list[Entry] = []
    # The place of each agent's round that has no end yet.
    open_rounds: dict[str, int] = {}
    for event in events:
        agent = event.agent
        if agent is None:
            continue
        place = open_rounds.get(agent)
        if event.type == "round.started":
            # A round that nobody has ended before the next one began never told its end.
            found = _NUMBER.search(event.detail or "")
            open_rounds[agent] = len(entries)
            number = int(found[0]) if found else None
            entries.append(Entry(event.at, agent, event.type, round=number, outcome=Outcome.LOST))
        elif event.type in _ROUND_ENDS and place is not None:
            entries[place] = _ended(entries[place], event)
            del open_rounds[agent]
        elif event.type in _TASK_ENDS and event.task is not None:
            done = TaskEnded(event.task, event.type.removeprefix("task."))
            if place is None:
                entries.append(Entry(event.at, agent, event.type, detail=event.detail or "", tasks=(done,)))
            else:
                entries[place] = replace(entries[place], tasks=(*entries[place].tasks, done))
        elif event.type in _LIFE:
            entries.append(Entry(event.at, agent, event.type, detail=event.detail or ""))
    for agent in running & open_rounds.keys():
        entries[open_rounds[agent]] = replace(entries[open_rounds[agent]], outcome=Outcome.RUNNING)
    return entries


def _ended(entry: Entry, event: Event) -> Entry:
    outcome = Outcome(event.type.removeprefix("round."))
    detail = (event.detail or "").partition(": ")[2].removeprefix("⚠️ ")
    return replace(entry, outcome=outcome, ended=event.at, detail="" if outcome is Outcome.FINISHED else detail)


def _named(entry: Entry, names: Mapping[str, str], texts: Mapping[str, str]) -> Entry:
    tasks = tuple(replace(task, description=texts.get(task.id, "")) for task in entry.tasks)
    return replace(entry, agent_name=names.get(entry.agent, entry.agent), tasks=tasks)
