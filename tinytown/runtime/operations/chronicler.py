"""Entries of the history, told from events; without I/O.

The events are heard from the newest back, so that no more of the journal is read than the entries asked for need.
Whether a task ended in a round is known only at the round's beginning, so it waits for that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tinytown.records import Event
    from tinytown.times import Timestamp

_ROUND_ENDS = frozenset({"round.finished", "round.failed", "round.cut"})
_TASK_ENDS = frozenset({"task.completed", "task.failed", "task.cancelled"})
_BIRTHS = frozenset({"agent.spawned", "agent.restarted"})
"""No round goes on beyond one of these."""
_LIFE = _BIRTHS | {
    "agent.paused", "agent.resumed", "agent.killed", "agent.closed", "agent.stopped", "agent.failed",
}  # fmt: skip
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
class TaskEnded:
    """A task that came to its end: `how` is `completed`, `failed` or `cancelled`."""

    id: str
    how: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A round, when `outcome` is given; else something in an agent's life, or the end of tasks outside a round.

    `id` and `what` are those of the event it was told by, of a round its beginning; `round` is the number of the
    round, `ended` its end.
    """

    id: str
    at: Timestamp
    agent: str
    what: str
    agent_name: str = ""
    detail: str = ""
    round: int | None = None
    outcome: Outcome | None = None
    ended: Timestamp | None = None
    tasks: tuple[TaskEnded, ...] = ()


@dataclass(slots=True)
class _Behind:
    """What was heard of an agent and belongs to no entry yet: the end of a round, tasks that ended, newest first."""

    end: Event | None = None
    tasks: list[Event] = field(default_factory=list)


class Chronicler:
    """Hears the events of a journal from the newest back, and has entries of them."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._behind: dict[str, _Behind] = {}
        # The round of each agent of which nothing was heard that comes after it.
        self._open: dict[str, str] = {}
        self._known: set[str] = set()

    @property
    def open(self) -> tuple[str, ...]:
        """The agents with a round whose end has not been heard."""
        return tuple(self._open)

    def hear(self, event: Event) -> None:
        """Take one more event, older than all before."""
        agent = event.agent
        if agent is None:
            return
        if event.type == "round.started":
            self._begin(agent, event)
        elif event.type in _ROUND_ENDS:
            self._release(agent)
            self._behind[agent] = _Behind(event)
            self._known.add(agent)
        elif event.type in _TASK_ENDS and event.task is not None:
            self._behind.setdefault(agent, _Behind()).tasks.append(event)
        elif event.type in _LIFE:
            if event.type in _BIRTHS:
                self._release(agent)
                self._known.add(agent)
            self._add(Entry(event.id, event.at, agent, event.type, detail=event.detail or ""))

    def hear_all(self) -> None:
        """There is no older event: what waits for the beginning of a round has none."""
        for agent in list(self._behind):
            self._release(agent)

    def has(self, count: int) -> bool:
        """The newest `count` entries are known; older events could only add to what comes before them."""
        if len(self._entries) < count:
            return False
        oldest = _place(self.entries(count)[0].id)
        return all(_place(each.id) < oldest for behind in self._behind.values() for each in behind.tasks)

    def entries(self, count: int) -> list[Entry]:
        """The newest `count` entries, oldest first."""
        return sorted(self._entries.values(), key=lambda entry: _place(entry.id))[-count:]

    def keep(self, count: int) -> None:
        """Forget all but the newest `count` entries."""
        kept = {entry.id: entry for entry in self.entries(count)}
        self._entries = kept
        self._open = {agent: place for agent, place in self._open.items() if place in kept}

    def hear_on(self, event: Event) -> None:
        """Take an event that comes after all of these, and after those heard in this way: an open round goes on."""
        place = self._open.get(event.agent or "")
        if place is None or event.agent is None:
            return
        entry = self._entries[place]
        if event.type in _ROUND_ENDS:
            self._entries[place] = _ended(entry, event)
            del self._open[event.agent]
        elif event.type in _TASK_ENDS and event.task is not None:
            self._entries[place] = replace(entry, tasks=(*entry.tasks, _task(event)))
        elif event.type == "round.started" or event.type in _BIRTHS:
            # Whoever ran it never told its end.
            del self._open[event.agent]

    def hear_the_last(self, running: Collection[str]) -> None:
        """There is no newer event; these agents are in a round by now."""
        for agent in self._open.keys() & set(running):
            place = self._open[agent]
            self._entries[place] = replace(self._entries[place], outcome=Outcome.RUNNING)

    def _begin(self, agent: str, event: Event) -> None:
        behind = self._behind.pop(agent, _Behind())
        found = _NUMBER.search(event.detail or "")
        entry = Entry(
            event.id,
            event.at,
            agent,
            event.type,
            round=int(found[0]) if found else None,
            outcome=Outcome.LOST,
            tasks=tuple(_task(each) for each in reversed(behind.tasks)),
        )
        if behind.end is not None:
            entry = _ended(entry, behind.end)
        elif agent not in self._known:
            self._open[agent] = entry.id
        self._known.add(agent)
        self._add(entry)

    def _release(self, agent: str) -> None:
        """These tasks ended outside a round."""
        for event in self._behind.pop(agent, _Behind()).tasks:
            ended = (_task(event),)
            self._add(Entry(event.id, event.at, agent, event.type, detail=event.detail or "", tasks=ended))

    def _add(self, entry: Entry) -> None:
        self._entries[entry.id] = entry


def _task(event: Event) -> TaskEnded:
    return TaskEnded(event.task or "", event.type.removeprefix("task."))


def _ended(entry: Entry, event: Event) -> Entry:
    outcome = Outcome(event.type.removeprefix("round."))
    detail = (event.detail or "").partition(": ")[2].removeprefix("⚠️ ")
    return replace(entry, outcome=outcome, ended=event.at, detail="" if outcome is Outcome.FINISHED else detail)


def _place(position: str) -> tuple[int, int]:
    ms, _, number = position.partition("-")
    return int(ms), int(number or 0)
