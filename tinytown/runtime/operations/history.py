"""What agents have done: their lives, their rounds, and the tasks that ended in them; told from the journal.

The journal is bounded, so the oldest rounds are forgotten first. It is filtered before it is limited: the last ten
rounds of an agent are its last ten, however much others did since. No more of it is read than that takes.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.ids import AgentId
from tinytown.runtime.operations.bounds import checked_place, place, whole
from tinytown.runtime.operations.chronicler import Chronicler, Entry, Outcome, TaskEnded
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.task_views import name_of, texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.runtime.town import Town

__all__ = ("Chronicle", "Entry", "History", "Outcome", "TaskEnded", "history")

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class History:
    """The last `count` entries, of one agent or of all; with `before` the last ahead of the entry with this id."""

    agent: str | None = None
    count: int = whole("number of entries", 1, _MOST, default=20)
    before: str | None = place()


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Oldest first. `complete` says whether the journal reaches back to the first event of the town.

    `next` is the `before` that goes on with what is older; None when nothing is.
    """

    entries: tuple[Entry, ...]
    complete: bool
    next: str | None = None


@operation("agent.history", Scope.READ)
async def history(town: Town, request: History) -> Chronicle:
    """Show what agents have done.

    Raises `AgentNotFound`, `Invalid`.
    """
    before = checked_place(request.before, "before")
    wanted = (await town.store.find_agent(request.agent)).id if request.agent else None
    told = Chronicler()
    has_more = await _hear(town, told, wanted, before, request.count)
    shown = {entry.agent for entry in told.entries(request.count)}
    agents = {str(agent.id): agent for agent in await town.store.agents_of([AgentId(each) for each in sorted(shown)])}
    told.hear_the_last({agent_id for agent_id, agent in agents.items() if agent.in_round})
    entries = told.entries(request.count)
    texts = await texts_of(town, (task.id for entry in entries for task in entry.tasks))
    names = {agent.id: agent.name for agent in agents.values()}
    first = await town.journal.first()
    return Chronicle(
        tuple(_named(entry, names, texts) for entry in entries),
        complete=first is not None and first.type == "town.initialized",
        next=entries[0].id if has_more and entries else None,
    )


async def _hear(town: Town, told: Chronicler, agent: AgentId | None, before: str | None, count: int) -> bool:
    """Let it hear what the last `count` entries ahead of a position take; says whether there are older ones."""
    about = () if agent is None else (agent,)
    has_more = False
    async with aclosing(town.journal.backwards(before, about=about)) as pages:
        async for page in pages:
            for event in page:
                if agent in (None, event.agent):
                    told.hear(event)
            # One more than is shown says that there is more.
            if told.has(count + 1):
                has_more = True
                break
        else:
            told.hear_all()
            has_more = told.has(count + 1)
    told.keep(count)
    if before is not None and told.open:
        async with aclosing(town.journal.forwards(before, including=True, about=about)) as pages:
            async for page in pages:
                for event in page:
                    told.hear_on(event)
                if not told.open:
                    break
    return has_more


def _named(entry: Entry, names: Mapping[AgentId, str], texts: Mapping[str, str]) -> Entry:
    tasks = tuple(replace(task, description=texts.get(task.id, "")) for task in entry.tasks)
    return replace(entry, agent_name=name_of(AgentId(entry.agent), names), tasks=tasks)
