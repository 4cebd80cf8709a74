"""Those who take part: spawned at the beginning, and at the end told apart by what each did."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.events import Events, follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.runtime.demo.narrator import Narrator
    from tinytown.runtime.demo.view import View


class Credit(NamedTuple):
    """What one agent did: counts, and seconds at work."""

    name: str
    role: str
    rounds: int
    tasks: int
    messages: int
    worked: float


async def spawn_troupe(narrator: Narrator, troupe: Sequence[tuple[str, str]]) -> None:
    """Spawn agents, each a name with a role; the first brings a runtime with it."""
    view = narrator.view
    for name, role in troupe:
        spawned = await spawn(narrator.town, Spawn(name, role=role))
        narrator.meet(spawned.agent)
        begun = ", and a runtime in the background runs it" if spawned.runtime_started else ""
        view.happened("✨", f"{view.name(name)} is spawned{begun}")


async def tell_from(narrator: Narrator, position: str) -> list[Credit]:
    """Tell what has happened since this position of the journal, until the story is over; gives who did what."""
    town = narrator.town
    async with aclosing(follow(town, Events(), position)) as happening:
        async for event in happening:
            await narrator.tell(event)
            if narrator.over:
                break
    agents = {str(agent.id): agent for agent in await town.store.agents()}
    return [
        Credit(
            life.name,
            agents[agent_id].role or "",
            agents[agent_id].rounds_completed,
            agents[agent_id].tasks_completed,
            life.messages,
            life.worked,
        )
        for agent_id, life in narrator.lives.items()
    ]


def show_credits(view: View, credit_list: Sequence[Credit]) -> None:
    """Who did what, as a table."""
    view.title("Who did what")
    view.table(
        ("agent", "role", "rounds", "tasks", "messages", "at work"),
        [
            (each.name, each.role, str(each.rounds), str(each.tasks), str(each.messages), f"{each.worked:.1f} s")
            for each in credit_list
        ],
    )
