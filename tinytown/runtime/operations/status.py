"""The state of a town at one glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.runtime.operations.registry import Scope, operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.lifecycle import TaskState
    from tinytown.records import Agent, Event
    from tinytown.runtime.operations.pending import Counts
    from tinytown.runtime.operations.tasks import TaskView
    from tinytown.runtime.town import Town
    from tinytown.transport.placement import RuntimeCard


@dataclass(frozen=True, slots=True)
class Status:
    """`deep` adds what each agent did last, `tasks` the tasks one by one."""

    deep: bool = False
    tasks: bool = False


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent, what waits for it, and its last rounds (newest first, at most five; only with `deep`).

    `pending` is how many messages lie in its lanes, `counts` what they ask for, `in_hand` how many its turn holds.
    """

    agent: Agent
    pending: int
    counts: Counts
    in_hand: int = 0
    rounds: tuple[Event, ...] = ()


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


@operation("town.status", Scope.READ)
async def status(town: Town, request: Status) -> TownStatus:
    """Show the state of the town."""
    raise NotImplementedError
